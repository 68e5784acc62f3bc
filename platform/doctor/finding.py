"""DoctorFinding: one line of the doctor's report."""

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class DoctorFinding:
    """One line of the report. A `bad` finding would stop a grid. `mend` says what to do; without `bad` it is advice."""

    text: str
    mend: str = ""
    bad: bool = False
