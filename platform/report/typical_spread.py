"""Measures the typical spread between trainings that differ only in their replicate."""

import math
from collections.abc import Sequence
from statistics import median, median_low

from platform.report.runs_table import Runs
from platform.stats.float_ties import ROUNDING

NORMAL = 1.4826
"""standard deviation of a normal distribution over its median absolute deviation"""


def measure_typical_spread(runs: Runs) -> float:
    """Return the spread of the metric within an arm under a condition, on the scale of a standard deviation.

    It is the median distance between a training's score and the median of its sample, times NORMAL (median absolute deviation; Hampel
    1974). Half of the trainings may diverge without changing it much. Distances of 0 do not count. If there is no other, it is the same
    about the median of all scores. NaN if all scores are equal, or if there are none.
    """
    samples = [list(runs.get_sample(arm, condition).values.values()) for condition in runs.conditions for arm in runs.arms]
    distances = [distance for sample in samples for distance in _list_distances(sample)]
    distances = distances or _list_distances([score for sample in samples for score in sample])
    return NORMAL * median_low(distances) if distances else math.nan


def _list_distances(scores: Sequence[float]) -> list[float]:
    """Return the distances of scores from their median that are neither 0 nor, of scores near the largest float, infinite."""
    centre = median(scores) if scores else 0.0
    return [distance for score in scores if ROUNDING * abs(centre) < (distance := abs(score - centre)) < math.inf]
