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
from platform.stats.permutations import count_rank_sum_tails, double_ranks, draw_bootstrap_shares, sum_all_flips, sum_random_flips

Alternative = Literal["greater", "less", "two-sided"]

EXACT_PAIRS = 3600
"""n1 n2 up to which the rank test is exact (60 against 60: 10 ms); above, the normal approximation errs in the fourth digit"""
EXACT_FLIPS = 32
"""number of differences up to which all 2^n sign flips are enumerated"""
EXACT_SIGNED = 300
"""number of differences up to which the signed-rank test is exact"""


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


class Across(NamedTuple):
    """Two arms over several conditions, each with the same weight; a value that a single number cannot give is NaN."""

    difference: float
    low: float
    high: float
    a12: float
    a12_low: float
    a12_high: float


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


def signed_rank(d: ArrayLike, alternative: Alternative = "two-sided") -> PairedTest:
    """Test exactly, by signed ranks, that the paired differences d [n] are above 0, below 0 or either, with ties and zeros.

    A zero is ranked and left out of the sum (Pratt 1959). The statistic is the sum of the positive differences' ranks.
    """
    sample = _check_sample(d)
    sizes = np.abs(sample)
    slack = ROUNDING * sizes.max(initial=0.0, where=np.isfinite(sizes))
    # 0.8 - 0.7 and 0.7 - 0.6 are a tie, and the rounding error of 0.8 - 0.8 is 0
    sizes = merge_ties(np.concatenate([[0.0], sizes]), slack)[1:]
    ranks = double_ranks(sizes)
    rank_sum = int(ranks[(sample > 0) & (sizes > 0)].sum())
    if len(sample) > EXACT_SIGNED and sizes.any():
        from scipy import stats

        test = stats.wilcoxon(np.sign(sample) * sizes, zero_method="pratt", alternative=alternative, method="asymptotic")
        return PairedTest(rank_sum / 2, float(test.pvalue), len(sample), "normal")
    ways = np.ones(1)
    for rank in ranks[sizes > 0]:
        ways = np.concatenate([ways, np.zeros(rank)]) + np.concatenate([np.zeros(rank), ways])
    ways /= ways.sum()
    return PairedTest(rank_sum / 2, _choose_tail(ways[rank_sum:].sum(), ways[: rank_sum + 1].sum(), alternative), len(sample), "exact")


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


def adjust_holm(p: ArrayLike) -> np.ndarray:
    """Return Holm's step-down adjustment of p-values [m]. NaN means no test: it stays NaN and does not count in m."""
    raw = np.asarray(p, dtype=float)
    adjusted, tested = np.full(raw.shape, np.nan), np.flatnonzero(~np.isnan(raw))
    order = tested[np.argsort(raw[tested], kind="stable")]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(raw[order] * np.arange(len(order), 0, -1)))
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


def compute_equivalence_p(difference: Difference, rope: float) -> float:
    """Return p of two one-sided t tests (Schuirmann 1987) that the true difference lies between -rope and rope; NaN without an interval."""
    if np.isnan(difference.low):
        return np.nan
    if difference.error <= ROUNDING * rope:  # the difference is known: at the margin it must not depend on the last digit
        return float(abs(difference.mean) >= rope * (1 - ROUNDING))
    return float(special.stdtr(difference.df, (abs(difference.mean) - rope) / difference.error))


def corrected_t(d: ArrayLike, test_share: float, level: float = 0.95) -> Difference:
    """Return the mean of paired differences d [n] whose replicates redraw training and test sets from one pool (Nadeau & Bengio 2003).

    Replicates share images, so the plain interval is too narrow: the variance of the mean is (1/n + n_test/n_train) s^2 instead of
    s^2/n. `test_share` is n_test/n_train. The t statistic is mean / error; its p is that of Student's t with df.
    """
    sample = _check_sample(d)
    n, mean = len(sample), float(np.mean(sample))
    if n < 2:
        return Difference(mean, *[np.nan] * 5)
    sd = measure_spread(sample)
    error = sd * (1 / n + test_share) ** 0.5
    half = _t_quantile(n - 1, level) * error
    return Difference(mean, mean - half, mean + half, sd, error, n - 1)


