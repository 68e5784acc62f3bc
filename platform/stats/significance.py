"""Statistics of small samples: pure functions, arrays in, NamedTuples out. Each number of a sample is from one training.

Results are exact where possible: permutation distributions are enumerated, not approximated, at the sizes that studies have. Functions
draw random numbers only from the Generator that they are given, and do no input or output. scipy.special gives the quantiles.
scipy.stats, which takes longer to import than a report takes to compute, is used for sizes that no study has, and by the tests as an
oracle. Numbers that agree to nine digits count as equal (float_ties.py), so that no rank, sign or p depends on the processor that
trained.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from platform.stats.float_ties import ROUNDING, measure_spread, merge_pair, merge_ties, subtract_exactly
from platform.stats.permutations import count_rank_sum_tails, double_ranks, sum_all_flips, sum_random_flips

Alternative = Literal["greater", "less", "two-sided"]

EXACT_PAIRS = 3600
"""n1 n2 up to which the rank test is exact (60 against 60: 10 ms); above, the normal approximation errs in the fourth digit"""
EXACT_FLIPS = 32
"""number of differences up to which all 2^n sign flips are enumerated"""


class RankTest(NamedTuple):
    """A rank test of x against y."""

    u: float
    """pairs (x, y) with x larger than y; a tie counts half"""
    p: float
    n1: int
    n2: int
    a12: float
    """u / (n1 n2): the probability that a draw of x is larger than one of y (Vargha & Delaney 2000)"""
    method: str
    """"exact", "exact with ties" or "normal" """


class PairedTest(NamedTuple):
    """A test of paired differences."""

    statistic: float
    p: float
    n: int
    method: str


class Interval(NamedTuple):
    """A mean and its interval; a value that a single number cannot give is NaN."""

    mean: float
    low: float
    high: float
    sd: float
    """of the sample, n - 1 in the denominator"""
    n: int


class Difference(NamedTuple):
    """mean(x) - mean(y) and its interval; NaN if a sample has one number."""

    mean: float
    low: float
    high: float
    sd: float
    """of the differences if paired, otherwise pooled over both samples"""
    error: float
    """standard error of the difference"""
    df: float


class Superiority(NamedTuple):
    """A12 and its interval."""

    a12: float
    low: float
    high: float


class Evidence(NamedTuple):
    """Probabilities of where a true difference lies, relative to the margin of equivalence; they sum to 1."""

    below: float
    within: float
    above: float


def mann_whitney(x: ArrayLike, y: ArrayLike, alternative: Alternative = "greater") -> RankTest:
    """Test exactly that x [n1] tends to be larger than y [n2] ("greater"), smaller ("less") or either (twice the smaller tail).

    The test is exact with ties too: it uses the distribution of the rank sum over all choices of n1 of the observed ranks (Streitberg
    & Röhmel 1986). The usual table assumes that all ranks differ, and is wrong there. Above EXACT_PAIRS the normal approximation is
    corrected for ties.
    """
    first, second = merge_pair(_check_sample(x), _check_sample(y))
    n1, n2 = len(first), len(second)
    ranks = double_ranks(np.concatenate([first, second]))
    rank_sum = int(ranks[:n1].sum())
    u = rank_sum / 2 - n1 * (n1 + 1) / 2
    if n1 * n2 > EXACT_PAIRS:
        from scipy import stats

        p = float(stats.mannwhitneyu(first, second, alternative=alternative, method="asymptotic").pvalue)
        return RankTest(u, p if p == p else 1.0, n1, n2, u / (n1 * n2), "normal")
    pool, other_sum = tuple(np.sort(ranks).tolist()), int(ranks[n1:].sum())
    greater, less = (
        count_rank_sum_tails(pool, n1, rank_sum) if n1 <= n2 else count_rank_sum_tails(pool, n2, other_sum)[::-1]
    )  # the smaller sample is enumerated
    ties = len(np.unique(ranks)) < len(ranks)
    return RankTest(u, _choose_tail(greater, less, alternative), n1, n2, u / (n1 * n2), "exact with ties" if ties else "exact")


def sign_flip(d: ArrayLike, rng: np.random.Generator, alternative: Alternative = "two-sided", draws: int = 10_000) -> PairedTest:
    """Test that the mean of the paired differences d [n] is above 0, below 0 or either, by flipping their signs in all 2^n ways.

    More than EXACT_FLIPS differences are tested by `draws` random flips, among which the observed one counts (Phipson & Smyth 2010).
    The statistic is the mean.
    """
    sample = _check_sample(d)
    n, total, slack = len(sample), float(sample.sum()), ROUNDING * float(np.abs(sample).sum())
    if not np.isfinite(slack):
        raise ValueError("of differences one of which is infinite there is no mean to test")
    if n <= EXACT_FLIPS:
        front, back = sum_all_flips(sample[: n // 2]), np.sort(sum_all_flips(sample[n // 2 :]))
        below = int(np.searchsorted(back, total - slack - front, "left").sum())
        up_to = int(np.searchsorted(back, total + slack - front, "right").sum())
        greater, less, method = 1 - below / 2**n, up_to / 2**n, "exact"
    else:
        sums = sum_random_flips(sample, draws, rng)
        greater, less = ((1 + np.count_nonzero(side)) / (draws + 1) for side in (sums >= total - slack, sums <= total + slack))
        method = f"{draws} draws"
    return PairedTest(total / n, _choose_tail(greater, less, alternative), n, method)


def adjust_holm(p: ArrayLike, total: int = 0) -> np.ndarray:
    """Return Holm's step-down adjustment of p-values [m]. NaN means no test: it stays NaN and does not count in m.

    `total` is the number of hypotheses from which these were picked, by whatever rule, if they are more than m. The family of all of them
    keeps its level: before the first false rejection, the r-th, there were r - 1 right ones, so at most total - r + 1 hypotheses are true.
    """
    raw = np.asarray(p, dtype=float)
    adjusted, tested = np.full(raw.shape, np.nan), np.flatnonzero(~np.isnan(raw))
    order = tested[np.argsort(raw[tested], kind="stable")]
    factors = max(total, len(order)) - np.arange(len(order))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(raw[order] * factors))
    return adjusted


def adjust_benjamini_hochberg(p: ArrayLike) -> np.ndarray:
    """Return Benjamini & Hochberg's (1995) step-up adjustment of p-values [m] for the false discovery rate; NaN as in `adjust_holm`."""
    raw = np.asarray(p, dtype=float)
    adjusted, tested = np.full(raw.shape, np.nan), np.flatnonzero(~np.isnan(raw))
    order = tested[np.argsort(-raw[tested], kind="stable")]
    m = len(order)
    adjusted[order] = np.minimum(1, np.minimum.accumulate(raw[order] * (m / np.arange(m, 0, -1))))
    return adjusted


