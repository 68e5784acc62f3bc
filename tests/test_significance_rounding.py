"""The last digits of scores decide no rank, sign, p or verdict, and statistics work for numbers of any size."""

import math
import statistics
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform.stats.float_ties import find_largest, measure_correlation, measure_spread, merge_ties, subtract_exactly
from platform.stats.significance import (
    average_differences,
    bootstrap_conditions,
    compute_equivalence_p,
    corrected_t,
    estimate_a12,
    hodges_lehmann,
    mann_whitney,
    mean_difference,
    permute_within_conditions,
    sign_flip,
    signed_rank,
    spearman_correlation,
    subtract_pairs,
    t_interval,
)

COUNTS = st.lists(st.tuples(st.integers(0, 140), st.integers(0, 140)), min_size=2, max_size=9)
NOISE = st.integers(0, 2**32 - 1)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def perturbed(x: np.ndarray, seed: int) -> np.ndarray:
    """Return x as another processor may have computed it: each number is off by 1e-16 to 1e-12 of itself."""
    chance = np.random.default_rng(seed)
    return x * (1 + chance.choice([-1, 1], x.shape) * 10 ** chance.uniform(-16, -12, x.shape))


@given(COUNTS, NOISE)
def test_last_digits_change_no_test(counts: list[tuple[int, int]], seed: int) -> None:
    exact = np.array(counts).T / 140
    (x, y), (u, v) = exact, perturbed(exact, seed)
    assert mann_whitney(u, v) == mann_whitney(x, y) and estimate_a12(u, v) == estimate_a12(x, y)
    d, e = subtract_pairs(x, y), subtract_pairs(u, v)
    for side in ("greater", "two-sided"):
        assert sign_flip(e, rng(), side).p == sign_flip(d, rng(), side).p and signed_rank(e, side) == signed_rank(d, side)
    for paired in (True, False):
        plain, noisy = ([(*pair, paired), (*pair[::-1], paired)] for pair in ((x, y), (u, v)))
        assert permute_within_conditions(noisy[:1], rng(), draws=200).p == permute_within_conditions(plain[:1], rng(), draws=200).p
        assert bootstrap_conditions(noisy, rng(), 50) == pytest.approx(bootstrap_conditions(plain, rng(), 50), abs=1e-9)
        assert mean_difference(u, v, paired)[:5] == pytest.approx(mean_difference(x, y, paired)[:5], abs=1e-9)
    assert spearman_correlation(u, v) == pytest.approx(spearman_correlation(x, y), nan_ok=True)
    assert measure_correlation(u, v) == pytest.approx(measure_correlation(x, y), abs=1e-6, nan_ok=True)


@given(st.lists(st.integers(1, 140), min_size=2, max_size=9), NOISE)
def test_equal_scores_do_not_differ(counts: list[int], seed: int) -> None:
    x = np.array(counts) / 140
    y = perturbed(x, seed)
    d = subtract_pairs(x, y)
    assert not d.any() and sign_flip(d, rng()).p == signed_rank(d).p == 1 and mann_whitney(x, y, "two-sided").a12 == 0.5
    assert mean_difference(x, y, paired=True)[:5] == corrected_t(d, 0.5)[:5] == (0, 0, 0, 0, 0)
    assert mean_difference(x, y).mean == hodges_lehmann(x, y, paired=True) == 0
    assert permute_within_conditions([(x, y, True)], rng(), draws=99).p == 1
    assert bootstrap_conditions([(x, y, True)], rng(), 20)[:3] == (0, 0, 0)


@given(st.lists(st.floats(0.1, 1), min_size=2, max_size=9).filter(lambda x: max(x) - min(x) > 1e-3), st.sampled_from([1e300, 1e-300, 1e-8]))
def test_a_scale_scales(x: list[float], scale: float) -> None:
    """Squares of 1e300 overflow and squares of 1e-300 are 0. Neither may occur in a variance."""
    y = [*x[::-1], 0.55]
    big_x, big_y = np.array(x) * scale, np.array(y) * scale
    with warnings.catch_warnings(action="error"):
        for plain, scaled in (
            (t_interval(x), t_interval(big_x)),
            (mean_difference(x, y)[:5], mean_difference(big_x, big_y)[:5]),
            (average_differences([mean_difference(x, y)] * 2)[:5], average_differences([mean_difference(big_x, big_y)] * 2)[:5]),
            (corrected_t(x, 0.2)[:5], corrected_t(big_x, 0.2)[:5]),
        ):
            assert [part / scale for part in scaled[:4]] == pytest.approx(list(plain[:4]), abs=1e-12)
        assert mean_difference(big_x, big_y).df == pytest.approx(mean_difference(x, y).df)
        assert compute_equivalence_p(mean_difference(big_x, big_y), 0.1 * scale) == pytest.approx(
            compute_equivalence_p(mean_difference(x, y), 0.1)
        )
        for paired in (True, False):
            plain, scaled = ([(a, b[: len(a)], paired)] for a, b in ((x, y), (big_x, big_y)))
            assert permute_within_conditions(scaled, rng(), draws=99).p == permute_within_conditions(plain, rng(), draws=99).p
    assert measure_spread(big_x) / scale == pytest.approx(statistics.stdev(x))


def test_numbers_of_all_sizes_at_once() -> None:
    mixed = [1e300, -1e300, 1e-300, 0.5, 0.0]
    with warnings.catch_warnings(action="error"):
        for interval in (
            t_interval(mixed),
            mean_difference(mixed, mixed[1:]),
            corrected_t(mixed, 1.0),
            mean_difference(mixed, mixed, paired=True),
        ):
            assert all(math.isfinite(part) for part in interval[:4])
        assert mann_whitney(mixed, [0.25]).u == 2 and measure_spread([5e-324, 0.0]) in (0, 5e-324)
        assert measure_correlation([1e300, -1e300, 0.0], [1e-300, -1e-300, 0.0]) == pytest.approx(1)


def test_a_difference_at_the_margin_is_not_equivalent_in_any_arithmetic() -> None:
    for noise in (-1e-13, 0.0, 1e-13):
        assert compute_equivalence_p(mean_difference([0.81 + noise, 0.71], [0.80, 0.70], paired=True), 0.01) == 1
    assert compute_equivalence_p(mean_difference([0.805, 0.705], [0.80, 0.70], paired=True), 0.01) == 0


def test_ties() -> None:
    assert merge_ties([0.3, 0.1 + 0.2, 0.7, math.inf, math.inf, -math.inf]).tolist() == [0.3, 0.3, 0.7, math.inf, math.inf, -math.inf]
    assert merge_ties([1.0, 2.0, 2.5, 9.0], slack=0.6).tolist() == [1.0, 2.0, 2.0, 9.0] and len(merge_ties([])) == 0
    assert merge_ties([1.0, 1.00000001]).tolist() == [1.0, 1.00000001]  # a relative difference of 1e-8 counts
    assert (
        subtract_exactly(0.1 + 0.2, 0.3) == 0 and subtract_exactly(math.inf, 1.0) == math.inf and np.isnan(subtract_exactly(math.nan, 1.0))
    )
    assert find_largest(np.array([[0.1, 0.3, 0.1 + 0.2], [0.0, 0.0, 0.0], [0.2, 0.1, 0.7]])).tolist() == [1, 0, 2]
