"""Tests of intervals against scipy, statsmodels, simulation and published results."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.nonparametric import rank_compare_2indep
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from platform.stats.significance import (
    compute_difference_p,
    compute_equivalence_p,
    compute_evidence,
    estimate_a12,
    mann_whitney,
    mean_difference,
    t_interval,
)

SLEEP = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
SAMPLE = st.lists(st.floats(0, 1), min_size=2, max_size=12).filter(lambda x: np.std(x) > 1e-6)
FEW_VALUES = st.lists(st.integers(0, 4), min_size=2, max_size=9)


@given(SAMPLE, SAMPLE, st.sampled_from([0.9, 0.95, 0.99]))
def test_against_scipy(x: list[float], y: list[float], level: float) -> None:
    """The sd has n - 1 in the denominator; numpy's default has n."""
    interval = stats.ttest_1samp(x, 0).confidence_interval(level)
    assert t_interval(x, level) == pytest.approx((np.mean(x), *interval, np.std(x, ddof=1), len(x)))
    oracle, pooled = stats.ttest_ind(x, y, equal_var=False), stats.ttest_ind(x, y)
    difference = mean_difference(x, y, level=level)
    assert difference[:3] == pytest.approx((np.mean(x) - np.mean(y), *oracle.confidence_interval(level)))
    assert difference.df == pytest.approx(oracle.df) and difference.mean == pytest.approx(oracle.statistic * difference.error)
    assert difference.mean == pytest.approx(pooled.statistic * difference.sd * (1 / len(x) + 1 / len(y)) ** 0.5)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12))
def test_paired_against_scipy(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    if np.std(x - y) < 1e-6:
        return
    oracle, difference = stats.ttest_rel(x, y), mean_difference(x, y, paired=True)
    assert difference == pytest.approx(
        (np.mean(x - y), *oracle.confidence_interval(), np.std(x - y, ddof=1), np.std(x - y, ddof=1) / len(x) ** 0.5, oracle.df)
    )
    for side in ("greater", "less", "two-sided"):
        assert compute_difference_p(difference, side) == pytest.approx(stats.ttest_rel(x, y, alternative=side).pvalue, abs=1e-12)


@given(SAMPLE, SAMPLE, st.sampled_from([0.9, 0.95, 0.99]))
def test_interval_and_p_are_one_procedure(x: list[float], y: list[float], level: float) -> None:
    oracle, difference = stats.ttest_ind(x, y, equal_var=False), mean_difference(x, y, level=level)
    p = compute_difference_p(difference)
    assert p == pytest.approx(oracle.pvalue, abs=1e-12)
    assert (p <= 1 - level) == (difference.low >= 0 or difference.high <= 0) or p == pytest.approx(1 - level, rel=1e-6)


@given(SAMPLE, SAMPLE, st.sampled_from([0.0, 0.01, 0.3]))
def test_evidence_is_the_posterior_of_benavoli(x: list[float], y: list[float], rope: float) -> None:
    """The posterior is a t distribution about the mean with the standard error as its scale (baycomp's two_on_single with rho 0)."""
    n = min(len(x), len(y))
    d = np.subtract(x[:n], y[:n])
    if np.std(d) < 1e-6:
        return
    posterior = stats.t(n - 1, d.mean(), d.std(ddof=1) / n**0.5)
    below, within, above = compute_evidence(mean_difference(x[:n], y[:n], paired=True), rope)
    assert (below, above) == pytest.approx((posterior.cdf(-rope), posterior.sf(rope)))
    assert within == pytest.approx(posterior.cdf(rope) - posterior.cdf(-rope), abs=1e-9) and below + within + above == pytest.approx(1)


def test_as_r_prints_sleep() -> None:
    welch, paired = mean_difference(*SLEEP), mean_difference(*SLEEP, paired=True)
    assert (*welch[:3], welch.df) == pytest.approx((-1.58, -3.3654832, 0.2054832, 17.776), abs=5e-4)
    assert welch.mean / welch.error == pytest.approx(-1.8608, abs=5e-5)
    assert paired[:3] == pytest.approx((-1.58, -2.4598858, -0.7001142), abs=5e-8) and paired.df == 9
    assert paired.mean / paired.error == pytest.approx(-4.0621, abs=5e-5)
    assert 2 * stats.t.cdf(paired.mean / paired.error, 9) == pytest.approx(0.002833, abs=5e-7)
    assert t_interval([0.1, 0.2, 0.3]).sd / 3**0.5 == pytest.approx(0.0577, abs=5e-5)  # with n, DomainBed prints .047


def test_small_variances_do_not_divide_by_zero() -> None:
    tiny = mean_difference([0, 1e-100], [0, 1e-100])
    assert tiny.df == pytest.approx(2) and tiny.high / 1e-100 == pytest.approx(mean_difference([0, 1], [0, 1]).high)
    assert mean_difference([0.5, 0.5], [0.25, 0.25])[:3] == (0.25, 0.25, 0.25)
    one_sided = mean_difference([0.5, 0.5, 0.5], [0.0, 0.5])  # all variance is in one arm, which gives the degrees of freedom
    assert one_sided.df == pytest.approx(1) and one_sided.low < one_sided.mean < one_sided.high


@given(SAMPLE, SAMPLE, st.floats(0.01, 0.5))
def test_equivalence_against_statsmodels(x: list[float], y: list[float], rope: float) -> None:
    if max(np.std(x), np.std(y)) > 1e-6:
        oracle = ttost_ind(x, y, -rope, rope, usevar="unequal")[0]
        assert compute_equivalence_p(mean_difference(x, y), rope) == pytest.approx(oracle, abs=1e-9)
    n = min(len(x), len(y))
    d = np.subtract(x[:n], y[:n])
    if np.std(d) > 1e-6:
        p = compute_equivalence_p(mean_difference(x[:n], y[:n], paired=True), rope)
        assert p == pytest.approx(ttost_paired(np.array(x[:n]), np.array(y[:n]), -rope, rope)[0], abs=1e-9)
        interval = mean_difference(x[:n], y[:n], paired=True, level=0.9)
        assert (p <= 0.05) == (-rope <= interval.low and interval.high <= rope)  # the 90% interval lies within the margin


@given(FEW_VALUES, FEW_VALUES)
def test_superiority_against_statsmodels_and_counting(x: list[int], y: list[int]) -> None:
    effect = estimate_a12(x, y)
    assert effect.a12 == pytest.approx(np.mean([(a > b) + (a == b) / 2 for a in x for b in y])) == mann_whitney(x, y).a12
    assert 0 <= effect.low <= effect.a12 <= effect.high <= 1
    wide = estimate_a12(x, y, 0.99)
    assert wide.low <= effect.low and effect.high <= wide.high
    assert estimate_a12(np.exp(x), np.exp(y)) == effect
    if 0 < effect.a12 < 1 and min(np.std(x), np.std(y)) > 0:
        assert rank_compare_2indep(x, y).prob1 == pytest.approx(effect.a12)


def test_superiority_as_r_prints_it() -> None:
    cliff = estimate_a12([10, 10, 20, 20, 20, 30, 30, 30, 40, 50], [10, 20, 30, 40, 40, 50])  # R's effsize::cliff.delta
    assert [2 * end - 1 for end in cliff] == pytest.approx([-0.25, -0.7265846, 0.3890062], abs=5e-8)


def test_superiority_of_many_is_brunner_and_munzels() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.5):
        x, y = rng.normal(shift, 1, 60), rng.normal(0, 2, 50)
        assert estimate_a12(x, y)[1:] == pytest.approx(rank_compare_2indep(x, y).conf_int(), abs=0.012)


