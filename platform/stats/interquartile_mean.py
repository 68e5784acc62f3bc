"""The interquartile mean of an arm's trainings over several tasks, with a stratified bootstrap interval (Agarwal et al. 2021)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

BATCH = 4_000_000
"""numbers resampled at a time, so that large tables need no more memory than small ones"""


class InterquartileMean(NamedTuple):
    """The mean of the middle half of all scores, and its percentile interval."""

    mean: float
    low: float
    high: float


def compute_interquartile_mean(scores: ArrayLike) -> np.ndarray:
    """Return the mean of the middle half of scores [..., n]: [...]. A quarter of them, rounded down, is left out at either end."""
    numbers = np.asarray(scores, dtype=float)
    n = numbers.shape[-1]
    cut = n // 4
    middle = np.sort(numbers, axis=-1)[..., cut : n - cut]
    result: np.ndarray = (middle / middle.shape[-1]).sum(-1)  # divided first, so that no sum overflows
    return result


def bootstrap_interquartile_mean(scores: ArrayLike, rng: np.random.Generator, draws: int = 2000, level: float = 0.95) -> InterquartileMean:
    """Return the interquartile mean of scores [runs, tasks], over runs and tasks together, with its percentile interval.

    Each draw resamples the runs of each task on their own: the definition takes the scores of a run in several tasks as independent.
    Runs are sorted first, so that their order changes nothing. One run alone has no interval: its ends are NaN.
    """
    table = np.sort(np.asarray(scores, dtype=float), axis=0)
    if table.ndim != 2 or not table.size or np.isnan(table).any():
        raise ValueError(f"an interquartile mean needs a table of runs by tasks, without NaN: not {table.shape} numbers")
    runs, tasks = table.shape
    mean = float(compute_interquartile_mean(table.ravel()))
    if runs < 2:
        return InterquartileMean(mean, np.nan, np.nan)
    batch, means = max(1, BATCH // table.size), []
    for begin in range(0, draws, batch):
        chosen = rng.integers(runs, size=(min(batch, draws - begin), runs, tasks))
        means.append(compute_interquartile_mean(table[chosen, np.arange(tasks)].reshape(len(chosen), -1)))
    low, high = np.percentile(np.concatenate(means), [50 * (1 - level), 50 * (1 + level)])
    return InterquartileMean(mean, float(low), float(high))
