"""What a report says of a grid besides comparisons: completeness, means, chance levels, agreement, power. Plain data; nothing is drawn."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from platform.report.comparison_families import rank_arms
from platform.report.comparisons import ALPHA, Comparison
from platform.report.runs_table import STATES, Condition, Runs, format_condition
from platform.stats import significance as s
from platform.stats.float_ties import ROUNDING, subtract_exactly
from platform.stats.power import find_needed_replicates

SIZES = (0.01, 0.02, 0.03, 0.05)
"""differences of a share for which a report gives the number of replicates that find them"""
SPREADS = (0.5, 1.0, 1.5)
"""the same for a metric that is not a share, in standard deviations"""


@dataclass(frozen=True)
class ConditionSummary:
    """An arm at one condition. Intervals are of the mean over replicates, and None if no replicate is done."""

    arm: str
    condition: Condition
    done: int
    failed: int
    missing: int
    metric: s.Interval | None
    selector: s.Interval | None
    secondary: s.Interval | None
    median: float
    least: float
    most: float

    @property
    def planned(self) -> int:
        return self.done + self.failed + self.missing


@dataclass(frozen=True)
class ChanceLevel:
    """Scores of knowing nothing at a condition: guessing uniformly, and always answering the test set's commonest class."""

    condition: Condition
    chance: float
    majority: float
    majority_balanced: float


@dataclass(frozen=True)
class SelectionAgreement:
    """Whether validation picks the arm that tests best at a condition."""

    condition: Condition
    picked: str
    best: str
    spearman: float
    """rank correlation of the arms' mean validation and test scores; NaN with fewer than three arms"""
    optimism: float
    """the picked arm's mean validation score minus its mean test score; positive if the validation score is the better one"""
    regret: float
    """the best-testing arm's mean test score minus the picked arm's, oriented likewise"""


@dataclass(frozen=True)
class PowerAnalysis:
    """What a comparison can detect: over all conditions (`condition` is empty), or at one of them."""

    condition: Condition
    a: str
    b: str
    paired: bool
    n: int
    sd: float
    mde: float
    level: float
    needed: dict[float, float]
    """by true difference, the replicates per arm that find it with a chance of 80 %; infinity if power.MOST_REPLICATES are too few"""


def summarise_conditions(runs: Runs) -> list[ConditionSummary]:
    rows = []
    for condition in runs.conditions:
        for arm in runs.arms:
            states = runs.table["state"].iloc[runs.find_rows(arm, condition)]
            done, failed, missing = (int((states == state).sum()) for state in STATES)
            values = runs.get_sample(arm, condition).to_array()
            spread = (float(np.median(values)), float(values.min()), float(values.max())) if len(values) else (np.nan,) * 3
            metric, selector, secondary = (
                _compute_interval(runs, arm, condition, name) for name in (runs.design.metric, runs.design.selector, runs.design.secondary)
            )
            rows.append(ConditionSummary(arm, condition, done, failed, missing, metric, selector, secondary, *spread))
    return rows


def compute_chance_levels(runs: Runs) -> list[ChanceLevel]:
    """Return chance levels, averaged over all trainings of a condition, whose test sets differ by replicate only.

    Conditions whose class counts are unknown are left out.
    """
    rows = []
    for condition in runs.conditions:
        results = [result for result in list_results(runs, condition) if "counts" in result]
        if results:
            counts = [np.array(result["counts"]["test"]) for result in results]
            majority = float(np.mean([count.max() / count.sum() for count in counts]))
            balanced = float(np.mean([1 / np.count_nonzero(count) for count in counts]))
            rows.append(ChanceLevel(condition, 1 / len(results[0]["classes"]), majority, balanced))
    return rows


def list_results(runs: Runs, condition: Condition, arm: str | None = None) -> list[dict[str, Any]]:
    """Return what ferray's own trainings at a condition wrote. Empty if the runs came from elsewhere."""
    rows = [row for name in ([arm] if arm else runs.arms) for row in runs.find_done_rows(name, condition)]
    return [result for row in rows if runs.results and (result := runs.results[row])]


def find_weak_arms(runs: Runs, rows: list[ConditionSummary], bottom: list[ChanceLevel]) -> list[str]:
    """Return the arms whose mean reaches half of the best arm's lead over chance at no condition.

    The list is empty if the chance level of some condition is unknown.
    """
    strong: set[str] = set()
    known = [floor.condition for floor in bottom]
    if any(row.metric and row.condition not in known for row in rows):
        return []
    for floor in bottom:
        means = {row.arm: row.metric.mean for row in rows if row.condition == floor.condition and row.metric}
        threshold = (max(means.values(), default=0) + floor.chance) / 2
        strong |= {arm for arm, mean in means.items() if mean >= threshold - ROUNDING * abs(threshold)}
    return [arm for arm in runs.arms if bottom and arm not in strong]


def measure_agreement(runs: Runs) -> list[SelectionAgreement]:
    rows: list[SelectionAgreement] = []
    metric = runs.design.selector
    for condition in runs.conditions if metric else []:
        by_val = rank_arms(runs, condition, metric)
        by_test = [arm for arm in rank_arms(runs, condition) if arm in by_val]
        if by_test:
            val, test = (
                {arm: float(np.mean(runs.get_sample(arm, condition, name).to_array())) for arm in by_test} for name in (metric, None)
            )
            rho = s.spearman_correlation(list(val.values()), list(test.values())) if len(val) > 2 else np.nan
            picked, best, gaps = by_val[0], by_test[0], (np.nan, np.nan)
            if picked in test:  # an arm may have a validation score only
                optimism, regret = subtract_exactly(val[picked], test[picked]), subtract_exactly(test[best], test[picked])
                gaps = runs.sign * float(optimism), runs.sign * float(regret)
            rows.append(SelectionAgreement(condition, picked, best, rho, *gaps))
    return rows


def tabulate_power(runs: Runs, rows: list[Comparison]) -> list[PowerAnalysis]:
    """Return the power of the t test of each of these comparisons at its family's strictest level.

    It is given for SIZES, or for SPREADS if the metric is not a share. Comparisons without a test are left out.
    """
    analyses = []
    for row in rows:
        if isfinite(row.sd) and row.sd > 0 and isfinite(row.p):
            level = ALPHA / max(row.m, 1)
            sizes = {size: size / row.sd for size in SIZES} if runs.design.percent else {spread * row.sd: spread for spread in SPREADS}
            counts = {size: float(np.ceil(find_needed_replicates(d, row.paired, level))) for size, d in sizes.items()}
            analyses.append(PowerAnalysis(row.condition, row.a, row.b, row.paired, min(row.n_a, row.n_b), row.sd, row.mde, level, counts))
    return analyses


def find_tied_arms(runs: Runs, pairs: list[Comparison]) -> dict[str, set[str]]:
    """Return, by condition (its label), the arms that the comparisons of all pairs do not tell apart from the arm with the best mean."""
    best = {format_condition(condition): order[0] for condition in runs.conditions if (order := rank_arms(runs, condition))}
    tied: dict[str, set[str]] = {label: set() for label in best}
    for row in pairs:
        label = format_condition(row.condition)
        if best[label] in (row.a, row.b) and row.verdict not in ("better", "worse"):
            tied[label].add(row.b if row.a == best[label] else row.a)
    return tied


def _compute_interval(runs: Runs, arm: str, condition: Condition, metric: str | None) -> s.Interval | None:
    values = runs.get_sample(arm, condition, metric).to_array() if metric else np.array([])
    return s.t_interval(values) if len(values) else None
