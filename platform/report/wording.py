"""Formats numbers and sentences for the reader."""

from dataclasses import dataclass
from math import floor, isfinite, log10

import numpy as np

from platform.report.classes import ClassRecalls
from platform.report.comparisons import Comparison
from platform.report.descriptive_statistics import find_attainable_size
from platform.report.runs_table import Runs, format_condition
from platform.stats.float_ties import measure_spread
from platform.stats.power import MOST_REPLICATES

NONE = "–"
AVERAGE = "average accuracy (mean recall over classes, balanced accuracy)"
"""the paper's name for what others call balanced accuracy, with both names"""
LARGE, SMALL = 1e12, 1e-4
"""numbers of LARGE or more, and metrics below SMALL, are written with a power of ten: 1e+300"""


@dataclass(frozen=True)
class Unit:
    """How a metric is written: a share in percent and its differences in points, or plain numbers with these digits."""

    percent: bool
    digits: int = 1
    small: bool = False
    """all numbers of the metric are below SMALL, so powers of ten are written out"""

    @classmethod
    def from_runs(cls, runs: Runs) -> "Unit":
        """Return percent for a share, else as many decimals as show two significant digits of the spread between trainings."""
        if runs.design.percent:
            return cls(True)
        column = runs.table[runs.design.metric].to_numpy(float)
        column = column[np.isfinite(column)]
        spread, largest = measure_spread(column), np.abs(column).max(initial=0.0)
        digits = min(6, max(0, 1 - floor(log10(spread)))) if isfinite(spread) and spread > 0 else 2
        return cls(False, digits, bool(0 < largest < SMALL))

    @property
    def sign(self) -> str:
        return ", %" if self.percent else ""

    def format_value(self, x: float | None) -> str:
        return self._format_number(x, "z")  # z: a number that rounds to 0 has no sign

    def format_difference(self, x: float | None) -> str:
        """Format a difference with its sign."""
        return self._format_number(x, "+")

    def _format_number(self, x: float | None, sign: str) -> str:
        if x is None or not isfinite(x):
            return NONE
        number = (100 * x if self.percent else x) + 0.0  # turns -0.0 into 0
        digits = f".{self.digits}f" if abs(number) < LARGE and not self.small else ".4g"
        return f"{number:{sign}{digits}}".replace("-", "−")

    def format_amount(self, x: float) -> str:
        """Format a difference without its sign and with its unit."""
        return f"{self.format_value(abs(x))} {'points' if self.percent else ''}".rstrip()

    def format_interval(self, low: float, high: float) -> str:
        return f"{self.format_difference(low)} to {self.format_difference(high)}" if isfinite(low) else NONE


def spell_metric(metric: str) -> str:
    """Return a metric's name in words: `val/balanced_accuracy` as "validation balanced accuracy"."""
    part, slash, name = metric.partition("/")
    return f"{'validation' if part == 'val' else part} {name}".replace("_", " ") if slash else "validation" if metric == "val" else metric


def define_metric(metric: str) -> str:
    """Return a metric's name in words, and average accuracy by all its names."""
    return spell_metric(metric).replace("balanced accuracy", AVERAGE)


def format_probability(p: float | None) -> str:
    """Format a p with three significant digits, and never as 0."""
    return NONE if p is None or not isfinite(p) else "< 0.0001" if p < 1e-4 else f"{p:.3g}"


def format_a12(a12: float | None) -> str:
    return NONE if a12 is None or not isfinite(a12) else f"{a12:.2f}"


def format_replicates(number: float) -> str:
    """Format the number of replicates that are needed."""
    return f"{number:,.0f}" if isfinite(number) else f"more than {MOST_REPLICATES:,}"


def format_hours(seconds: float) -> str:
    if not isfinite(seconds):
        return NONE
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"


def describe_comparison(row: Comparison, runs: Runs) -> str:
    """Return what a confirmatory comparison found, in one plain sentence."""
    unit, seeds = Unit.from_runs(runs), f"{runs.design.replicated}s"
    where = f"At {format_condition(row.condition)}, " if row.condition else ""
    difference = (
        f"{unit.format_difference(row.diff)} {'points ' if unit.percent else ''}[{unit.format_interval(row.diff_low, row.diff_high)}]"
    )
    statistics = f"A12 {format_a12(row.a12)}, {'adjusted ' if row.m > 1 else ''}p {_format_equality(format_probability(row.p_adj))}"
    picked = "best on validation" if runs.design.selector and row.selected_by == runs.design.selector else "best on test"
    if row.verdict == "better":
        return f"{where}{row.a} ({picked}) is better than {row.b}: {difference}, {statistics}."
    if row.verdict == "worse":
        return f"{where}{row.a}, though {picked}, is worse than {row.b}: {difference}, {statistics}."
    if row.verdict == "equivalent":
        within = unit.format_amount(runs.design.rope or 0)
        return f"{where}{row.a} ({picked}) and {row.b} are equivalent (margin {within}): {difference}."
    if row.verdict == "inconclusive":
        least = unit.format_amount(row.mde)
        return (
            f"{where}{row.a} ({picked}) and {row.b} do not differ significantly: {difference}, {statistics}. "
            f"A true difference of {least} would be detected with a probability of 80 %."
        )
    if not (n := min(row.n_a, row.n_b)):
        return f"{where}{row.a} and {row.b} cannot be compared: {row.note}."
    tests, needed = f" and {row.m} tests" if row.m > 1 else "", find_attainable_size(row.paired, row.m)
    sentence = f"{where}{row.a} ({picked}) and {row.b} cannot differ significantly with {n} {seeds}{tests}: {needed} {seeds} could."
    return f"{sentence} Measured: {difference}, A12 {format_a12(row.a12)}."


def describe_unread_classes(runs: Runs, rows: list[ClassRecalls]) -> list[str]:
    """Return a sentence for each of the table's conditions with classes recognised less often than by chance.

    A class counts if the whole interval of its recall lies below chance (`ClassRecalls.low`).
    """
    sentences, share = [], Unit(True).format_value
    for condition in runs.table_conditions:
        condition_rows, parts = [row for row in rows if row.condition == condition], []
        for k, name in enumerate(condition_rows[0].classes if condition_rows else []):
            low_arms = [(row.arm, recall.mean) for row in condition_rows if name in row.low and (recall := row.recall[k])]
            if low_arms:
                arms = ", ".join(f"{arm} ({share(mean)})" for arm, mean in low_arms)
                parts.append(f"{name} by {f'all {len(condition_rows)}' if len(low_arms) == len(condition_rows) > 2 else arms}")
        if parts:
            where = f"At {format_condition(condition)}, r" if condition else "R"
            chance = " or ".join(dict.fromkeys(share(row.chance) for row in condition_rows))
            sentences.append(f"{where}ecall below chance ({chance} %): {'; '.join(parts)}.")
    return sentences


def _format_equality(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"
