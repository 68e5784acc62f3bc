"""What samples of a given size can show: the smallest p, and the differences that a test likely detects. Pure functions."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import special

from platform.stats.significance import Alternative

MOST_REPLICATES = 1_000_000
"""replicates per arm up to which `find_needed_replicates` searches; no study affords more"""
FAR = 1e4
"""a centre of the noncentral t distribution from which on scipy takes milliseconds; from 1e10 on it gives no number"""


def find_smallest_p(n1: int, n2: int | None = None, alternative: Alternative = "two-sided") -> float:
    """Return the smallest p that a rank test of n1 against n2 numbers can give; without n2, a sign-flip or signed-rank test of n1 pairs."""
    share = 0.5**n1 if n2 is None else 1 / special.comb(n1 + n2, n1)
    return min(1.0, float(share) * (2 if alternative == "two-sided" else 1))


def compute_power(d: float, n1: float, n2: float | None = None, alpha: float = 0.05, alternative: Alternative = "two-sided") -> float:
    """Return the power of a t test for a true difference of d standard deviations; without n2, of n1 paired differences."""
    df, scale = (n1 - 1, n1**0.5) if n2 is None else (n1 + n2 - 2, (n1 * n2 / (n1 + n2)) ** 0.5)
    critical, centre = -special.stdtrit(df, alpha / 2 if alternative == "two-sided" else alpha), d * scale
    wrong_side = 1 - _noncentral_t_cdf(df, -centre, critical) if alternative == "two-sided" else 0.0
    return 1 - _noncentral_t_cdf(df, centre, critical) + wrong_side


def _noncentral_t_cdf(df: float, centre: float, bar: float) -> float:
    """Return P(T <= bar) of the noncentral t distribution, for a bar above 0.

    scipy returns NaN for many centres above 35, and for those below 0 where the probability is 1 to all digits. Far from 0 the
    numerator hardly varies: what remains is the probability that the standard deviation in the denominator is large. The error is
    below 1e-7 from FAR on, and below 1e-12 where scipy returns NaN before FAR.
    """
    probability = float(special.nctdtr(df, centre, bar)) if abs(centre) < FAR else np.nan
    if probability == probability:
        return probability
    return float(special.chdtrc(df, df * (min(centre, 1e100) / bar) ** 2)) if centre > 0 else 1.0


@lru_cache(maxsize=4096)
def find_detectable_effect(
    n1: int, n2: int | None = None, alpha: float = 0.05, alternative: Alternative = "two-sided", wanted: float = 0.8
) -> float:
    """Return the true difference, in standard deviations, that a t test of these sizes detects with power `wanted`; NaN above 1000."""
    if min(n1, n2 or n1) < 2:
        return np.nan
    return _find_first(lambda d: compute_power(d, n1, n2, alpha, alternative) >= wanted, 0.0, 1000.0)


def find_needed_replicates(
    d: float, paired: bool, alpha: float = 0.05, alternative: Alternative = "two-sided", wanted: float = 0.8
) -> float:
    """Return the replicates per arm that a t test needs to detect a true difference of d > 0 standard deviations with power `wanted`.

    The result is at least 2, since fewer have no standard deviation; it is infinity if MOST_REPLICATES are not enough.
    """
    replicates = _find_first(lambda n: compute_power(d, n, None if paired else n, alpha, alternative) >= wanted, 2.0, MOST_REPLICATES)
    return np.inf if np.isnan(replicates) else replicates


def _find_first(enough: Callable[[float], bool], low: float, most: float) -> float:
    """Return the smallest number from `low` on that is enough, by doubling and bisection; NaN if `most` is not enough."""
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
