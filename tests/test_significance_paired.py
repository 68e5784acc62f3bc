"""Tests of paired differences against scipy, brute force and printed results."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from platform.stats.significance import Alternative, hodges_lehmann, sign_flip

SLEEP = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
DEPRESSION = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30], [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
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
def test_sign_flip_against_every_sign(d: list[int], side: Alternative) -> None:
    result = sign_flip(d, unused(), side)
    assert result == (pytest.approx(np.mean(d)), pytest.approx(p_of_flips(d, lambda s: (s * np.abs(d)).sum(), side)), len(d), "exact")


@pytest.mark.parametrize("side", ["greater", "less", "two-sided"])
def test_against_scipy_counting_all(side: Alternative) -> None:
    rng = np.random.default_rng(3)
    for n in (3, 7, 11):
        d = rng.integers(-3, 6, n).astype(float)
        flips = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative=side)
        assert sign_flip(d, unused(), side)[:2] == pytest.approx((flips.statistic, flips.pvalue))


def test_printed_results() -> None:
    x, y = DEPRESSION  # R ?wilcox.test (Hollander & Wolfe 1973)
    assert hodges_lehmann(x, y, paired=True) == pytest.approx(0.46)
    d = np.round(np.subtract(*SLEEP), 9)  # R's sleep data: a zero and a tie
    assert sign_flip(d, unused(), "less").p == 0.001953125  # the zero doubles 1/1024


@given(COUNTS, st.sampled_from([7, 160, 1000]))
def test_rounding_neither_breaks_nor_makes_ties(counts: list[tuple[int, int]], of: int) -> None:
    """Accuracies k/n must give the same p as their counts k: .8 - .7 and .7 - .6 differ only in the last digits."""
    x, y = np.array(counts).T
    whole, share = sign_flip(x - y, unused()), sign_flip(x / of - y / of, unused())
    assert share.p == pytest.approx(whole.p, rel=1e-12)


@given(DIFFERENCES)
def test_the_unit_of_the_differences_is_no_news(d: list[int]) -> None:
    assert sign_flip([v / 8 for v in d], unused()).p == sign_flip(d, unused()).p
    with pytest.raises(ValueError, match="infinite"):
        sign_flip([*d, np.inf], unused())


@pytest.mark.parametrize("n", [1, 5, 10])
def test_no_p_is_below_the_smallest(n: int) -> None:
    d = np.arange(1.0, n + 1)
    for side in ("greater", "two-sided"):
        assert sign_flip(d, unused(), side).p == pytest.approx(min(1, (1 + (side == "two-sided")) / 2**n), rel=1e-12)


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
