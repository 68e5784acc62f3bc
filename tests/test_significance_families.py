"""Adjustments for many tests at once, and the differences that a study of a given size can detect."""

import math
import random
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower

from platform.stats.power import compute_power, find_detectable_effect, find_needed_replicates
from platform.stats.significance import Alternative, adjust_benjamini_hochberg, adjust_holm

Adjust = Callable[[ArrayLike], np.ndarray]
FAMILY = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.01, 0.04]), st.just(math.nan)), max_size=7)
BH_1995 = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1]
SIDES = {"greater": "larger", "two-sided": "two-sided"}


def by_closure(p: list[float]) -> list[float]:
    """Return Holm's adjusted p as the closed test of Bonferroni's: all families that contain a hypothesis must be rejected."""
    families = [f for k in range(1, len(p) + 1) for f in combinations(range(len(p)), k)]
    return [max(min(1.0, len(f) * min(p[j] for j in f)) for f in families if i in f) for i in range(len(p))]


def by_counting(p: list[float]) -> list[float]:
    """Return Benjamini and Hochberg's adjusted p: the minimum, over thresholds from p on, of m x threshold / number of p up to it."""
    return [min(len(p) * bar / sum(other <= bar for other in p) for bar in p if bar >= own) for own in p]


@pytest.mark.parametrize(("adjust", "oracle"), [(adjust_holm, by_closure), (adjust_benjamini_hochberg, by_counting)])
@given(raw=FAMILY)
def test_against_their_definitions(adjust: Adjust, oracle: Callable[[list[float]], list[float]], raw: list[float]) -> None:
    """statsmodels counts a NaN in m, and scipy stops at it. A NaN is a test that was not made: it stays NaN and does not affect others."""
    adjusted, tested = adjust(raw), [p for p in raw if p == p]
    assert np.array_equal(np.isnan(adjusted), np.isnan(np.array(raw, dtype=float)))
    assert adjusted[~np.isnan(adjusted)] == pytest.approx(oracle(tested))
    assert adjust(tested) == pytest.approx(adjusted[~np.isnan(adjusted)])  # as without the NaN


@pytest.mark.parametrize(("adjust", "name"), [(adjust_holm, "holm"), (adjust_benjamini_hochberg, "fdr_bh")])
def test_against_statsmodels(adjust: Adjust, name: str) -> None:
    for raw in (BH_1995, np.random.default_rng(2).uniform(0, 0.2, 12).round(2)):
        assert adjust(raw) == pytest.approx(multipletests(raw, method=name)[1])


@given(raw=FAMILY, order=st.randoms(use_true_random=False))
@pytest.mark.parametrize("adjust", [adjust_holm, adjust_benjamini_hochberg])
def test_what_an_adjustment_may_do(adjust: Adjust, raw: list[float], order: random.Random) -> None:
    adjusted = adjust(raw)
    pairs = [(p, q) for p, q in zip(raw, adjusted, strict=True) if p == p]
    assert all(p <= q <= 1 and q <= min(1, len(pairs) * p) * (1 + 1e-12) for p, q in pairs)  # never below raw p, nor above Bonferroni's p
    assert all(q <= other for (p, q) in pairs for (larger, other) in pairs if p <= larger)
    shuffled = list(range(len(raw)))
    order.shuffle(shuffled)
    assert np.array_equal(adjust([raw[i] for i in shuffled]), adjusted[shuffled], equal_nan=True)
    assert adjust([0.03]) == pytest.approx([0.03])


def test_printed_adjustments() -> None:
    raw = [0.01, 0.04, 0.03, 0.005]  # R p.adjust
    assert adjust_holm(raw) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust_benjamini_hochberg(raw) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert adjust_holm([0.01, math.nan, 0.04]) == pytest.approx([0.02, math.nan, 0.04], nan_ok=True)  # statsmodels: .03, NaN, .08
    assert (np.count_nonzero(adjust_benjamini_hochberg(BH_1995) <= 0.05), np.count_nonzero(adjust_holm(BH_1995) <= 0.05)) == (4, 3)
    assert len(adjust_holm([])) == len(adjust_benjamini_hochberg([])) == 0 and raw == [0.01, 0.04, 0.03, 0.005]


def test_holm_holds_the_family_and_bonferroni_only_wastes() -> None:
    p = np.random.default_rng(0).uniform(size=(1500, 5))
    p[:, :2] /= 200  # two of the five are true differences
    adjusted = np.array([adjust_holm(row) for row in p])
    fwer, rejected = np.mean((adjusted[:, 2:] <= 0.05).any(1)), adjusted[:, :2] <= 0.05
    assert 0.02 < fwer < 0.05 + 3 * (0.05 * 0.95 / 1500) ** 0.5 and (rejected >= (5 * p[:, :2] <= 0.05)).all() and rejected.mean() > 0.9