def estimate_a12(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Superiority:
    """Return A12 of independent samples x [n1] and y [n2] with Cliff's asymmetric interval (Feng & Cliff 2004).

    If the samples do not overlap, every variance is 0 and every such interval a point. The exact bound of n = min(n1, n2) pairs that
    all agree is then used: so many disjoint pairs agree by chance with probability A12^n.
    """
    first, second = merge_pair(_check_sample(x), _check_sample(y))
    n1, n2 = len(first), len(second)
    dominance = _compare_pairs(first, second)
    delta, bound = float(dominance.mean()), ((1 - level) / 2) ** (1 / min(n1, n2))
    if abs(delta) == 1:
        return Superiority(1.0, bound, 1.0) if delta > 0 else Superiority(0.0, 0.0, 1 - bound)
    if min(n1, n2) < 2:
        return Superiority((delta + 1) / 2, np.nan, np.nan)
    rows, columns = ((dominance.mean(axis) - delta) ** 2 for axis in (1, 0))
    variance = (n2**2 * rows.sum() + n1**2 * columns.sum() - ((dominance - delta) ** 2).sum()) / (n1 * n2 * (n1 - 1) * (n2 - 1))
    variance = max(float(variance), (1 - delta**2) / (n1 * n2 - 1))
    reach = _t_quantile(n1 + n2 - 2, level) ** 2 * variance
    middle, half = delta - delta**3, (reach * ((1 - delta**2) ** 2 + reach)) ** 0.5
    low, high = ((middle + side * half) / (1 - delta**2 + reach) for side in (-1, 1))
    return Superiority((delta + 1) / 2, (max(low, -1.0) + 1) / 2, (min(high, 1.0) + 1) / 2)


def wilson_interval(share: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's (1927) interval of the proportion `share` of n items that are right or wrong."""
    z2 = float(special.ndtri((1 + level) / 2)) ** 2
    middle, half = share + z2 / (2 * n), (z2 * (share * (1 - share) / n + z2 / (4 * n**2))) ** 0.5
    return (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)


def spearman_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Return the rank correlation of x [n] and y [n]; NaN if either is constant."""
    a, b = double_ranks(merge_ties(_check_sample(x))), double_ranks(merge_ties(_check_sample(y)))
    return float(np.corrcoef(a, b)[0, 1]) if min(np.ptp(a), np.ptp(b)) > 0 else np.nan


def t_interval(x: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of x [n] with Student's interval, the only usual one that keeps its level at ten numbers."""
    sample = _check_sample(x)
    n, mean = len(sample), float(np.mean(sample))
    if n < 2:
        return Interval(mean, np.nan, np.nan, np.nan, n)
    sd = measure_spread(sample)
    half = _t_quantile(n - 1, level) * sd / n**0.5
    return Interval(mean, mean - half, mean + half, sd, n)


def mean_difference(x: ArrayLike, y: ArrayLike, paired: bool = False, level: float = 0.95) -> Difference:
    """Return mean(x) - mean(y) of x [n1] and y [n2] with an interval: Student's of the differences if paired (n1 = n2), otherwise
    Welch's.
    """
    first, second = _check_sample(x), _check_sample(y)
    if paired:
        mean, low, high, sd, n = t_interval(subtract_pairs(first, second), level)
        return Difference(mean, low, high, sd, sd / n**0.5, n - 1 if n > 1 else np.nan)
    mean, (n1, n2) = float(subtract_exactly(np.mean(first), np.mean(second))), (len(first), len(second))
    if min(n1, n2) < 2:
        return Difference(mean, *[np.nan] * 5)
    sd1, sd2 = measure_spread(first), measure_spread(second)
    e1, e2, freedom = sd1 / n1**0.5, sd2 / n2**0.5, n1 + n2 - 2
    sd, error = math.hypot(sd1 * ((n1 - 1) / freedom) ** 0.5, sd2 * ((n2 - 1) / freedom) ** 0.5), math.hypot(e1, e2)
    if error == 0:
        return Difference(mean, mean, mean, 0.0, 0.0, np.nan)
    share = (e1 / error) ** 2
    df = 1 / (share**2 / (n1 - 1) + (1 - share) ** 2 / (n2 - 1))
    half = _t_quantile(df, level) * error
    return Difference(mean, mean - half, mean + half, sd, error, df)


def hodges_lehmann(x: ArrayLike, y: ArrayLike, paired: bool = False) -> float:
    """Return the rank tests' shift of x [n1] against y [n2]: the median over pairs, or if paired over means of two differences."""
    first, second = _check_sample(x), _check_sample(y)
    if paired:
        d = subtract_pairs(first, second)
        return float(np.median(((d[:, None] + d) / 2)[np.triu_indices(len(d))]))
    return float(np.median(subtract_exactly(first[:, None], second[None, :])))


def compute_difference_p(difference: Difference, alternative: Alternative = "two-sided") -> float:
    """Return p of the t test that a difference's true value is above 0, below 0 or either: Student's if paired, otherwise Welch's.

    Its two-sided p and the difference's interval are one procedure: p <= 0.05 if and only if the 95 % interval excludes 0. NaN where the
    scores do not vary, because Student's t is then undefined.
    """
    if not difference.error > 0:
        return np.nan
    t = difference.mean / difference.error
    p = _choose_tail(special.stdtr(difference.df, -t), special.stdtr(difference.df, t), alternative)
    return max(p, float(np.finfo(float).tiny))  # a p is small, not 0


def compute_equivalence_p(difference: Difference, rope: float) -> float:
    """Return p of two one-sided t tests (Schuirmann 1987) that the true difference lies between -rope and rope.

    NaN where the scores do not vary: that two samples agree to the last digit does not show how far others would differ.
    """
    if not difference.error > ROUNDING * rope:
        return np.nan
    return float(special.stdtr(difference.df, (abs(difference.mean) - rope) / difference.error))


def compute_evidence(difference: Difference, rope: float) -> Evidence:
    """Return the probabilities that the true difference lies below -rope, within the margin and above rope, given the scores.

    It is the posterior of the t model with the usual flat prior, a t distribution about the measured difference (Benavoli, Corani, Demsar
    & Zaffalon 2017, section 4.1, with replicates that are not correlated). NaN where the scores do not vary.
    """
    if not difference.error > 0:
        return Evidence(np.nan, np.nan, np.nan)
    below = float(special.stdtr(difference.df, (-rope - difference.mean) / difference.error))
    above = float(special.stdtr(difference.df, (difference.mean - rope) / difference.error))
    return Evidence(below, max(0.0, 1 - below - above), above)


def average_differences(differences: Sequence[Difference], level: float = 0.95) -> Difference:
    """Return the mean of independent differences with Student's interval and Satterthwaite's degrees of freedom."""
    k, mean = len(differences), float(np.mean([difference.mean for difference in differences]))
    errors, dfs = (np.array([getattr(difference, name) for difference in differences]) for name in ("error", "df"))
    if np.isnan(errors).any():
        return Difference(mean, *[np.nan] * 5)
    total, sd, nonzero = math.hypot(*errors), math.hypot(*(difference.sd / k**0.5 for difference in differences)), errors > 0
    if total == 0:
        return Difference(mean, mean, mean, sd, 0.0, np.nan)
    error, df = total / k, float(1 / ((errors[nonzero] / total) ** 4 / dfs[nonzero]).sum())
    half = _t_quantile(df, level) * error
    return Difference(mean, mean - half, mean + half, sd, error, df)


def subtract_pairs(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Return x - y of paired samples of equal length; 0 where both agree to nine digits."""
    first, second = _check_sample(x), _check_sample(y)
    if len(first) != len(second):
        raise ValueError(f"pairs are as many of the one as of the other: not {len(first)} and {len(second)}")
    return subtract_exactly(first, second)


def _t_quantile(df: float, level: float) -> float:
    """Return the half-width, in standard errors, of Student's two-sided interval of this level."""
    return float(special.stdtrit(df, (1 + level) / 2))


def _choose_tail(greater: float, less: float, alternative: Alternative) -> float:
    """Return the p of a pair of tails, each of which includes the observed value."""
    p = {"greater": greater, "less": less}.get(alternative, 2 * min(greater, less))
    return min(1.0, float(p))


def _compare_pairs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return [n1, n2]: 1 where the number of x is larger than that of y, -1 where it is smaller."""
    result: np.ndarray = np.greater.outer(x, y) * 1.0 - np.less.outer(x, y)
    return result


def _check_sample(x: ArrayLike) -> np.ndarray:
    sample = np.asarray(x, dtype=float)
    if sample.ndim != 1 or not len(sample) or np.isnan(sample).any():
        raise ValueError(f"a sample is one row of at least one number, none of them NaN: not {x!r}")
    return sample
