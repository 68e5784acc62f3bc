"""The numbers of a paper's tables, each with the measured one beside it."""

import re
from dataclasses import dataclass
from math import isfinite

from platform.report.claim_tests import NOT_IN_GRID
from platform.report.classes import ClassRecalls
from platform.report.comparisons import compare_ranks
from platform.report.pooled_samples import pool_samples
from platform.report.report_tables import Table
from platform.report.runs_table import Condition, Runs, format_condition
from platform.report.wording import Unit, format_probability
from platform.stats.significance import Interval, t_interval
from search_spaces.printed_numbers import PrintedNumber, PrintedTable

NOT_MEASURED, NO_SCORES, NOT_TESTED = "not measured", "no scores", "not tested"
RECALL = "recall/"


@dataclass(frozen=True)
class PrintedBeside:
    """A printed number and the measured one: a mean over replicates with its interval, or a p, in the printed unit."""

    printed: PrintedNumber
    conditions: list[Condition]
    """of this grid, where the number was measured"""
    measured: Interval | None = None
    p: float | None = None
    absent: str = ""
    """why nothing stands beside it: NOT_MEASURED, NOT_IN_GRID, NO_SCORES or, of a p, NOT_TESTED"""

    @property
    def measured_text(self) -> str:
        """The measured number as a table has it."""
        if self.p is not None:
            return format_probability(self.p)
        if self.measured is None:
            return self.absent
        unit = Unit(False, digits=1 if self.printed.scale == 100 else 2)  # the numbers are in the printed unit already
        spread = f" ± {unit.format_value(self.measured.sd)}" if isfinite(self.measured.sd) else ""
        return f"{unit.format_value(self.measured.mean)}{spread}"

    @property
    def description(self) -> str:
        """What was measured: the arm, and the number of its replicates."""
        if self.absent == NOT_MEASURED:
            return ""
        rival = f" against {self.printed.against}" if self.printed.against else ""
        return f"{self.printed.arm}{rival}" + (f", n = {self.measured.n}" if self.measured else "")


Rows = dict[str, list[PrintedBeside | None]]
"""a table's numbers by row, one for each of its columns; None where it has no number"""


def compare_with_printed(runs: Runs, recalls: list[ClassRecalls]) -> dict[str, Rows]:
    """Return the paper's tables by name: every number with what was measured of the same arm, condition and metric."""
    tables = {}
    for table in runs.design.printed:
        rows: Rows = {number.row: [None] * len(table.columns) for number in table.numbers}
        for number in table.numbers:
            rows[number.row][table.columns.index(number.column)] = _measure_beside(runs, recalls, number)
        tables[table.name] = rows
    return tables


def _measure_beside(runs: Runs, recalls: list[ClassRecalls], number: PrintedNumber) -> PrintedBeside:
    if number.arm is None:
        return PrintedBeside(number, [], absent=NOT_MEASURED)
    place = runs.resolve_place(number.condition)
    conditions = [] if place is None else [condition for condition in runs.conditions if place.items() <= condition.items()]
    arms = [number.arm, number.against] if number.against else [number.arm]
    if not conditions or not set(arms) <= set(runs.arms):
        return PrintedBeside(number, [], absent=NOT_IN_GRID)
    if number.against:
        sides = [(arm, runs.get_sample(arm, conditions[0])) for arm in arms]
        p = compare_ranks(runs, "printed", conditions[0], sides, "named by the paper").p
        known = isfinite(p) and not runs.plan  # seeds that were added until claims were decided allow no such test
        return PrintedBeside(number, conditions, p=p if known else None, absent="" if known else NOT_TESTED)
    if number.metric.startswith(RECALL):
        interval = _find_recall(recalls, number.arm, conditions[0], number.metric.removeprefix(RECALL))
    else:
        values = pool_samples([runs.get_sample(number.arm, condition, number.metric or None) for condition in conditions]).to_array()
        interval = t_interval(values) if len(values) else None
    if interval is None:
        return PrintedBeside(number, conditions, absent=NO_SCORES)
    mean, low, high, sd = (number.scale * value for value in interval[:4])
    return PrintedBeside(number, conditions, Interval(mean, low, high, sd, interval.n))


def _find_recall(recalls: list[ClassRecalls], arm: str, condition: Condition, name: str) -> Interval | None:
    for row in recalls:
        if (row.arm, row.condition) == (arm, condition) and name in row.classes:
            return row.recall[row.classes.index(name)]
    return None


def build_printed_tables(runs: Runs, tables: dict[str, Rows]) -> list[Table]:
    """Build the paper's tables, with the measured number in a column of its own after each printed one."""
    return [_build_printed_table(table, tables[table.name], runs.design.replicated) for table in runs.design.printed]


def _build_printed_table(printed: PrintedTable, rows: Rows, replicated: str) -> Table:
    cells = [cell for row in rows.values() for cell in row if cell]
    n = sorted({cell.measured.n for cell in cells if cell.measured})
    spread = "mean ± standard deviation" if n and n[-1] > 1 else "mean"
    counted = f"{spread}, {n[0] if n[0] == n[-1] else f'{n[0]} to {n[-1]}'} {replicated}s" if n else "nothing of it yet"
    where = {format_condition(condition) for cell in cells for condition in cell.conditions}
    caption = f"{printed.name}: what the paper printed, and what was measured here ({counted})" + (
        f", at {where.pop()}." if len(where) == 1 else "."
    )
    head = [printed.name, *(text for column in printed.columns for text in (f"{column}, printed", "measured"))]
    name = "printed-" + re.sub(r"\W+", "-", printed.name.lower().replace("+", "plus")).strip("-")
    table = Table(name, caption, head, [False] + [True] * (2 * len(printed.columns)))
    for title, row in rows.items():
        named = len({cell.printed.arm for cell in row if cell and cell.measured}) > 1  # else the row says whose numbers they are
        entries = ((cell.printed.text, _describe_measured(cell, named)) if cell else ("", "") for cell in row)
        table.add_row(title, *(entry for pair in entries for entry in pair))
    return table


def _describe_measured(cell: PrintedBeside, named: bool) -> str:
    return f"{cell.measured_text} ({cell.printed.arm})" if named and cell.measured else cell.measured_text
