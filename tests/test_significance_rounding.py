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
    compute_difference_p,
    compute_equivalence_p,
    compute_evidence,
    estimate_a12,
    hodges_lehmann,
    mann_whitney,
    mean_difference,
    sign_flip,
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
        assert sign_flip(e, rng(), side).p == sign_flip(d, rng(), side).p
    for paired in (True, False):
        plain, noisy = mean_difference(x, y, paired), mean_difference(u, v, paired)
        assert noisy[:5] == pytest.approx(plain[:5], abs=1e-9)
        assert compute_difference_p(noisy) == pytest.approx(compute_difference_p(plain), abs=1e-6, nan_ok=True)
        assert compute_evidence(noisy, 0.01) == pytest.approx(compute_evidence(plain, 0.01), abs=1e-6, nan_ok=True)
    assert spearman_correlation(u, v) == pytest.approx(spearman_correlation(x, y), nan_ok=True)
    assert measure_correlation(u, v) == pytest.approx(measure_correlation(x, y), abs=1e-6, nan_ok=True)


@given(st.lists(st.integers(1, 140), min_size=2, max_size=9), NOISE)
def test_equal_scores_do_not_differ(counts: list[int], seed: int) -> None:
    x = np.array(counts) / 140
    y = perturbed(x, seed)
    d = subtract_pairs(x, y)
    assert not d.any() and sign_flip(d, rng()).p == 1 and mann_whitney(x, y, "two-sided").a12 == 0.5
    assert mean_difference(x, y, paired=True)[:5] == (0, 0, 0, 0, 0)
    assert mean_difference(x, y).mean == hodges_lehmann(x, y, paired=True) == 0


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
        ):
            assert [part / scale for part in scaled[:4]] == pytest.approx(list(plain[:4]), abs=1e-12)
        assert mean_difference(big_x, big_y).df == pytest.approx(mean_difference(x, y).df)
        assert compute_equivalence_p(mean_difference(big_x, big_y), 0.1 * scale) == pytest.approx(
            compute_equivalence_p(mean_difference(x, y), 0.1)
        )
        assert compute_difference_p(mean_difference(big_x, big_y)) == pytest.approx(compute_difference_p(mean_difference(x, y)))
    assert measure_spread(big_x) / scale == pytest.approx(statistics.stdev(x))


def test_numbers_of_all_sizes_at_once() -> None:
    mixed = [1e300, -1e300, 1e-300, 0.5, 0.0]
    with warnings.catch_warnings(action="error"):
        for interval in (
            t_interval(mixed),
            mean_difference(mixed, mixed[1:]),
            mean_difference(mixed, mixed, paired=True),
        ):
            assert all(math.isfinite(part) for part in interval[:4])
        assert mann_whitney(mixed, [0.25]).u == 2 and measure_spread([5e-324, 0.0]) in (0, 5e-324)
        assert measure_correlation([1e300, -1e300, 0.0], [1e-300, -1e-300, 0.0]) == pytest.approx(1)


def test_differences_that_do_not_vary_are_not_equivalent_in_any_arithmetic() -> None:
    for noise in (-1e-13, 0.0, 1e-13):
        for shift in (0.01, 0.005, 0.0):
            difference = mean_difference([0.80 + shift + noise, 0.70 + shift], [0.80, 0.70], paired=True)
            assert math.isnan(compute_equivalence_p(difference, 0.01)) and math.isnan(compute_difference_p(difference))


def test_ties() -> None:
    assert merge_ties([0.3, 0.1 + 0.2, 0.7, math.inf, math.inf, -math.inf]).tolist() == [0.3, 0.3, 0.7, math.inf, math.inf, -math.inf]
    assert merge_ties([1.0, 2.0, 2.5, 9.0], slack=0.6).tolist() == [1.0, 2.0, 2.0, 9.0] and len(merge_ties([])) == 0
    assert merge_ties([1.0, 1.00000001]).tolist() == [1.0, 1.00000001]  # a relative difference of 1e-8 counts
    assert (
        subtract_exactly(0.1 + 0.2, 0.3) == 0 and subtract_exactly(math.inf, 1.0) == math.inf and np.isnan(subtract_exactly(math.nan, 1.0))
    )
    assert find_largest(np.array([[0.1, 0.3, 0.1 + 0.2], [0.0, 0.0, 0.0], [0.2, 0.1, 0.7]])).tolist() == [1, 0, 2]
