"""DoctorFinding: one line of the doctor's report."""

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class DoctorFinding:
    """One line of the report. A `bad` finding would stop a grid. `mend` says what to do; without `bad` it is advice.

    A finding that is not `checked` says what was not looked for.
    """

    text: str
    mend: str = ""
    bad: bool = False
    checked: bool = True
