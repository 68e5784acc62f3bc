"""What samples of a size can show at all: the smallest p, and the differences that a test would likely find. Pure functions."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import special

from platform.significance import Alternative


def smallest_p(n1: int, n2: int | None = None, alternative: Alternative = "two-sided") -> float:
    """The smallest p that a rank test of n1 against n2 numbers, or, without n2, a sign flip or signed-rank test of n1 pairs, can give."""
    share = 0.5**n1 if n2 is None else 1 / special.comb(n1 + n2, n1)
    return min(1.0, float(share) * (2 if alternative == "two-sided" else 1))


def power(d: float, n1: float, n2: float | None = None, alpha: float = 0.05, alternative: Alternative = "two-sided") -> float:
    """Chance that a t test finds a true difference of d standard deviations; without n2 of n1 paired differences."""
    df, scale = (n1 - 1, n1**0.5) if n2 is None else (n1 + n2 - 2, (n1 * n2 / (n1 + n2)) ** 0.5)
    bar = special.stdtrit(df, 1 - alpha / 2 if alternative == "two-sided" else 1 - alpha)
    wrong = np.nan_to_num(1 - special.nctdtr(df, -d * scale, bar)) if alternative == "two-sided" else 0.0  # scipy has NaN where it is 0
    return float(1 - special.nctdtr(df, d * scale, bar) + wrong)


@lru_cache(maxsize=4096)
def detectable(n1: int, n2: int | None = None, alpha: float = 0.05, alternative: Alternative = "two-sided", wanted: float = 0.8) -> float:
    """The true difference, in standard deviations, that a t test of these sizes finds with chance `wanted`; NaN where none can."""
    if min(n1, n2 or n1) < 2:
        return np.nan
    return _first(lambda d: power(d, n1, n2, alpha, alternative) >= wanted, 0.0, 1000.0)


def needed(d: float, paired: bool, alpha: float = 0.05, alternative: Alternative = "two-sided", wanted: float = 0.8) -> float:
    """How many replicates an arm a t test needs to find a true difference of d > 0 standard deviations with chance `wanted`."""
    found = _first(lambda n: power(d, n, None if paired else n, alpha, alternative) >= wanted, 2.0, 1e7)
    return np.inf if np.isnan(found) else found


def _first(enough: Callable[[float], bool], low: float, most: float) -> float:
    """The smallest number from low on that is enough, by doubling and halving; NaN where not even `most` is."""
    if enough(low):
        return low
    high = max(1.0, 2 * low)
    while not enough(high):
        low, high = high, 2 * high
        if high > most:
            return np.nan
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
