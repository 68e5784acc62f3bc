"""Statistics of small samples: pure functions, arrays in, NamedTuples out. One number of a sample is one training's.

Exact where it can be: permutation distributions are counted, not approximated, at the sizes that studies have. No function draws a
random number but from the Generator it is given, and none reads or writes anything. scipy.special gives the quantiles; scipy.stats, which
takes longer to import than a report to compute, is there for sizes that no study has, and as the tests' oracle. Numbers that agree to
nine digits count as equal (rounding.py), so that no rank, sign or p depends on the processor that trained.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from platform.stats.counting import count_rank_sum_tails, double_ranks, draw_bootstrap_shares, sum_all_flips, sum_random_flips
from platform.stats.rounding import ROUNDING, measure_spread, merge_pair, merge_ties, subtract_exactly

Alternative = Literal["greater", "less", "two-sided"]

EXACT_PAIRS = 3600
"""n1 n2 up to which the rank test is counted out (60 against 60: 10 ms); beyond, the normal limit errs in the fourth digit"""
EXACT_FLIPS = 32
"""differences up to which all 2^n sign flips are counted"""
EXACT_SIGNED = 300
"""differences up to which the signed-rank test is counted out"""


class RankTest(NamedTuple):
    """A rank test of x against y."""

    u: float
    """pairs (x, y) with x above y; a tie counts half"""
    p: float
    n1: int
    n2: int
    a12: float
    """u / (n1 n2): the chance that a draw of x is above one of y (Vargha & Delaney 2000)"""
    method: str
    """"exact", "exact with ties" or "normal" """


class PairedTest(NamedTuple):
    """A test of paired differences."""

    statistic: float
    p: float
    n: int
    method: str


class Interval(NamedTuple):
    """A mean and where it may lie; what one number cannot tell is NaN."""

    mean: float
    low: float
    high: float
    sd: float
    """of the sample, n - 1 in the denominator"""
    n: int


class Difference(NamedTuple):
    """mean(x) - mean(y) and its interval; NaN where a sample has one number."""

    mean: float
    low: float
    high: float
    sd: float
    """of the differences where paired, else pooled over both samples"""
    error: float
    """standard error of the difference"""
    df: float


class Superiority(NamedTuple):
    """A12 and its interval."""

    a12: float
    low: float
    high: float


class Across(NamedTuple):
    """Two arms over several conditions, each condition counting the same; what one number cannot tell is NaN."""

    difference: float
    low: float
    high: float
    a12: float
    a12_low: float
    a12_high: float


def mann_whitney(x: ArrayLike, y: ArrayLike, alternative: Alternative = "greater") -> RankTest:
    """Exact test that x [n1] tends to lie above y [n2] ("greater"), below ("less") or either (twice the smaller tail).

    Exact with ties too: the distribution of the rank sum over all ways to choose n1 of the ranks at hand (Streitberg & Röhmel 1986),
    where the usual table, which takes all ranks to differ, is wrong. The normal limit above EXACT_PAIRS is corrected for ties.
    """
    first, second = merge_pair(_check_sample(x), _check_sample(y))
    n1, n2 = len(first), len(second)
    ranks = double_ranks(np.concatenate([first, second]))
    found = int(ranks[:n1].sum())
    u = found / 2 - n1 * (n1 + 1) / 2
    if n1 * n2 > EXACT_PAIRS:
        from scipy import stats

        p = float(stats.mannwhitneyu(first, second, alternative=alternative, method="asymptotic").pvalue)
        return RankTest(u, p if p == p else 1.0, n1, n2, u / (n1 * n2), "normal")
    pool, rest = tuple(np.sort(ranks).tolist()), int(ranks[n1:].sum())
    greater, less = (
        count_rank_sum_tails(pool, n1, found) if n1 <= n2 else count_rank_sum_tails(pool, n2, rest)[::-1]
    )  # the fewer are counted out
    ties = len(np.unique(ranks)) < len(ranks)
    return RankTest(u, _choose_tail(greater, less, alternative), n1, n2, u / (n1 * n2), "exact with ties" if ties else "exact")


def signed_rank(d: ArrayLike, alternative: Alternative = "two-sided") -> PairedTest:
    """Exact signed-rank test that the paired differences d [n] lie above 0, below or either, with ties and zeros.

    A zero takes its rank and leaves the sum (Pratt 1959). The statistic is the sum of the positive differences' ranks.
    """
    sample = _check_sample(d)
    sizes = np.abs(sample)
    slack = ROUNDING * sizes.max(initial=0.0, where=np.isfinite(sizes))
    # 0.8 - 0.7 and 0.7 - 0.6 are a tie, and what rounding leaves of 0.8 - 0.8 is 0
    sizes = merge_ties(np.concatenate([[0.0], sizes]), slack)[1:]
    ranks = double_ranks(sizes)
    found = int(ranks[(sample > 0) & (sizes > 0)].sum())
    if len(sample) > EXACT_SIGNED and sizes.any():
        from scipy import stats

        test = stats.wilcoxon(np.sign(sample) * sizes, zero_method="pratt", alternative=alternative, method="asymptotic")
        return PairedTest(found / 2, float(test.pvalue), len(sample), "normal")
    ways = np.ones(1)
    for rank in ranks[sizes > 0]:
        ways = np.concatenate([ways, np.zeros(rank)]) + np.concatenate([np.zeros(rank), ways])
    ways /= ways.sum()
    return PairedTest(found / 2, _choose_tail(ways[found:].sum(), ways[: found + 1].sum(), alternative), len(sample), "exact")


def sign_flip(d: ArrayLike, rng: np.random.Generator, alternative: Alternative = "two-sided", draws: int = 10_000) -> PairedTest:
    """Test that the mean of the paired differences d [n] is above 0, below or either, by flipping their signs in all 2^n ways.

    Beyond EXACT_FLIPS differences by `draws` random flips, the observed one counted among them (Phipson & Smyth 2010). The statistic
    is the mean.
    """
    sample = _check_sample(d)
    n, total, slack = len(sample), float(sample.sum()), ROUNDING * float(np.abs(sample).sum())
    if not np.isfinite(slack):
        raise ValueError("of differences one of which is infinite there is no mean to test")
    if n <= EXACT_FLIPS:
        front, back = sum_all_flips(sample[: n // 2]), np.sort(sum_all_flips(sample[n // 2 :]))
        under = int(np.searchsorted(back, total - slack - front, "left").sum())
        to = int(np.searchsorted(back, total + slack - front, "right").sum())
        greater, less, method = 1 - under / 2**n, to / 2**n, "exact"
    else:
        sums = sum_random_flips(sample, draws, rng)
        greater, less = ((1 + np.count_nonzero(side)) / (draws + 1) for side in (sums >= total - slack, sums <= total + slack))
        method = f"{draws} draws"
    return PairedTest(total / n, _choose_tail(greater, less, alternative), n, method)


def adjust_holm(p: ArrayLike) -> np.ndarray:
    """Holm's step-down adjustment of p-values [m]. NaN is no test: it stays NaN and does not count in m."""
    raw = np.asarray(p, dtype=float)
    adjusted, tested = np.full(raw.shape, np.nan), np.flatnonzero(~np.isnan(raw))
    order = tested[np.argsort(raw[tested], kind="stable")]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(raw[order] * np.arange(len(order), 0, -1)))
    return adjusted