def bootstrap_conditions(
    pairs: Sequence[tuple[ArrayLike, ArrayLike, bool]], rng: np.random.Generator, draws: int = 2000, level: float = 0.95
) -> Across:
    """Return mean difference and A12 of x over y, averaged over conditions, with percentile intervals of a stratified bootstrap.

    A condition is (x [n1], y [n2], paired). Its replicates are resampled within it, those of both arms together if they are paired.
    With an arm of one number the estimates have no intervals.
    """
    if not pairs:
        raise ValueError("an average needs a condition")
    differences, superiorities, points = np.zeros(draws), np.zeros(draws), np.zeros(2)
    for x, y, paired in pairs:
        first, second = merge_pair(_check_sample(x), _check_sample(y))
        superiority = (_compare_pairs(first, second) + 1) / 2
        w1 = draw_bootstrap_shares(len(first), draws, rng)
        w2 = w1 if paired else draw_bootstrap_shares(len(second), draws, rng)
        if paired:
            resampled = w1 @ subtract_pairs(first, second)
        else:
            centre = np.median(np.concatenate([first, second]))  # centred, so that equal numbers differ by 0 in sums too
            resampled = w1 @ (first - centre) - w2 @ (second - centre)
        differences += resampled / len(pairs)
        superiorities += ((w1 @ superiority) * w2).sum(1) / len(pairs)
        if min(len(first), len(second)) < 2:  # resampling returns the one number itself, as if it were known exactly
            differences, superiorities = differences * np.nan, superiorities * np.nan
        points += np.array([subtract_exactly(first.mean(), second.mean()), superiority.mean()]) / len(pairs)
    ends = [50 * (1 - level), 50 * (1 + level)]
    low, high = np.percentile(differences, ends)
    a12_low, a12_high = np.percentile(superiorities, ends)
    return Across(float(points[0]), float(low), float(high), float(points[1]), float(a12_low), float(a12_high))


def permute_within_conditions(
    pairs: Sequence[tuple[ArrayLike, ArrayLike, bool]],
    rng: np.random.Generator,
    alternative: Alternative = "two-sided",
    draws: int = 10_000,
) -> PairedTest:
    """Test that x does better than y over several conditions at once, by permutations within each condition.

    Conditions are as in `bootstrap_conditions`: paired differences flip their signs, unpaired numbers are permuted between the arms.
    The statistic is the mean over conditions of the difference of means. For p the observed statistic counts among `draws` random
    permutations.
    """
    total, slack, sums, n = 0.0, 0.0, np.zeros(draws), 0
    for x, y, paired in pairs:
        first, second = _check_sample(x), _check_sample(y)
        if paired:
            numbers = subtract_pairs(first, second)
            total += float(numbers.mean())
            sums += sum_random_flips(numbers, draws, rng) / len(first)
            n += len(first)
        else:
            numbers = np.concatenate(merge_pair(first, second))
            numbers -= np.median(numbers)  # rounding errors of sums are then relative to the spread, not to the magnitude
            total += float(numbers[: len(first)].mean() - numbers[len(first) :].mean())
            pool = rng.permuted(np.tile(numbers, (draws, 1)), axis=1)
            sums += pool[:, : len(first)].mean(1) - pool[:, len(first) :].mean(1)
            n += len(first) + len(second)
        slack += ROUNDING * float(np.abs(numbers).mean())
    greater, less = ((1 + np.count_nonzero(side)) / (draws + 1) for side in (sums >= total - slack, sums <= total + slack))
    return PairedTest(total / len(pairs), _choose_tail(greater, less, alternative), n, f"{draws} draws")


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
