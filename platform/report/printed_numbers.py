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
from platform.report.wording import format_probability
from platform.stats.significance import Interval, t_interval
from search_spaces.printed_numbers import PrintedNumber

NOT_MEASURED, NO_SCORES = "not measured", "no scores"
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
    """why nothing stands beside it: NOT_MEASURED, NOT_IN_GRID or NO_SCORES"""

    @property
    def measured_text(self) -> str:
        """The measured number as a table has it, with as many decimals as a difference to the printed one needs."""
        if self.p is not None:
            return format_probability(self.p)
        if self.measured is None:
            return self.absent
        digits = 1 if self.printed.scale == 100 else 2
        spread = f" ± {self.measured.sd:.{digits}f}" if isfinite(self.measured.sd) else ""
        return f"{self.measured.mean:.{digits}f}{spread}".replace("-", "−")

    @property
    def description(self) -> str:
        """What was measured: the arm, and the number of its replicates."""
        if self.absent == NOT_MEASURED:
            return ""
        rival = f" against {self.printed.against}" if self.printed.against else ""
        return f"{self.printed.arm}{rival}" + (f", n = {self.measured.n}" if self.measured else "")


def compare_with_printed(runs: Runs, recalls: list[ClassRecalls]) -> list[PrintedBeside]:
    """Return every number of the paper's tables with what was measured of the same arm, condition and metric."""
    return [_measure_beside(runs, recalls, number) for number in runs.design.printed]


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
        return PrintedBeside(number, conditions, p=p if known else None, absent="" if known else NO_SCORES)
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


def build_printed_tables(rows: list[PrintedBeside]) -> list[Table]:
    """Build the paper's tables, with the measured number in a column of its own after each printed one."""
    tables = []
    for name in dict.fromkeys(row.printed.table for row in rows):
        part = [row for row in rows if row.printed.table == name]
        columns = list(dict.fromkeys(row.printed.column for row in part))
        head = [name, *(text for column in columns for text in (f"{column}, printed", "measured"))]
        n = sorted({row.measured.n for row in part if row.measured})
        counted = f"mean ± standard deviation of {n[0] if n[0] == n[-1] else f'{n[0]} to {n[-1]}'} trainings" if n else "nothing of it yet"
        where = {format_condition(condition) for row in part for condition in row.conditions}
        caption = f"{name}: what the paper printed of its own data, and what was measured here ({counted})" + (
            f", at {where.pop()}." if len(where) == 1 else "."
        )
        table = Table("printed_" + re.sub(r"\W+", "_", name.lower()).strip("_"), caption, head, [False] + [True] * (2 * len(columns)))
        for title in dict.fromkeys(row.printed.row for row in part):
            by_column = {row.printed.column: row for row in part if row.printed.row == title}
            entries = ((f"{by_column[c].printed.number:g}", by_column[c].measured_text) if c in by_column else ("", "") for c in columns)
            table.add_row(title, *(entry for pair in entries for entry in pair))
        tables.append(table)
    return tables