def adjust_benjamini_hochberg(p: ArrayLike) -> np.ndarray:
    """Benjamini & Hochberg's (1995) step-up adjustment of p-values [m] for the false discovery rate; NaN as in `adjust_holm`."""
    raw = np.asarray(p, dtype=float)
    adjusted, tested = np.full(raw.shape, np.nan), np.flatnonzero(~np.isnan(raw))
    order = tested[np.argsort(-raw[tested], kind="stable")]
    m = len(order)
    adjusted[order] = np.minimum(1, np.minimum.accumulate(raw[order] * (m / np.arange(m, 0, -1))))
    return adjusted


def estimate_a12(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Superiority:
    """A12 of independent samples x [n1] and y [n2] with Cliff's asymmetric interval (Feng & Cliff 2004).

    Where the samples do not overlap every variance is 0 and every such interval a point. What n pairs that all agree still allow is
    then said by the exact bound: as many disjoint pairs would agree by chance with probability A12^n.
    """
    first, second = merge_pair(_check_sample(x), _check_sample(y))
    n1, n2 = len(first), len(second)
    over = _compare_pairs(first, second)
    delta, least = float(over.mean()), ((1 - level) / 2) ** (1 / min(n1, n2))
    if abs(delta) == 1:
        return Superiority(1.0, least, 1.0) if delta > 0 else Superiority(0.0, 0.0, 1 - least)
    if min(n1, n2) < 2:
        return Superiority((delta + 1) / 2, np.nan, np.nan)
    rows, columns = ((over.mean(axis) - delta) ** 2 for axis in (1, 0))
    variance = (n2**2 * rows.sum() + n1**2 * columns.sum() - ((over - delta) ** 2).sum()) / (n1 * n2 * (n1 - 1) * (n2 - 1))
    variance = max(float(variance), (1 - delta**2) / (n1 * n2 - 1))
    reach = _t_quantile(n1 + n2 - 2, level) ** 2 * variance
    middle, half = delta - delta**3, (reach * ((1 - delta**2) ** 2 + reach)) ** 0.5
    low, high = ((middle + side * half) / (1 - delta**2 + reach) for side in (-1, 1))
    return Superiority((delta + 1) / 2, (max(low, -1.0) + 1) / 2, (min(high, 1.0) + 1) / 2)


def wilson_interval(share: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's (1927) interval of a share of n things that are right or wrong."""
    z2 = float(special.ndtri((1 + level) / 2)) ** 2
    middle, half = share + z2 / (2 * n), (z2 * (share * (1 - share) / n + z2 / (4 * n**2))) ** 0.5
    return (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)


def spearman_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Rank correlation of x [n] and y [n]; NaN where one never varies."""
    a, b = double_ranks(merge_ties(_check_sample(x))), double_ranks(merge_ties(_check_sample(y)))
    return float(np.corrcoef(a, b)[0, 1]) if min(np.ptp(a), np.ptp(b)) > 0 else np.nan


def t_interval(x: ArrayLike, level: float = 0.95) -> Interval:
    """The mean of x [n] with Student's interval: of the usual ones the only one that holds its level at ten numbers."""
    sample = _check_sample(x)
    n, mean = len(sample), float(np.mean(sample))
    if n < 2:
        return Interval(mean, np.nan, np.nan, np.nan, n)
    sd = measure_spread(sample)
    half = _t_quantile(n - 1, level) * sd / n**0.5
    return Interval(mean, mean - half, mean + half, sd, n)


def mean_difference(x: ArrayLike, y: ArrayLike, paired: bool = False, level: float = 0.95) -> Difference:
    """mean(x) - mean(y) of x [n1] and y [n2] with Student's interval of the differences where paired (n1 = n2), else with Welch's."""
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
    """The shift of x [n1] against y [n2] that belongs to the rank tests: the median over pairs, or over means of two paired differences."""
    first, second = _check_sample(x), _check_sample(y)
    if paired:
        d = subtract_pairs(first, second)
        return float(np.median(((d[:, None] + d) / 2)[np.triu_indices(len(d))]))
    return float(np.median(subtract_exactly(first[:, None], second[None, :])))


def compute_equivalence_p(difference: Difference, rope: float) -> float:
    """p of two one-sided t tests (Schuirmann 1987) that the true difference lies between -rope and rope; NaN without an interval."""
    if np.isnan(difference.low):
        return np.nan
    if difference.error <= ROUNDING * rope:  # the difference is known: at the margin it must not hang on a last digit
        return float(abs(difference.mean) >= rope * (1 - ROUNDING))
    return float(special.stdtr(difference.df, (abs(difference.mean) - rope) / difference.error))


def corrected_t(d: ArrayLike, test_share: float, level: float = 0.95) -> Difference:
    """Mean of paired differences d [n] whose replicates redraw training and test sets from one pool (Nadeau & Bengio 2003).

    They share images, so the plain interval is too narrow: the variance of the mean is (1/n + n_test/n_train) s^2 instead of s^2/n.
    `test_share` is n_test/n_train. The t statistic is mean / error, its p that of Student's t with df.
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
    """Mean difference and A12 of x over y averaged over conditions, with percentile intervals of a bootstrap stratified by condition.

    A condition is (x [n1], y [n2], paired); its replicates are resampled within it, both arms' together where they are paired. An arm
    of one number leaves the points without intervals.
    """
    if not pairs:
        raise ValueError("an average needs a condition")
    differences, superiorities, points = np.zeros(draws), np.zeros(draws), np.zeros(2)
    for x, y, paired in pairs:
        first, second = merge_pair(_check_sample(x), _check_sample(y))
        over = (_compare_pairs(first, second) + 1) / 2
        w1 = draw_bootstrap_shares(len(first), draws, rng)
        w2 = w1 if paired else draw_bootstrap_shares(len(second), draws, rng)
        if paired:
            found = w1 @ subtract_pairs(first, second)
        else:
            centre = np.median(np.concatenate([first, second]))  # equal numbers then differ by 0 in sums too
            found = w1 @ (first - centre) - w2 @ (second - centre)
        differences += found / len(pairs)
        superiorities += ((w1 @ over) * w2).sum(1) / len(pairs)
        if min(len(first), len(second)) < 2:  # drawn again it is itself, as if it were known
            differences, superiorities = differences * np.nan, superiorities * np.nan
        points += np.array([subtract_exactly(first.mean(), second.mean()), over.mean()]) / len(pairs)
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
    """Test that x does better than y over several conditions at once; what is permuted stays within its condition.

    Conditions as in `bootstrap_conditions`: paired differences flip their signs, others are dealt anew. The statistic is the mean over
    conditions of the difference of means; p counts what was found among `draws` random permutations.
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
            numbers -= np.median(numbers)  # sums then err by the last digits of the spread, not of the size
            total += float(numbers[: len(first)].mean() - numbers[len(first) :].mean())
            pool = rng.permuted(np.tile(numbers, (draws, 1)), axis=1)
            sums += pool[:, : len(first)].mean(1) - pool[:, len(first) :].mean(1)
            n += len(first) + len(second)
        slack += ROUNDING * float(np.abs(numbers).mean())
    greater, less = ((1 + np.count_nonzero(side)) / (draws + 1) for side in (sums >= total - slack, sums <= total + slack))
    return PairedTest(total / len(pairs), _choose_tail(greater, less, alternative), n, f"{draws} draws")


def average_differences(differences: Sequence[Difference], level: float = 0.95) -> Difference:
    """The mean of independent differences with Student's interval, its degrees of freedom by Satterthwaite."""
    k, mean = len(differences), float(np.mean([each.mean for each in differences]))
    errors, dfs = (np.array([getattr(each, name) for each in differences]) for name in ("error", "df"))
    if np.isnan(errors).any():
        return Difference(mean, *[np.nan] * 5)
    total, sd, moving = math.hypot(*errors), math.hypot(*(each.sd / k**0.5 for each in differences)), errors > 0
    if total == 0:
        return Difference(mean, mean, mean, sd, 0.0, np.nan)
    error, df = total / k, float(1 / ((errors[moving] / total) ** 4 / dfs[moving]).sum())
    half = _t_quantile(df, level) * error
    return Difference(mean, mean - half, mean + half, sd, error, df)


def subtract_pairs(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """x - y of as many pairs; 0 where both agree to nine digits."""
    first, second = _check_sample(x), _check_sample(y)
    if len(first) != len(second):
        raise ValueError(f"pairs are as many of the one as of the other: not {len(first)} and {len(second)}")
    return subtract_exactly(first, second)


def _t_quantile(df: float, level: float) -> float:
    """How many standard errors Student's two-sided interval of this level reaches."""
    return float(special.stdtrit(df, (1 + level) / 2))


def _choose_tail(greater: float, less: float, alternative: Alternative) -> float:
    """The p of a pair of tails, each holding what was found."""
    p = {"greater": greater, "less": less}.get(alternative, 2 * min(greater, less))
    return min(1.0, float(p))


def _compare_pairs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[n1, n2]: 1 where the number of x is above that of y, -1 where below."""
    return np.greater.outer(x, y) * 1.0 - np.less.outer(x, y)


def _check_sample(x: ArrayLike) -> np.ndarray:
    sample = np.asarray(x, dtype=float)
    if sample.ndim != 1 or not len(sample) or np.isnan(sample).any():
        raise ValueError(f"a sample is one row of at least one number, none of them NaN: not {x!r}")
    return sample