@pytest.mark.parametrize(("n", "two", "paired"), [(5, 1.725, 1.359), (10, 1.156, 0.853), (20, 0.801, 0.577), (30, 0.650, 0.465)])
def test_what_can_be_detected(n: int, two: float, paired: float) -> None:
    assert (
        0.999 * two <= find_detectable_effect(n, n, 0.05, "greater") <= 1.03 * two
    )  # `two` is of Student's test, which pools the variances
    assert find_detectable_effect(n, None, 0.05, "greater") == pytest.approx(paired, abs=5e-4)
    assert 0.999 * n <= find_needed_replicates(two, False, 0.05, "greater") <= n + 0.5
    assert find_needed_replicates(paired, True, 0.05, "greater") == pytest.approx(n, rel=2e-3)


def test_as_r_prints_it() -> None:
    """power.t.test of two samples pools their variances, by which it gains little at twenty."""
    assert 0.8689528 - 1e-3 < compute_power(1, 20, 20) < 0.8689528 and 0.3379 - 2e-3 < compute_power(0.5, 20, 20) < 0.3379
    assert 22.02110 < find_needed_replicates(1, False, wanted=0.9) < 22.02110 + 0.1


@pytest.mark.parametrize("side", ["greater", "two-sided"])
def test_power_against_statsmodels(side: Alternative) -> None:
    pairs = TTestPower()
    for n, d, alpha in ((5, 0.4, 0.05), (10, 0.6, 0.05), (30, 0.3, 0.01), (20, 0.0, 0.05)):
        assert compute_power(d, n, None, alpha, side) == pytest.approx(pairs.power(d, n, alpha, alternative=SIDES[side]))
    for n, wanted in ((10, 0.8), (12, 0.9)):
        oracle = pairs.solve_power(nobs=n, alpha=0.05, power=wanted, alternative=SIDES[side])
        assert find_detectable_effect(n, None, 0.05, side, wanted) == pytest.approx(oracle, abs=1e-4)
    oracle = pairs.solve_power(effect_size=0.7, alpha=0.05, power=0.8, alternative=SIDES[side])
    assert find_needed_replicates(0.7, True, 0.05, side) == pytest.approx(oracle, rel=1e-4)
    many = TTestIndPower().power(0.2, 400, 0.05, 1.5, alternative=SIDES[side])  # of many, Welch's test is Student's
    assert compute_power(0.2, 400, 600, 0.05, side) == pytest.approx(many, abs=1e-3)


@pytest.mark.parametrize(("n1", "n2"), [(3, 3), (5, 5), (8, 12), (12, 4)])
def test_power_is_how_often_the_test_rejects(n1: int, n2: int) -> None:
    """Welch's test is what a report makes. At three it has .70 where Student's has .80, so Student's power would promise too much."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(1.2, 1, (20_000, n1)), rng.normal(0, 1, (20_000, n2))
    for side in ("greater", "less", "two-sided"):
        sign = -1 if side == "less" else 1
        for shift, alpha in ((0.0, 0.05), (0.0, 0.0125), (1.2, 0.05)):
            p = stats.ttest_ind(sign * x, sign * (y + shift), axis=1, alternative=side, equal_var=False).pvalue
            assert compute_power(1.2 - shift, n1, n2, alpha, side) == pytest.approx(np.mean(p <= alpha), abs=0.012)  # type: ignore[arg-type]
    assert compute_power(0.0, n1, None, 0.03) == pytest.approx(0.03)


@pytest.mark.parametrize("side", ["greater", "two-sided"])
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.0025])
def test_holms_levels_are_answered_at_every_size(alpha: float, side: Alternative) -> None:
    """scipy's nct.cdf is NaN for most of these if it is asked for the wrong tail."""
    effects = []
    for n in (3, 5, 10, 30, 100, 1000):
        effects.append((find_detectable_effect(n, n, alpha, side), find_detectable_effect(n, None, alpha, side)))
        assert (
            compute_power(effects[-1][0], n, n, alpha, side)
            == pytest.approx(compute_power(effects[-1][1], n, None, alpha, side))
            == pytest.approx(0.8)
        )
        for d in (0.1, 2.0, 5.0, 50.0):
            assert 0 <= compute_power(d, n, n, alpha, side) <= 1 and 3 <= find_needed_replicates(d, True, alpha, side) < math.inf
    assert (np.diff(effects, axis=0) < 0).all()
    assert math.isnan(find_detectable_effect(2, None, 1e-6, side)) and find_needed_replicates(1e-6, True, alpha, side) == math.inf
    assert find_needed_replicates(1000, False, alpha, side) == 3
