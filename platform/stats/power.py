"""What samples of a given size can show: the differences that the reports' test, the t test, likely detects. Pure functions."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import special

from platform.stats.significance import Alternative

MOST_REPLICATES = 1_000_000
"""replicates per arm up to which `find_needed_replicates` searches; no study affords more"""
FEWEST = 3
"""the fewest replicates per arm for which a report makes a test"""
SHARES = (np.arange(32) + 0.5) / 32
"""quantiles over which a mean over a distribution is taken"""
FAR = 1e4
"""a centre of the noncentral t distribution from which on scipy takes milliseconds; from 1e10 on it gives no number"""


def compute_power(d: float, n1: float, n2: float | None = None, alpha: float = 0.05, alternative: Alternative = "two-sided") -> float:
    """Return the power of the t test for a true difference of d standard deviations: Student's of n1 paired differences without n2,
    otherwise Welch's of samples with equal variances.

    Welch's critical value depends on the ratio of the two sample variances. Given that ratio, which has a beta distribution and is
    independent of the variances' sum, his statistic has a noncentral t distribution up to a factor. The power is the mean over the ratio.
    """
    tail = alpha / 2 if alternative == "two-sided" else alpha
    if n2 is None:
        df, centre, bars = n1 - 1, d * n1**0.5, [-float(special.stdtrit(n1 - 1, tail))]
    else:
        df, centre = n1 + n2 - 2, d * (n1 * n2 / (n1 + n2)) ** 0.5
        first = special.betaincinv((n1 - 1) / 2, (n2 - 1) / 2, SHARES)  # of n1 - 1 and n2 - 1 squares of standard normal numbers
        errors = first / ((n1 - 1) * n1), (1 - first) / ((n2 - 1) * n2)
        total = errors[0] + errors[1]
        welch = total**2 / (errors[0] ** 2 / (n1 - 1) + errors[1] ** 2 / (n2 - 1))
        bars = (-special.stdtrit(welch, tail) * (total * df * n1 * n2 / (n1 + n2)) ** 0.5).tolist()
    wrong_side = [1 - _noncentral_t_cdf(df, -centre, bar) for bar in bars] if alternative == "two-sided" else [0.0]
    return float(np.mean([1 - _noncentral_t_cdf(df, centre, bar) for bar in bars]) + np.mean(wrong_side))


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
    if min(n1, n2 or n1) < FEWEST:
        return np.nan
    return _find_first(lambda d: compute_power(d, n1, n2, alpha, alternative) >= wanted, 0.0, 1000.0)


def find_needed_replicates(
    d: float, paired: bool, alpha: float = 0.05, alternative: Alternative = "two-sided", wanted: float = 0.8
) -> float:
    """Return the replicates per arm that a t test needs to detect a true difference of d > 0 standard deviations with power `wanted`.

    The result is at least FEWEST; it is infinity if MOST_REPLICATES are not enough.
    """
    replicates = _find_first(
        lambda n: compute_power(d, n, None if paired else n, alpha, alternative) >= wanted, float(FEWEST), MOST_REPLICATES
    )
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
