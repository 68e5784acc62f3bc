"""Tests of paired differences against scipy, brute force and printed results."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from platform.stats.power import find_smallest_p
from platform.stats.significance import Alternative, corrected_t, hodges_lehmann, mean_difference, sign_flip, signed_rank

SLEEP = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
DEPRESSION = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30], [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
MAIZE = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
C45 = [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1, 0.940, 0.619, 0.972, 0.957]
C45_M = [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1, 0.962, 0.666, 0.981, 0.978]
SIDES = st.sampled_from(["greater", "less", "two-sided"])
DIFFERENCES = st.lists(st.integers(-4, 4), min_size=1, max_size=9)
COUNTS = st.lists(st.tuples(st.integers(0, 160), st.integers(0, 160)), min_size=1, max_size=12)


def unused() -> np.random.Generator:
    return np.random.default_rng(0)


def p_of_flips(d: list[int], statistic: np.ufunc, side: str) -> float:
    """Return p from all 2^n sign patterns. `statistic` maps signs to the statistic of the signed sizes."""
    signs = np.array(list(product([-1, 1], repeat=len(d))))
    observed, flipped = statistic(np.sign(d) + (np.array(d) == 0)), [statistic(s) for s in signs]
    greater, less = (float(np.mean(tail)) for tail in (np.array(flipped) >= observed, np.array(flipped) <= observed))
    return {"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}[side]


@settings(max_examples=60)
@given(DIFFERENCES, SIDES)
def test_signed_rank_against_every_sign(d: list[int], side: Alternative) -> None:
    """Zeros are treated as by Pratt: they take the lowest ranks and count for neither side."""
    ranks = stats.rankdata(np.abs(d)) * (np.array(d) != 0)
    result = signed_rank(d, side)
    assert result[0] == ranks[np.array(d) > 0].sum() and result[2:] == (len(d), "exact")
    assert result.p == pytest.approx(p_of_flips(d, lambda s: ranks[s > 0].sum(), side))


@settings(max_examples=60)
@given(DIFFERENCES, SIDES)
def test_sign_flip_against_every_sign(d: list[int], side: Alternative) -> None:
    result = sign_flip(d, unused(), side)
    assert result == (pytest.approx(np.mean(d)), pytest.approx(p_of_flips(d, lambda s: (s * np.abs(d)).sum(), side)), len(d), "exact")


@pytest.mark.parametrize("side", ["greater", "less", "two-sided"])
def test_both_against_scipy_counting_all(side: Alternative) -> None:
    rng = np.random.default_rng(3)
    for n in (3, 7, 11):
        d = rng.integers(-3, 6, n).astype(float)
        exact = stats.wilcoxon(d, zero_method="pratt", alternative=side, method=stats.PermutationMethod(n_resamples=np.inf))
        assert signed_rank(d, side).p == pytest.approx(exact.pvalue)
        flips = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative=side)
        assert sign_flip(d, unused(), side)[:2] == pytest.approx((flips.statistic, flips.pvalue))
        untied = rng.permutation(np.arange(1, n + 1)) * rng.choice([-1.0, 1.0], n)
        assert signed_rank(untied, side).p == pytest.approx(stats.wilcoxon(untied, alternative=side, method="exact").pvalue)


def test_printed_results() -> None:
    x, y = DEPRESSION  # R ?wilcox.test (Hollander & Wolfe 1973)
    assert signed_rank(np.subtract(x, y), "greater")[:2] == (40, 10 / 512)
    assert hodges_lehmann(x, y, paired=True) == pytest.approx(0.46)
    assert signed_rank(MAIZE)[:2] == (96, pytest.approx(0.041259765625, rel=1e-12))  # Darwin's maize, as in scipy's documentation
    assert signed_rank(MAIZE, "greater").p == pytest.approx(0.0206298828125, rel=1e-12) and signed_rank(np.negative(MAIZE)).statistic == 24
    d = np.round(np.subtract(*SLEEP), 9)  # R's sleep data: a zero and a tie
    for side in ("greater", "less", "two-sided"):
        oracle = stats.wilcoxon(d, zero_method="pratt", alternative=side, method=stats.PermutationMethod(n_resamples=np.inf))
        assert signed_rank(np.subtract(*SLEEP), side).p == pytest.approx(oracle.pvalue)
    assert signed_rank(d).statistic == 0 and signed_rank(-d).statistic == 54  # V = 0; the zero has rank 1 of 55
    assert sign_flip(d, unused(), "less").p == 0.001953125  # the zero doubles 1/1024


def test_demsar_c45() -> None:
    """Demšar 2006, p. 8: R+ = 93 and R- = 12. The two zeros' ranks 1 and 2 are split, and .931 - .936 ties with .768 - .763."""
    d = np.subtract(C45_M, C45)
    over, under, zeros = signed_rank(d), signed_rank(-d), (1 + 2) / 2
    assert over.statistic + zeros == 93 and under.statistic + zeros == 12
    counts = np.rint(1000 * d)
    assert over == signed_rank(counts)
    normal = stats.wilcoxon(counts, zero_method="zsplit", method="asymptotic")
    assert normal.zstatistic == pytest.approx(-2.54, abs=0.01) and over.p == pytest.approx(normal.pvalue, abs=0.005)


