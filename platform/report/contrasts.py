"""Evaluates a study's contrasts: two arms, with something and without, at every condition, as one family of tests over the whole table.

It also gives the cost of an arm's score: accuracy against the number of parameters that its training updates.
"""

from dataclasses import dataclass

import numpy as np

from platform.report.comparisons import Comparison, compare_arms, settle_family
from platform.report.descriptive_statistics import list_results
from platform.report.runs_table import Condition, Runs
from platform.stats.significance import Interval, t_interval
from search_spaces.claims import Contrast


@dataclass(frozen=True)
class ContrastRow:
    """One contrast at one condition: the comparison and both means."""

    contrast: Contrast
    comparison: Comparison
    a: Interval
    b: Interval


@dataclass(frozen=True)
class TrainingCost:
    """An arm at a condition: the number of parameters that its trainings update, and its score."""

    arm: str
    condition: Condition
    updated: float
    score: Interval


def compute_contrasts(runs: Runs) -> list[ContrastRow]:
    """Return every contrast at every condition where both arms have a score.

    Tests are two-sided, paired by replicate where data splits are shared, and adjusted by Holm's method over all of them together.
    """
    compared = []
    for contrast in runs.design.contrasts:
        for condition in runs.conditions:
            sides = [(arm, runs.get_sample(arm, condition)) for arm in (contrast.a, contrast.b)]
            if all(sample.values for _, sample in sides):
                compared.append((contrast, sides, compare_arms(runs, "contrasts", condition, sides, "two-sided", "named beforehand")))
    adjusted = settle_family([comparison for _, _, comparison in compared])
    rows = []
    for (contrast, sides, _), comparison in zip(compared, adjusted, strict=True):
        a, b = (t_interval(sample.to_array()) for _, sample in sides)
        rows.append(ContrastRow(contrast, comparison, a, b))
    return rows


def compute_training_costs(runs: Runs) -> list[TrainingCost]:
    """Return every arm at every condition whose trainings record how many parameters they updated."""
    rows = []
    for condition in runs.conditions:
        for arm in runs.arms:
            updated = [result["updated_parameters"] for result in list_results(runs, condition, arm) if "updated_parameters" in result]
            scores = runs.get_sample(arm, condition).to_array()
            if updated and len(scores):
                rows.append(TrainingCost(arm, condition, float(np.mean(updated)), t_interval(scores)))
    return rows
