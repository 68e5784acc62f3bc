"""Finds diverged trainings, whose score lies far from all others. Tests and means include them; digits and axes do not."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from platform.report.runs_table import Condition, Runs, Sample
from platform.report.wording import Unit

FAR = 20
"""distance from the median, in ranges of the middle scores, above which a score is far"""
TAIL = 0.1
"""share of the scores on either side that are not among the middle ones"""
FEWEST = 6
"""the fewest scores of which one is called far; of fewer, the middle ones may lie close together by chance"""
SHOWN = 5
"""the most trainings that are named"""


@dataclass(frozen=True)
class Outlier:
    """A training that is done, and whose score lies far from all others or is no finite number."""

    training: str
    arm: str
    condition: Condition
    replicate: Any
    score: float
    low: float
    """the lowest score of the trainings that are no outliers"""
    high: float
    """the highest one"""


def find_outliers(runs: Runs, metric: str | None = None) -> list[Outlier]:
    """Return the trainings whose score lies far from all others, in the table's order. `metric` replaces the report's own.

    A score is far if its distance from the median of all scores is above FAR times the range of the middle scores: all but a share TAIL
    on either side. If the middle scores are equal, it is FAR times their size. Of normal scores none is far. Of a thousand tables with
    100 scores from Student's t with 3 degrees of freedom, one or two have a far score.

    Some scores are not far all the same: a share between 0 and 1, if the middle scores are such shares; and a score that is less than FAR
    times as far out as the middle one of the other trainings of its arm and condition. If there are none, those of its arm, and those
    of its condition, take their place. So an arm or a condition that lies apart as a whole has no outliers. Nor is a score far that
    lies between others which are not.
    """
    table, design = runs.table, runs.design
    name = metric or design.metric
    scores = table[name].to_numpy(float) if name in table else np.full(len(table), np.nan)
    done = (table["state"] == "done").to_numpy()
    finite = done & np.isfinite(scores)
    if not finite.any():
        return []
    far = np.zeros(len(table), bool)
    far[finite] = _find_far_scores(scores[finite], table.loc[finite, design.compared], table.loc[finite, list(design.conditions)])
    others = scores[finite & ~far]
    low, high = float(others.min()), float(others.max())
    far &= (scores < low) | (scores > high)  # others may be further out, as a whole arm
    return [
        Outlier(
            runs.get_training_name(row),
            str(table[design.compared].iloc[row]),
            {axis: table[axis].iloc[row] for axis in design.conditions},
            table[design.replicated].iloc[row],
            float(scores[row]),
            low,
            high,
        )
        for row in np.flatnonzero(far | (done & ~finite)).tolist()
    ]


def find_typical_sample(runs: Runs, arm: str, condition: Condition, outliers: list[Outlier], metric: str | None = None) -> Sample:
    """Return an arm's sample at a condition without these trainings."""
    sample = runs.get_sample(arm, condition, metric)
    dropped = {row.replicate for row in outliers if row.arm == arm and row.condition == condition}
    return sample._replace(values={replicate: score for replicate, score in sample.values.items() if replicate not in dropped})


def find_score_span(runs: Runs, outliers: list[Outlier]) -> tuple[float, float]:
    """Return the lowest and the highest score without these trainings, which an axis must hold; 0 and 1 if there is none."""
    if outliers:
        return outliers[0].low, outliers[0].high
    scores = runs.table[runs.design.metric].where(runs.table["state"] == "done").to_numpy(float)
    scores = scores[np.isfinite(scores)]
    return (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 1.0)


def describe_outliers(outliers: list[Outlier], unit: Unit) -> str:
    """Return which trainings lie far from all others, and what means do with them, in one line. Empty if there are none."""
    far = [f"{row.training} ({_format_score(row.score, unit)})" for row in outliers if math.isfinite(row.score)]
    lost = [row.training for row in outliers if not math.isfinite(row.score)]
    parts = [
        (far, "scored far from all others", "means and intervals include {}"),
        (lost, "ended without a finite score", "means and intervals leave {} out"),
    ]
    return ". ".join(
        f"{_count_trainings(len(names))} {what}: {_join_names(names)}; {effect.format('them' if len(names) > 1 else 'it')}"
        for names, what, effect in parts
        if names
    )


def describe_outside(outliers: list[Outlier]) -> str:
    """Return how many trainings lie outside a figure's axes, for its caption. Empty if none does."""
    number = len({row.training for row in outliers if math.isfinite(row.score)})
    return f"{_count_trainings(number)} {'lie' if number > 1 else 'lies'} outside the axes" if number else ""


def _find_far_scores(scores: np.ndarray, arms: pd.Series, conditions: pd.DataFrame) -> np.ndarray:
    """Return which of the finite scores [n] are far."""
    n, cut = len(scores), math.ceil(TAIL * len(scores))
    if n < FEWEST:
        return np.zeros(n, bool)
    middle = np.sort(scores)[cut : n - cut]
    centre, low, high = float(np.median(middle)), float(middle[0]), float(middle[-1])
    with np.errstate(over="ignore"):
        distances, scale = np.abs(scores - centre), (high - low) or abs(centre)
        far: np.ndarray = (distances > FAR * scale) & (scale > 0)
        if far.any():
            far &= distances > FAR * _measure_others(distances, arms, conditions)
    return far & ((scores < 0) | (scores > 1)) if low >= 0 and high <= 1 else far


def _measure_others(distances: np.ndarray, arms: pd.Series, conditions: pd.DataFrame) -> np.ndarray:
    """Return, for each score, how far out the middle one of the others of its kind is; 0 without others.

    For a score that is further out than most of its n, it is the one at place (n - 1) // 2 of all n, counted from 0.
    """
    arm = pd.factorize(arms)[0]
    condition = conditions.groupby(list(conditions), sort=False).ngroup().to_numpy() if len(conditions.columns) else 0 * arm
    sample = arm * (condition.max() + 1) + condition
    own, by_arm, by_condition = (
        grouped.transform("quantile", 0.5, interpolation="lower").where(grouped.transform("size") > 1, 0.0).to_numpy()
        for grouped in (pd.Series(distances).groupby(codes) for codes in (sample, arm, condition))
    )
    alone = pd.Series(sample).groupby(sample).transform("size").to_numpy() == 1
    return np.where(alone, np.maximum(by_arm, by_condition), own)


def _format_score(score: float, unit: Unit) -> str:
    return f"{score * (100 if unit.percent else 1):.3g}{' %' if unit.percent else ''}".replace("-", "−")


def _join_names(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _count_trainings(number: int) -> str:
    return f"{number} training{'s' if number > 1 else ''}"