@given(COUNTS, st.sampled_from([7, 160, 1000]))
def test_rounding_neither_breaks_nor_makes_ties(counts: list[tuple[int, int]], of: int) -> None:
    """Accuracies k/n must give the same p as their counts k: .8 - .7 and .7 - .6 differ only in the last digits."""
    x, y = np.array(counts).T
    for test in (signed_rank, lambda d: sign_flip(d, unused())):
        whole, share = test(x - y), test(x / of - y / of)
        assert share.p == pytest.approx(whole.p, rel=1e-12)
    assert signed_rank(x / of - y / of) == signed_rank(x - y)
    assert signed_rank((x / of + 0.1) - (y / of + 0.1)) == signed_rank(x - y)  # a zero may come out as 1e-17


@given(DIFFERENCES)
def test_a_larger_size_of_the_same_rank_is_no_news(d: list[int]) -> None:
    assert signed_rank([np.sign(v) * v**2 for v in d]) == signed_rank(d) == signed_rank([v / 1000 for v in d])
    assert sign_flip([v / 8 for v in d], unused()).p == sign_flip(d, unused()).p
    assert signed_rank([*d, np.inf]) == signed_rank([*d, 9])
    with pytest.raises(ValueError, match="infinite"):
        sign_flip([*d, np.inf], unused())


@pytest.mark.parametrize("n", [1, 5, 10])
def test_no_p_is_below_the_smallest(n: int) -> None:
    d = np.arange(1.0, n + 1)
    for side in ("greater", "two-sided"):
        assert signed_rank(d, side).p == sign_flip(d, unused(), side).p == pytest.approx(find_smallest_p(n, alternative=side), rel=1e-12)


def test_beyond_exact_signed_ranks() -> None:
    d = np.random.default_rng(4).integers(-20, 24, 301)
    for side in ("greater", "less", "two-sided"):
        approximate, exact = signed_rank(d, side), signed_rank(d[:300], side)
        oracle = stats.wilcoxon(d, zero_method="pratt", alternative=side, method="asymptotic")
        assert (approximate.method, exact.method) == ("normal", "exact") and approximate.p == pytest.approx(oracle.pvalue, rel=1e-9)
        limit = stats.wilcoxon(d[:300], zero_method="pratt", alternative=side, method="asymptotic")
        assert exact.p == pytest.approx(limit.pvalue, rel=0.05)
    assert approximate.statistic == (stats.rankdata(np.abs(d)) * (d > 0)).sum()


def test_beyond_exact_flips() -> None:
    rng = np.random.default_rng(5)
    d = rng.normal(0.25, 1, 33)
    z = d.sum() / np.linalg.norm(d)
    for side, normal in (("greater", stats.norm.sf(z)), ("less", stats.norm.cdf(z)), ("two-sided", 2 * stats.norm.sf(abs(z)))):
        drawn, exact = sign_flip(d, np.random.default_rng(6), side, 20_000), sign_flip(d[:32], rng, side)
        assert drawn.method == "20000 draws" and drawn.p == pytest.approx(normal, abs=0.015)
        assert exact.method == "exact" and exact.p == pytest.approx(sign_flip_drawn(d[:32], side), abs=0.015)
        assert drawn == sign_flip(d, np.random.default_rng(6), side, 20_000)
    everywhere = sign_flip(np.ones(40), rng, "greater", draws=999)  # no draw reaches the statistic, but the observed one counts
    assert everywhere == (1, pytest.approx(1 / 1000), 40, "999 draws") and sign_flip(np.ones(40), rng, draws=999).p == pytest.approx(
        2 / 1000
    )


def sign_flip_drawn(d: np.ndarray, side: str) -> float:
    sums = np.random.default_rng(8).choice([-1, 1], (20_000, len(d))) @ d
    greater, less = np.mean(sums >= d.sum()), np.mean(sums <= d.sum())
    return float({"greater": greater, "less": less}.get(side, 2 * min(greater, less)))


def test_drawn_p_is_uniform_under_the_null() -> None:
    rng = np.random.default_rng(9)
    p = [sign_flip(rng.normal(0, 1, 40), rng, "greater", draws=199).p for _ in range(400)]
    assert stats.kstest(p, "uniform").pvalue > 0.05 and min(p) >= 1 / 200
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_corrected_t_as_scikit_learn_prints_it() -> None:
    """Its example plot_grid_search_stats: two kernels on the moons data, ten times ten folds, test to training as 10 to 90."""
    datasets, selection, svm = (pytest.importorskip(f"sklearn.{name}") for name in ("datasets", "model_selection", "svm"))
    x, y = datasets.make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = selection.RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        selection.cross_val_score(svm.SVC(kernel=kernel, random_state=0), x, y, scoring="roc_auc", cv=folds) for kernel in ("rbf", "linear")
    )
    corrected, plain = corrected_t(rbf - linear, 10 / 90), corrected_t(rbf - linear, 0)
    assert corrected.mean / corrected.error == pytest.approx(0.750, abs=5e-4) and corrected.df == 99
    assert stats.t.sf(corrected.mean / corrected.error, corrected.df) == pytest.approx(0.227, abs=5e-4)
    assert plain.mean / plain.error == pytest.approx(2.611, abs=5e-4)
    assert plain[:5] == pytest.approx(mean_difference(rbf, linear, paired=True)[:5])  # without overlap it is the usual interval
    assert (corrected.high - corrected.low) / (plain.high - plain.low) == pytest.approx((1 + 100 / 9) ** 0.5)