@pytest.mark.parametrize(("n", "level", "bound"), [(10, 0.90, 0.741), (10, 0.95, 0.692), (30, 0.90, 0.905)])
def test_samples_that_do_not_overlap(n: int, level: float, bound: float) -> None:
    """BCa and Brunner-Munzel intervals are NaN here, and the bootstrap's is a point.

    The bound is the a12 at which n disjoint pairs all agree with probability (1 - level) / 2.
    """
    above, below = np.arange(n, 2 * n), np.arange(n)
    with np.errstate(all="ignore"):
        assert np.isnan(rank_compare_2indep(above, below).conf_int()).any()
    apart = estimate_a12(above, below, level)
    assert apart == (1, pytest.approx(bound, abs=5e-4), 1) and apart.low**n == pytest.approx((1 - level) / 2)
    assert estimate_a12(below, above, level) == pytest.approx((0, 0, 1 - apart.low))
    assert estimate_a12(np.arange(n, 3 * n), below, level).low == apart.low  # the smaller sample limits the disjoint pairs


def covered(ends: list[tuple[float, float]], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in ends]))


def test_t_intervals_hold_their_level_at_ten() -> None:
    """With n in the denominator their coverage is .940; with 1.96 in place of t it is .918."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(0.3, 1, (4000, 10)), rng.normal(0.3, 2, (4000, 10))
    assert covered([t_interval(row)[1:3] for row in x], 0.3) == pytest.approx(0.95, abs=0.007)
    assert covered([mean_difference(*rows)[1:3] for rows in zip(x[:2000], y[:2000], strict=True)], 0) == pytest.approx(0.95, abs=0.012)
    assert covered([mean_difference(a, b, paired=True)[1:3] for a, b in zip(x[:2000], y[:2000], strict=True)], 0) == pytest.approx(
        0.95, abs=0.012
    )


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_superiority_holds_its_level_at_ten(shift: float) -> None:
    rng, truth = np.random.default_rng(3), stats.norm.cdf(shift / 2**0.5)
    rows = zip(rng.normal(shift, 1, (2000, 10)), rng.normal(0, 1, (2000, 10)), strict=True)
    ends = [estimate_a12(x, y)[1:] for x, y in rows]
    assert 0.94 < covered(ends, truth) < 0.975
    assert np.mean([high - low for low, high in ends]) < 0.5  # and the intervals are not merely wide
