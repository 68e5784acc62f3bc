"""What samples of a size can show at all: the smallest p, and the differences that a test would likely find. Pure functions."""

from functools import lru_cache

import numpy as np
from scipy import optimize, special, stats

from platform.significance import Alternative


def smallest_p(n1: int, n2: int | None = None, alternative: Alternative = "two-sided") -> float:
    """The smallest p that a rank test of n1 against n2 numbers, or, without n2, a sign flip or signed-rank test of n1 pairs, can give."""
    share = 0.5**n1 if n2 is None else 1 / special.comb(n1 + n2, n1)
    return min(1.0, float(share) * (2 if alternative == "two-sided" else 1))


def power(d: float, n1: float, n2: float | None = None, alpha: float = 0.05, alternative: Alternative = "two-sided") -> float:
    """Chance that a t test finds a true difference of d standard deviations; without n2 of n1 paired differences."""
    df, scale = (n1 - 1, n1**0.5) if n2 is None else (n1 + n2 - 2, (n1 * n2 / (n1 + n2)) ** 0.5)
    bar = stats.t.isf(alpha / 2 if alternative == "two-sided" else alpha, df)
    wrong = float(stats.nct.sf(bar, df, -d * scale)) if alternative == "two-sided" else 0.0  # nct.cdf(-bar, df, d * scale) is often NaN
    return float(stats.nct.sf(bar, df, d * scale)) + wrong


@lru_cache(maxsize=4096)
def detectable(n1: int, n2: int | None = None, alpha: float = 0.05, alternative: Alternative = "two-sided", wanted: float = 0.8) -> float:
    """The true difference, in standard deviations, that a t test of these sizes finds with chance `wanted`; NaN where none can."""
    if min(n1, n2 or n1) < 2:
        return np.nan
    high = 1.0
    while power(high, n1, n2, alpha, alternative) < wanted:
        high *= 2
        if high > 1000:
            return np.nan
    return float(optimize.brentq(lambda d: power(d, n1, n2, alpha, alternative) - wanted, 0.0, high))


def needed(d: float, paired: bool, alpha: float = 0.05, alternative: Alternative = "two-sided", wanted: float = 0.8) -> float:
    """How many replicates an arm a t test needs to find a true difference of d > 0 standard deviations with chance `wanted`."""

    def short(n: float) -> float:
        return power(d, n, None if paired else n, alpha, alternative) - wanted

    high = 4.0
    while short(high) < 0:
        high *= 2
        if high > 1e7:
            return np.inf
    return float(optimize.brentq(short, 2.0, high)) if short(2.0) < 0 else 2.0
