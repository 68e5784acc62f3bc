"""The statistics against scipy, brute force and printed results."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from platform.significance import mann_whitney, mean_difference, t_interval

SLEEP = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
FEW_VALUES = st.lists(st.integers(0, 4), min_size=1, max_size=6)
NUMBERS = st.lists(st.integers(-1000, 1000), min_size=2, max_size=12, unique=True)


def by_counting(x: list[int], y: list[int]) -> float:
    return sum((a > b) + (a == b) / 2 for a in x for b in y)


@given(FEW_VALUES, FEW_VALUES)
def test_ties_against_every_relabelling(x: list[int], y: list[int]) -> None:
    pool, n = x + y, len(x)
    us = []
    for chosen in combinations(range(len(pool)), n):
        us.append(by_counting([pool[i] for i in chosen], [pool[i] for i in range(len(pool)) if i not in chosen]))
    found = by_counting(x, y)
    greater, less = (np.mean([u >= found for u in us]), np.mean([u <= found for u in us]))
    assert mann_whitney(x, y).u == found and mann_whitney(x, y).a12 == pytest.approx(found / (n * len(y)))
    assert mann_whitney(x, y, "greater").p == pytest.approx(greater)
    assert mann_whitney(x, y, "less").p == pytest.approx(less)
    assert mann_whitney(x, y, "two-sided").p == pytest.approx(min(1, 2 * min(greater, less)))


@given(NUMBERS, st.integers(1, 11), st.sampled_from(["greater", "less", "two-sided"]))
def test_no_ties_against_scipy(pool: list[int], cut: int, alternative: str) -> None:
    cut = min(cut, len(pool) - 1)
    x, y = pool[:cut], pool[cut:]
    ours, oracle = mann_whitney(x, y, alternative), stats.mannwhitneyu(x, y, alternative=alternative, method="exact")  # type: ignore[arg-type]
    assert ours.method == "exact" and ours.u == oracle.statistic
    assert ours.p == pytest.approx(oracle.pvalue)


def test_large_samples_with_ties_stay_close_to_the_normal_limit() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 15, 30), rng.integers(-1, 15, 30)
    assert mann_whitney(x, y).p == pytest.approx(stats.mannwhitneyu(x, y, alternative="greater", method="asymptotic").pvalue, rel=0.02)
    assert mann_whitney(range(30, 60), range(30)).p == pytest.approx(1 / math.comb(60, 30), rel=1e-12)


def test_printed_results() -> None:
    males, females = [19, 22, 16, 29, 24], [20, 11, 17, 12]  # scipy's documentation, and R
    assert mann_whitney(males, females, "two-sided")[:2] == (17, pytest.approx(1 / 9))
    x = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]  # R ?wilcox.test (Hollander & Wolfe 1973, p. 69)
    y = [1.15, 0.88, 0.90, 0.74, 1.21]
    assert mann_whitney(x, y)[:2] == (35, pytest.approx(0.1272061272))
    assert mann_whitney(x, y).a12 == pytest.approx(0.70)
    drug = mann_whitney(*SLEEP, "less")  # R's sleep: tied, so exact over the ties and not the table (.0752560 two-sided)
    assert drug == (25.5, pytest.approx(0.0329083, abs=1e-7), 10, 10, pytest.approx(0.255), "exact with ties")
    assert mann_whitney(*SLEEP, "two-sided").p == pytest.approx(0.0658165, abs=1e-7)
    assert mann_whitney([996] * 10, [994] * 8 + [995] * 2).p == pytest.approx(1 / 184756)  # scipy issue 17821
    vargha = [1, 2, 2, 2, 2, 2, 2, 3, 3, 3], [1, 1, 1, 2, 2, 2, 2, 2, 2, 3]  # Vargha & Delaney 2000, p. 106
    assert mann_whitney(*vargha).a12 == pytest.approx(0.66)
    cliff = [10, 10, 20, 20, 20, 30, 30, 30, 40, 50], [10, 20, 30, 40, 40, 50]  # R effsize: delta -.25
    assert 2 * mann_whitney(*cliff).a12 - 1 == pytest.approx(-0.25)


@given(FEW_VALUES, FEW_VALUES)
def test_the_two_sides_mirror_each_other(x: list[int], y: list[int]) -> None:
    ours, theirs = mann_whitney(x, y), mann_whitney(y, x, "less")
    assert ours.u + theirs.u == len(x) * len(y) and ours.a12 + theirs.a12 == pytest.approx(1)
    assert ours.p == pytest.approx(theirs.p)
    assert mann_whitney(np.exp(x), np.exp(y)) == ours  # ranks are all that counts


def test_equal_numbers_tell_nothing() -> None:
    assert mann_whitney([0.5] * 4, [0.5] * 4)[1:] == (1, 4, 4, 0.5, "exact with ties")


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_intervals_against_scipy(x: list[float], y: list[float]) -> None:
    if min(np.std(x), np.std(y)) < 1e-6:
        return
    interval = stats.ttest_1samp(x, 0).confidence_interval()
    ours = t_interval(x)
    assert ours[:4] == pytest.approx((np.mean(x), *interval, np.std(x, ddof=1))) and ours.n == len(x)
    oracle = stats.ttest_ind(x, y, equal_var=False)
    difference = mean_difference(x, y)
    assert difference[:3] == pytest.approx((np.mean(x) - np.mean(y), *oracle.confidence_interval())) and difference.df == pytest.approx(
        oracle.df
    )


def test_welch_as_r_prints_it() -> None:
    difference = mean_difference(*SLEEP)  # R: t.test(extra ~ group, data = sleep)
    assert (*difference[:3], difference.df) == pytest.approx((-1.58, -3.3654832, 0.2054832, 17.776), abs=5e-4)


def test_one_number_has_no_interval() -> None:
    assert t_interval([0.4])[0] == 0.4 and t_interval([0.4]).n == 1 and all(map(math.isnan, t_interval([0.4])[1:4]))
    assert mean_difference([0.5], [0.25, 0.25]).mean == 0.25 and math.isnan(mean_difference([0.5], [0.25, 0.25]).low)
    assert mean_difference([0.5, 0.5], [0.25, 0.25])[:3] == (0.25, 0.25, 0.25)


@pytest.mark.parametrize("sample", [[], [0.1, math.nan], [[0.1], [0.2]]])
def test_what_is_no_sample_is_refused(sample: list[float]) -> None:
    for use in (t_interval, lambda x: mann_whitney(x, [1.0]), lambda x: mean_difference([1.0], x)):
        with pytest.raises(ValueError, match="a sample is one row"):
            use(sample)
