"""Numbers that a paper prints in its tables, and which measured number a report shows beside each of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from search_spaces.claims import Place


@dataclass(frozen=True)
class PrintedNumber:
    """A number of one of the paper's tables, or of its text."""

    row: str
    column: str
    text: str
    """as printed"""
    arm: str | None
    """None: it was not measured with one of the study's arms, as in other papers' results"""
    condition: Place = field(default_factory=dict)
    metric: str = ""
    """a metric of a result, such as own/accuracy, or recall/CLASS; the one that the study compares if empty"""
    against: str | None = None
    """the number is the p of the paper's test: `arm` is better than this one"""
    scale: float = 100
    """the printed unit: 100 for percent, 1 for plain numbers"""
    note: str = ""
    """what a reader must know of it"""

    @property
    def number(self) -> float:
        return float(self.text)


@dataclass(frozen=True)
class PrintedTable:
    """A table of the paper. The rows are in the order of its numbers."""

    name: str
    columns: tuple[str, ...]
    numbers: tuple[PrintedNumber, ...]


@dataclass(frozen=True)
class Header:
    """The name of a row or a column of a table, and what it says of the numbers there."""

    name: str
    arm: str | None = ""
    """a row's and a column's are joined: DL and +CIAO; None in one of them: not measured"""
    condition: Place = field(default_factory=dict)
    metric: str = ""


def make_table(
    name: str,
    columns: tuple[Header, ...],
    rows: Iterable[tuple[Header, str]],
    scale: float = 100,
    notes: dict[tuple[str, str], str] | None = None,
) -> PrintedTable:
    """Return a table from its rows of numbers as printed. -: it has none there. `notes` are by the names of row and column."""
    all_numbers = tuple(
        PrintedNumber(
            row.name,
            column.name,
            text,
            None if row.arm is None or column.arm is None else row.arm + column.arm,
            {**row.condition, **column.condition},
            row.metric or column.metric,
            scale=scale,
            note=(notes or {}).get((row.name, column.name), ""),
        )
        for row, texts in rows
        for column, text in zip(columns, texts.split(), strict=True)
        if text != "-"
    )
    return PrintedTable(name, tuple(column.name for column in columns), all_numbers)
