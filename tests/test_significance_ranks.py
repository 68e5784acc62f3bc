"""The rank test against scipy, brute force and printed results."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from platform.stats.significance import Alternative, hodges_lehmann, mann_whitney

SLEEP = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
HOLLANDER = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46], [1.15, 0.88, 0.90, 0.74, 1.21]
SIDES = st.sampled_from(["greater", "less", "two-sided"])
FEW_VALUES = st.lists(st.integers(0, 4), min_size=1, max_size=6)
NUMBERS = st.lists(st.integers(-1000, 1000), min_size=2, max_size=12, unique=True)


def by_counting(x: list[int], y: list[int]) -> float:
    return sum((a > b) + (a == b) / 2 for a in x for b in y)


def with_u(n: int, u: int) -> tuple[np.ndarray, np.ndarray]:
    """Return samples of n different numbers each, with x above y in u of the n^2 pairs."""
    beaten = u // n + (np.arange(n) < u % n)
    return beaten - 0.5 + np.arange(n) / 1000, np.arange(n)


@settings(max_examples=50)
@given(FEW_VALUES, FEW_VALUES)
def test_ties_against_every_relabelling(x: list[int], y: list[int]) -> None:
    """The usual table assumes that all ranks differ. scipy's "exact" uses it without a warning even if they do not."""
    pool, n = x + y, len(x)
    us = []
    for chosen in combinations(range(len(pool)), n):
        us.append(by_counting([pool[i] for i in chosen], [pool[i] for i in range(len(pool)) if i not in chosen]))
    observed = by_counting(x, y)
    greater, less = (np.mean([u >= observed for u in us]), np.mean([u <= observed for u in us]))
    assert mann_whitney(x, y).u == observed and mann_whitney(x, y).a12 == pytest.approx(observed / (n * len(y)))
    assert mann_whitney(x, y).method == ("exact" if len(set(pool)) == len(pool) else "exact with ties")
    assert mann_whitney(x, y, "greater").p == pytest.approx(greater)
    assert mann_whitney(x, y, "less").p == pytest.approx(less)
    assert mann_whitney(x, y, "two-sided").p == pytest.approx(min(1, 2 * min(greater, less)))


@given(NUMBERS, st.integers(1, 11), SIDES)
def test_no_ties_against_scipy(pool: list[int], cut: int, side: Alternative) -> None:
    cut = min(cut, len(pool) - 1)
    x, y = pool[:cut], pool[cut:]
    result, oracle = mann_whitney(x, y, side), stats.mannwhitneyu(x, y, alternative=side, method="exact")
    assert result.method == "exact" and result.u == oracle.statistic
    assert result.p == pytest.approx(oracle.pvalue)


@pytest.mark.parametrize("side", ["greater", "less"])  # scipy's two-sided p is that of the distance from the middle, ours is twice a tail
@pytest.mark.parametrize("sizes", [(4, 7), (6, 5), (2, 8)])
def test_ties_against_scipy_counting_all(side: Alternative, sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    x, y = (rng.integers(0, 5, n) for n in sizes)
    oracle = stats.mannwhitneyu(x, y, alternative=side, method=stats.PermutationMethod(n_resamples=np.inf))
    assert mann_whitney(x, y, side)[:2] == pytest.approx((oracle.statistic, oracle.pvalue))


def test_large_samples_stay_close_to_the_normal_limit_and_then_become_it() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 15, 30), rng.integers(-1, 15, 30)
    assert mann_whitney(x, y).p == pytest.approx(stats.mannwhitneyu(x, y, alternative="greater", method="asymptotic").pvalue, rel=0.02)
    assert mann_whitney(range(30, 60), range(30)).p == pytest.approx(1 / math.comb(60, 30), rel=1e-12)
    x, y = rng.integers(0, 15, 61), rng.integers(0, 16, 60)
    for side in ("greater", "less", "two-sided"):
        exact, normal = mann_whitney(x[:60], y, side), mann_whitney(x, y, side)
        oracle = stats.mannwhitneyu(x, y, alternative=side, method="asymptotic")
        assert normal.method == "normal" and normal[:2] == (oracle.statistic, oracle.pvalue)
        oracle = stats.mannwhitneyu(x[:60], y, alternative=side, method="asymptotic")
        assert exact.method == "exact with ties" and exact.p == pytest.approx(oracle.pvalue, abs=1e-3) and exact.p != oracle.pvalue


@given(st.lists(st.integers(0, 30), min_size=8, max_size=12), st.lists(st.integers(0, 30), min_size=1, max_size=3), SIDES)
def test_either_sample_may_be_the_larger(many: list[int], few: list[int], side: Alternative) -> None:
    other: Alternative = {"greater": "less", "less": "greater"}.get(side, side)  # type: ignore[assignment]
    assert mann_whitney(many, few, side).p == pytest.approx(mann_whitney(few, many, other).p)


def test_a_few_against_very_many_are_counted_quickly() -> None:
    many, few = np.arange(1800), [1500.5, 1700.5]
    result, oracle = mann_whitney(many, few, "less"), stats.mannwhitneyu(many, few, alternative="less", method="exact")
    assert result.method == "exact" and result[:2] == pytest.approx((oracle.statistic, oracle.pvalue))


