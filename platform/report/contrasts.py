"""What a study's contrasts come to: two arms, with something and without, at every condition, one family of tests over the whole table.

And what an arm's score costs: accuracy against the parameters that its training moves.
"""

from dataclasses import dataclass

import numpy as np

from platform.report.comparisons import Comparison, compare_arms, settle_family
from platform.report.runs import Condition, Runs
from platform.report.summary import list_results
from platform.stats.significance import Interval, t_interval
from search_spaces.claims import Contrast, ReportedScore


@dataclass(frozen=True)
class ContrastRow:
    """One contrast at one condition: what was measured, and what the text printed there."""

    contrast: Contrast
    comparison: Comparison
    a: Interval
    b: Interval
    printed_a: ReportedScore | None
    printed_b: ReportedScore | None

    @property
    def note(self) -> str:
        """What a reader must know of the text's numbers."""
        return "; ".join(dict.fromkeys(row.note for row in (self.printed_a, self.printed_b) if row and row.note))


@dataclass(frozen=True)
class TrainingCost:
    """An arm at a condition: how many parameters its trainings move, and the score that comes of it."""

    arm: str
    condition: Condition
    updated: float
    score: Interval


def compute_contrasts(runs: Runs) -> list[ContrastRow]:
    """Every contrast at every condition where both arms have a number; two-sided, paired by replicate, Holm over all of them together."""
    asked = []
    for contrast in runs.design.contrasts:
        for condition in runs.conditions:
            sides = [(arm, runs.get_sample(arm, condition)) for arm in (contrast.a, contrast.b)]
            if all(sample.values for _, sample in sides):
                asked.append((contrast, sides, compare_arms(runs, "contrasts", condition, sides, "two-sided", "named beforehand")))
    settled = settle_family([comparison for _, _, comparison in asked])
    rows = []
    for (contrast, sides, _), comparison in zip(asked, settled, strict=True):
        a, b = (t_interval(sample.to_array()) for _, sample in sides)
        printed = (_find_reported_score(runs, arm, comparison.condition) for arm in (contrast.a, contrast.b))
        rows.append(ContrastRow(contrast, comparison, a, b, *printed))
    return rows


def compute_training_costs(runs: Runs) -> list[TrainingCost]:
    """Every arm at every condition whose trainings say how many parameters they moved."""
    rows = []
    for condition in runs.conditions:
        for arm in runs.arms:
            moved = [result["updated_parameters"] for result in list_results(runs, condition, arm) if "updated_parameters" in result]
            scores = runs.get_sample(arm, condition).to_array()
            if moved and len(scores):
                rows.append(TrainingCost(arm, condition, float(np.mean(moved)), t_interval(scores)))
    return rows


def _find_reported_score(runs: Runs, arm: str, condition: Condition) -> ReportedScore | None:
    mine = (row for row in runs.design.printed if row.arm == arm and row.on == "test")
    return next((row for row in mine if row.condition.items() <= condition.items()), None)
