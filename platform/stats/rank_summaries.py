"""Ranks of several arms within blocks: Friedman's test, mean ranks and Nemenyi's critical distance (Demsar 2006). Pure functions.

A block is a set of one score per arm, such as the scores of one seed. Blocks must be independent of each other. scipy.special gives
the distributions, because scipy.stats takes longer to import than a report takes to compute; the tests use it as an oracle.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from platform.stats.float_ties import ROUNDING, merge_ties
from platform.stats.permutations import double_ranks

TAIL = 9.0
"""distance from 0 beyond which no probability of the normal distribution counts: 1e-19"""
STEPS = 721
"""points of the integral over [-TAIL, TAIL]; the trapezoid rule is then exact to 1e-12"""


class Omnibus(NamedTuple):
    """A test that all arms have the same distribution of ranks."""

    chi2: float
    """Friedman's statistic, corrected for ties, with k - 1 degrees of freedom"""
    chi2_p: float
    f: float
    """Iman and Davenport's statistic, with k - 1 and (k - 1)(n - 1) degrees of freedom; infinity if all blocks rank alike"""
    f_p: float


def rank_within_blocks(scores: ArrayLike) -> np.ndarray:
    """Return the rank of each arm within its block, of scores [n blocks, k arms]: [n, k]; the largest score has rank 1.

    Scores that agree to nine digits share their mean rank.
    """
    table = _check_table(scores)
    ranks: np.ndarray = table.shape[1] + 1 - np.array([double_ranks(merge_ties(block)) for block in table]) / 2
    return ranks


def compute_friedman(ranks: ArrayLike) -> Omnibus:
    """Test by ranks [n, k] that no arm tends to higher ranks than another: Friedman (1937), corrected for ties, and Iman and Davenport
    (1980).

    If all blocks rank alike, F is infinite, and its p is the exact one: the share of all rankings in which n blocks agree (Conover
    1999). If every block ties all arms, nothing differs: both statistics are 0 and both p 1.
    """
    table = _check_table(ranks)
    n, k = table.shape
    within = float(((table - (k + 1) / 2) ** 2).sum())  # n k (k^2 - 1) / 12 without ties
    between = n * float(((table.mean(0) - (k + 1) / 2) ** 2).sum())
    if within == 0:
        return Omnibus(0.0, 1.0, 0.0, 1.0)
    chi2 = n * (k - 1) * between / within
    rest = n * (k - 1) - chi2
    chi2_p = float(special.chdtrc(k - 1, chi2))
    if rest <= ROUNDING * chi2:
        ties = np.unique(table[0], return_counts=True)[1]
        rankings = math.lgamma(k + 1) - float(special.gammaln(ties + 1).sum())  # logarithm of the number of different rankings
        return Omnibus(chi2, chi2_p, math.inf, math.exp((1 - n) * rankings))
    f = (n - 1) * chi2 / rest
    return Omnibus(chi2, chi2_p, f, float(special.fdtrc(k - 1, (k - 1) * (n - 1), f)))


def permute_friedman(ranks: ArrayLike, rng: np.random.Generator, draws: int = 10_000) -> float:
    """Return Friedman's p by random permutations of the ranks [n, k] within each block, among which the observed ones count.

    It holds for any number of blocks. The chi-squared distribution is too cautious for few, and F at times far too bold: of equal arms,
    three in three blocks, it finds a difference at .05 with a probability of .2.
    """
    table = _check_table(ranks)
    sums = np.tile(table[0], (draws, 1))  # only the other blocks' ranks relative to one block's matter
    for block in table[1:]:
        sums += rng.permuted(np.tile(block, (draws, 1)), axis=1)
    spreads, found = (((total - total.mean(-1, keepdims=True)) ** 2).sum(-1) for total in (sums, table.sum(0)))
    return float((1 + np.count_nonzero(spreads >= found * (1 - ROUNDING))) / (draws + 1))


def find_critical_distance(k: int, n: int, alpha: float = 0.05) -> float:
    """Return the difference of mean ranks above which two of k arms, ranked in n blocks, differ by Nemenyi's test (Demsar 2006).

    Under the hypothesis that all arms are equal, some pair differs by more with a probability of about `alpha`.
    """
    return find_range_quantile(k, 1 - alpha) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n))


def find_range_quantile(k: int, level: float) -> float:
    """Return the quantile of the range of k independent standard normal numbers: the studentized range with infinite degrees of
    freedom.
    """
    low, high = 0.0, 2 * TAIL
    for _ in range(60):  # halves the interval down to the last digit
        middle = (low + high) / 2
        low, high = (middle, high) if _range_cdf(k, middle) < level else (low, middle)
    return (low + high) / 2


def group_close_ranks(mean_ranks: ArrayLike, distance: float) -> list[list[int]]:
    """Return the groups of two or more arms, none of which is further than `distance` from another of its group by mean ranks [k].

    Each group is as large as possible, so that none is inside another. It lists arms' indices by rising mean rank; groups come in the
    order of their first arm. Arms without a common group differ.
    """
    values = np.asarray(mean_ranks, dtype=float)
    order = np.argsort(values, kind="stable")
    rising = values[order]
    ends = np.searchsorted(rising, rising + distance + ROUNDING, "right")
    longest = np.flatnonzero(np.diff(ends, prepend=0) > 0)  # a group that ends where one before it ends is inside that one
    return [order[begin : ends[begin]].tolist() for begin in longest if ends[begin] - begin > 1]


def _range_cdf(k: int, q: float) -> float:
    """Return P(range <= q) of k standard normal numbers: the smallest at z, and all others at most q above it."""
    z, step = np.linspace(-TAIL, TAIL, STEPS, retstep=True)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return float(k * step * (density * (special.ndtr(z + q) - special.ndtr(z)) ** (k - 1)).sum())


def _check_table(x: ArrayLike) -> np.ndarray:
    table = np.asarray(x, dtype=float)
    if table.ndim != 2 or not len(table) or table.shape[1] < 2 or np.isnan(table).any():
        raise ValueError(f"ranks need a table of one row per block and two or more arms, without NaN: not {table.shape} numbers")
    return table
