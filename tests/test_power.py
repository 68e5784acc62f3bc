"""The replicates that a difference needs, compared with a power computed from quantiles, also where scipy's distribution fails."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import special, stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from platform.stats.power import MOST_REPLICATES, compute_power, find_detectable_effect, find_needed_replicates

ALPHA = st.sampled_from([0.05, 0.025, 0.01, 0.05 / 12])
SHARES, FEWER = (np.arange(5000) + 0.5) / 5000, (np.arange(300) + 0.5) / 300


def by_quantiles(d: float, n: float, paired: bool, alpha: float) -> float:
    """Return the two-sided t test's power: the mean, over quantiles of the variances, of the probability that |t| exceeds the bound.

    Welch's is a mean over both samples' variances.
    """
    scale = n**0.5 if paired else (n / 2) ** 0.5
    if paired:
        critical = stats.t.isf(alpha / 2, n - 1) * np.sqrt(special.chdtri(n - 1, SHARES) / (n - 1))
    else:
        v1, v2 = np.meshgrid(*[special.chdtri(n - 1, FEWER) / (n - 1)] * 2)
        df = (v1 + v2) ** 2 / ((v1**2 + v2**2) / (n - 1))
        critical = stats.t.isf(alpha / 2, df) * np.sqrt((v1 + v2) / 2)
    return float(np.mean(special.ndtr(d * scale - critical) + special.ndtr(-d * scale - critical)))


@given(st.floats(-2.5, 2).map(lambda power: 10**power), st.booleans(), ALPHA)
@example(1e15, True, 0.05)
@example(1e15, False, 0.05 / 12)
def test_what_is_needed_is_enough_and_less_is_not(d: float, paired: bool, alpha: float) -> None:
    n = find_needed_replicates(d, paired, alpha)
    assert n >= 3
    if math.isinf(n):
        assert by_quantiles(d, MOST_REPLICATES, paired, alpha) < 0.8
    elif n > 3:
        assert by_quantiles(d, n, paired, alpha) == pytest.approx(0.8, abs=2e-4 if paired else 1.5e-3)
    else:
        assert by_quantiles(d, 3, paired, alpha) >= 0.8 - (2e-4 if paired else 1.5e-3)


@pytest.mark.parametrize("d", [0.05, 0.2, 0.8, 1.5])
def test_against_statsmodels(d: float) -> None:
    for alpha in (0.05, 0.005):
        arguments = {"effect_size": d, "alpha": alpha, "power": 0.8, "alternative": "two-sided"}
        assert find_needed_replicates(d, True, alpha) == pytest.approx(TTestPower().solve_power(**arguments), rel=1e-4)
        pooled = TTestIndPower().solve_power(**arguments)  # of Student's test, which knows that the variances are equal
        assert pooled <= find_needed_replicates(d, False, alpha) * (1 + 1e-6) <= pooled + 1


@given(st.floats(-300, 300), st.floats(-300, 300), st.booleans(), ALPHA)
def test_a_larger_difference_never_needs_more(one: float, other: float, paired: bool, alpha: float) -> None:
    smaller, larger = sorted((10**one, 10**other))
    assert 3 <= find_needed_replicates(larger, paired, alpha) <= find_needed_replicates(smaller, paired, alpha) * (1 + 1e-6)


def test_three_are_enough_for_all_that_is_huge() -> None:
    """scipy's noncentral t distribution is NaN for some effects above 35 standard deviations and for all above 1e10."""
    for d in (*np.geomspace(1e3, 1e300, 600), math.inf):
        assert (
            find_needed_replicates(float(d), True)
            == find_needed_replicates(float(d), False)
            == find_needed_replicates(float(d), True, 0.01)
            == 3
        )


def test_power_is_a_chance_that_grows_with_the_difference() -> None:
    for n1, n2, alpha in ((2, None, 1e-6), (2, None, 0.05), (2, 2, 0.0025), (6, None, 0.05), (10, 10, 0.05), (30, None, 1e-6)):
        powers = np.array([compute_power(float(d), n1, n2, alpha) for d in (*np.linspace(0, 60, 200), *np.geomspace(61, 1e300, 400))])
        assert powers[0] == pytest.approx(alpha) if n2 is None else powers[0] <= alpha
        assert powers[-1] == 1 and np.isfinite(powers).all()
        assert (np.diff(powers) > -1e-7).all()


def test_where_scipy_has_no_answer_the_power_is_right() -> None:
    for df, bar in ((1, 6.4e5), (1, 2e4), (2, 1e4), (3, 130.0)):
        denominators, alpha = np.sqrt(special.chdtri(df, SHARES) / df), 2 * float(stats.t.sf(bar, df))
        for centre in np.geomspace(bar / 3, 3 * bar, 20):
            expected = float(np.mean(special.ndtr(centre - bar * denominators)))
            assert compute_power(centre / (df + 1) ** 0.5, df + 1, None, alpha) == pytest.approx(expected, abs=2e-4)


def test_the_ceiling_is_reached() -> None:
    smallest = 2.802 / MOST_REPLICATES**0.5  # the effect that a million pairs detect with power 0.8
    assert find_needed_replicates(1.001 * smallest, True) == pytest.approx(MOST_REPLICATES, rel=0.005) and math.isinf(
        find_needed_replicates(0.999 * smallest, True)
    )
    assert (
        math.isinf(find_needed_replicates(0.0, True))
        and math.isinf(find_needed_replicates(1e-300, False))
        and find_detectable_effect(3) < find_detectable_effect(3, None, 0.01) < 1000
    )
