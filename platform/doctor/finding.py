"""Finding: one line of what the doctor says."""

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class DoctorFinding:
    """One line of the report. `bad` would stop a grid; `mend` says what to do, and alone it is advice."""

    text: str
    mend: str = ""
    bad: bool = False
