"""What samples of a size can show at all: the smallest p, and the differences that a test would likely find. Pure functions."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import special

from platform.stats.significance import Alternative

MOST_REPLICATES = 1_000_000
"""replicates an arm up to which `find_needed_replicates` looks; no study affords more"""
FAR = 1e4
"""a centre of the noncentral t distribution from which scipy takes milliseconds, and from 1e10 on has no number"""


def find_smallest_p(n1: int, n2: int | None = None, alternative: Alternative = "two-sided") -> float:
    """The smallest p that a rank test of n1 against n2 numbers, or, without n2, a sign flip or signed-rank test of n1 pairs, can give."""
    share = 0.5**n1 if n2 is None else 1 / special.comb(n1 + n2, n1)
    return min(1.0, float(share) * (2 if alternative == "two-sided" else 1))


def compute_power(d: float, n1: float, n2: float | None = None, alpha: float = 0.05, alternative: Alternative = "two-sided") -> float:
    """Chance that a t test finds a true difference of d standard deviations; without n2 of n1 paired differences."""
    df, scale = (n1 - 1, n1**0.5) if n2 is None else (n1 + n2 - 2, (n1 * n2 / (n1 + n2)) ** 0.5)
    bar, centre = -special.stdtrit(df, alpha / 2 if alternative == "two-sided" else alpha), d * scale
    wrong = 1 - _noncentral_t_cdf(df, -centre, bar) if alternative == "two-sided" else 0.0
    return 1 - _noncentral_t_cdf(df, centre, bar) + wrong


def _noncentral_t_cdf(df: float, centre: float, bar: float) -> float:
    """P(T <= bar) of the noncentral t distribution, of a bar above 0.

    scipy has NaN for many centres beyond 35, and below 0 where the chance is 1 in all its digits. Far from 0 the numerator hardly varies:
    what is left is the chance that the standard deviation in the denominator is large. The error is below 1e-7 from FAR on, and below
    1e-12 where scipy has NaN before.
    """
    found = float(special.nctdtr(df, centre, bar)) if abs(centre) < FAR else np.nan
    if found == found:
        return found
    return float(special.chdtrc(df, df * (min(centre, 1e100) / bar) ** 2)) if centre > 0 else 1.0


@lru_cache(maxsize=4096)
def find_detectable_effect(
    n1: int, n2: int | None = None, alpha: float = 0.05, alternative: Alternative = "two-sided", wanted: float = 0.8
) -> float:
    """The true difference, in standard deviations, that a t test of these sizes finds with chance `wanted`; NaN where not even 1000 are."""
    if min(n1, n2 or n1) < 2:
        return np.nan
    return _find_first(lambda d: compute_power(d, n1, n2, alpha, alternative) >= wanted, 0.0, 1000.0)


def find_needed_replicates(
    d: float, paired: bool, alpha: float = 0.05, alternative: Alternative = "two-sided", wanted: float = 0.8
) -> float:
    """How many replicates an arm a t test needs to find a true difference of d > 0 standard deviations with chance `wanted`.

    At least 2, for fewer have no standard deviation; infinity where MOST_REPLICATES are not enough.
    """
    found = _find_first(lambda n: compute_power(d, n, None if paired else n, alpha, alternative) >= wanted, 2.0, MOST_REPLICATES)
    return np.inf if np.isnan(found) else found


def _find_first(enough: Callable[[float], bool], low: float, most: float) -> float:
    """The smallest number from low on that is enough, by doubling and halving; NaN where not even `most` is."""
    if enough(low):
        return low
    high = max(1.0, 2 * low)
    while not enough(high):
        if high >= most:
            return np.nan
        low, high = high, min(2 * high, most)
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