def test_printed_results() -> None:
    males, females = [19, 22, 16, 29, 24], [20, 11, 17, 12]  # scipy's documentation, and R
    assert mann_whitney(males, females, "two-sided")[:2] == (17, pytest.approx(1 / 9))
    assert mann_whitney(*HOLLANDER)[:2] == (35, pytest.approx(0.1272061272))  # R ?wilcox.test (Hollander & Wolfe 1973, p. 69)
    assert mann_whitney(*HOLLANDER).a12 == pytest.approx(0.70) and hodges_lehmann(*HOLLANDER) == pytest.approx(0.305)
    drug = mann_whitney(*SLEEP, "less")  # R's sleep data: tied, so exact with ties, not by the table (.0752560 two-sided)
    assert drug == (25.5, pytest.approx(0.0329083, abs=1e-7), 10, 10, pytest.approx(0.255), "exact with ties")
    assert mann_whitney(*SLEEP, "two-sided").p == pytest.approx(0.0658165, abs=1e-7)
    assert mann_whitney(*SLEEP[::-1]).a12 == pytest.approx(0.745)
    assert mann_whitney([996] * 10, [994] * 8 + [995] * 2).p == pytest.approx(1 / 184756, rel=1e-12)  # scipy issue 17821
    vargha = [1, 2, 2, 2, 2, 2, 2, 3, 3, 3], [1, 1, 1, 2, 2, 2, 2, 2, 2, 3]  # Vargha & Delaney 2000, p. 106
    assert mann_whitney(*vargha).a12 == pytest.approx(0.66)
    assert mann_whitney([1, 1, 1, 1, 2, 2, 3, 3, 3, 3], [1, 2, 2, 2, 2, 2, 2, 2, 2, 3]).a12 == 0.5
    cliff = [10, 10, 20, 20, 20, 30, 30, 30, 40, 50], [10, 20, 30, 40, 40, 50]  # R effsize: delta -.25
    assert 2 * mann_whitney(*cliff).a12 - 1 == pytest.approx(-0.25) and mann_whitney(*cliff).a12 == 0.375
    arcuri = mann_whitney([42, 11, 7], [1, 20, 5])  # Arcuri & Briand 2011: R1 = 13
    assert arcuri.u + 3 * 4 / 2 == 13 and arcuri.a12 == pytest.approx(7 / 9)


def test_a_tie_elsewhere_changes_nothing() -> None:
    """scipy's "auto" looks for ties over all slices at once (issue 26115), so a tie in one slice changed the p of the others."""
    x, y = np.array([[0, 1, 2, 3, 9], [0, 1, 2, 3, 4]]), np.array([[4, 5, 6, 7, 8, 10, 11], [4, 5, 6, 7, 8, 10, 11]])
    alone = stats.mannwhitneyu(x[0], y[0], method="exact").pvalue
    together = stats.mannwhitneyu(x, y, axis=1).pvalue[0]
    for _ in range(2):
        assert mann_whitney(x[1], y[1], "two-sided").method == "exact with ties"
        untied = mann_whitney(x[0], y[0], "two-sided")
        assert untied.method == "exact" and untied.p == pytest.approx(alone) and untied.p != pytest.approx(together, rel=0.01)


def test_the_bars_of_a_five_percent_test() -> None:
    for n, u, p in ((10, 73, 0.0446), (30, 562, None)):
        assert mann_whitney(*with_u(n, u)).u == u
        assert mann_whitney(*with_u(n, u)).p <= 0.05 < mann_whitney(*with_u(n, u - 1)).p
        assert p is None or mann_whitney(*with_u(n, u)).p == pytest.approx(p, abs=5e-5)
    assert mann_whitney(*with_u(10, 73)).a12 == 0.73 and mann_whitney(*with_u(30, 562)).a12 == pytest.approx(0.624, abs=5e-4)
    for m, u in ((5, 81), (10, 84), (20, 87)):  # Holm's first step requires 1/m of the level
        assert m * mann_whitney(*with_u(10, u)).p <= 0.05 < m * mann_whitney(*with_u(10, u - 1)).p


@pytest.mark.parametrize(("n1", "n2"), [(1, 1), (3, 5), (5, 3), (10, 10)])
def test_no_p_is_below_the_smallest(n1: int, n2: int) -> None:
    x, y = range(n2, n2 + n1), range(n2)
    for side in ("greater", "two-sided"):
        assert mann_whitney(x, y, side).p == pytest.approx((1 + (side == "two-sided")) / math.comb(n1 + n2, n1), rel=1e-12)
    assert mann_whitney(y, x, "less").p == pytest.approx(1 / math.comb(n1 + n2, n1), rel=1e-12)


@given(FEW_VALUES, FEW_VALUES)
def test_ranks_are_all_that_counts(x: list[int], y: list[int]) -> None:
    assert mann_whitney(np.exp(x), np.exp(y)) == mann_whitney(x, y)
    assert mann_whitney([5 * v - 3 for v in x], [5 * v - 3 for v in y]) == mann_whitney(x, y)
    assert mann_whitney([*x, math.inf], y) == mann_whitney([*x, 9], y)  # a diverged loss counts as the largest number, no more


def test_p_keeps_its_word_under_the_null() -> None:
    rng = np.random.default_rng(2)
    p = np.array([mann_whitney(rng.integers(0, 9, 10), rng.integers(0, 9, 10)).p for _ in range(1500)])
    for level in (0.01, 0.05, 0.2, 0.5):  # the rate is at most the level, and not far below it
        assert 0.5 * level - 0.005 < np.mean(p <= level) < level + 3 * (level * (1 - level) / len(p)) ** 0.5


@given(FEW_VALUES, FEW_VALUES)
def test_hodges_lehmann_by_counting(x: list[int], y: list[int]) -> None:
    assert hodges_lehmann(x, y) == np.median([a - b for a in x for b in y])
    n = min(len(x), len(y))
    d = [a - b for a, b in zip(x, y, strict=False)]
    assert hodges_lehmann(x[:n], y[:n], paired=True) == np.median([(d[i] + d[j]) / 2 for i in range(n) for j in range(i + 1)])
