"""Tests of properties that all of significance.py has, and of errors that other statistics packages have made."""

import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform.stats.power import compute_power, find_detectable_effect, find_needed_replicates
from platform.stats.significance import (
    Difference,
    adjust_benjamini_hochberg,
    adjust_holm,
    compute_difference_p,
    compute_equivalence_p,
    compute_evidence,
    estimate_a12,
    hodges_lehmann,
    mann_whitney,
    mean_difference,
    sign_flip,
    t_interval,
)

Use = Callable[[Any], Any]
NONE = np.random.default_rng(0)
ONE_SAMPLE: dict[str, Use] = {
    "sign_flip": lambda d: sign_flip(d, NONE),
    "t_interval": t_interval,
}
FIRST_OF_TWO: dict[str, Use] = {
    "mann_whitney": lambda x: mann_whitney(x, [1.0]),
    "superiority": lambda x: estimate_a12(x, [1.0]),
    "mean_difference": lambda x: mean_difference(x, [1.0]),
    "mean_difference paired": lambda x: mean_difference(x, x, paired=True),
    "hodges_lehmann": lambda x: hodges_lehmann(x, [1.0]),
}
SECOND_OF_TWO: dict[str, Use] = {
    "mann_whitney, second": lambda x: mann_whitney([1.0], x),
    "superiority, second": lambda x: estimate_a12([1.0], x),
    "mean_difference, second": lambda x: mean_difference([1.0], x),
    "hodges_lehmann, second": lambda x: hodges_lehmann([1.0], x),
}
EVERY = {**ONE_SAMPLE, **FIRST_OF_TWO, **SECOND_OF_TWO}
SAMPLE = st.lists(st.integers(0, 8), min_size=2, max_size=8)


@pytest.mark.parametrize("sample", [[], [0.1, math.nan], [[0.1], [0.2]], 0.5], ids=["empty", "NaN", "2-D", "a number"])
@pytest.mark.parametrize("use", EVERY.values(), ids=EVERY)
def test_what_is_no_sample_is_refused(use: Use, sample: Any) -> None:
    with pytest.raises(ValueError, match="a sample is one row"):
        use(sample)


@pytest.mark.parametrize("paired", [lambda x, y: mean_difference(x, y, paired=True), lambda x, y: hodges_lehmann(x, y, paired=True)])
def test_unequal_samples_are_no_pairs(paired: Callable[[Any, Any], Any]) -> None:
    for x, y in (([1.0, 2.0, 3.0], [1.0]), ([1.0], [1.0, 2.0]), ([1.0, 2.0, 3.0], [1.0, 2.0])):  # numpy broadcasts a single number
        with pytest.raises(ValueError, match="pairs"):
            paired(x, y)


@given(SAMPLE, SAMPLE, st.randoms(use_true_random=False))
def test_the_order_of_replicates_tells_nothing(x: list[int], y: list[int], chance: random.Random) -> None:
    u, v = chance.sample(x, len(x)), chance.sample(y, len(y))
    assert mann_whitney(u, v) == mann_whitney(x, y)
    assert estimate_a12(u, v) == pytest.approx(estimate_a12(x, y))
    assert t_interval(u) == pytest.approx(t_interval(x))
    assert mean_difference(u, v) == pytest.approx(mean_difference(x, y), nan_ok=True)
    assert hodges_lehmann(u, v) == hodges_lehmann(x, y)
    pairs = list(zip(x, y, strict=False))
    first, second = zip(*pairs, strict=True)
    one, other = zip(*chance.sample(pairs, len(pairs)), strict=True)  # pairs are kept
    d, e = np.subtract(first, second), np.subtract(one, other)
    assert sign_flip(e, NONE) == sign_flip(d, NONE)
    assert mean_difference(one, other, paired=True) == pytest.approx(mean_difference(first, second, paired=True))
    assert hodges_lehmann(one, other, paired=True) == hodges_lehmann(first, second, paired=True)


@given(SAMPLE, SAMPLE)
def test_swapped_labels_swap_the_answer(x: list[int], y: list[int]) -> None:
    """A label that sorts first is not the better one. Results for x over y are the opposite of those for y over x."""
    xy, yx = mann_whitney(x, y, "greater"), mann_whitney(y, x, "less")
    assert xy.u + yx.u == len(x) * len(y) and xy.a12 + yx.a12 == pytest.approx(1) and xy.p == pytest.approx(yx.p)
    assert mann_whitney(y, x, "two-sided").p == pytest.approx(mann_whitney(x, y, "two-sided").p)
    over, under = estimate_a12(x, y), estimate_a12(y, x)
    assert over == pytest.approx((1 - under.a12, 1 - under.high, 1 - under.low))
    assert hodges_lehmann(y, x) == -hodges_lehmann(x, y)
    d, paired = np.subtract(*zip(*zip(x, y, strict=False), strict=True)), min(len(x), len(y))
    assert sign_flip(-d, NONE).statistic == -sign_flip(d, NONE).statistic
    assert sign_flip(d, NONE, "greater").p == pytest.approx(sign_flip(-d, NONE, "less").p)
    for result, swapped in (
        (mean_difference(x, y), mean_difference(y, x)),
        (mean_difference(x[:paired], y[:paired], paired=True), mean_difference(y[:paired], x[:paired], paired=True)),
    ):
        mirrored = Difference(-swapped.mean, -swapped.high, -swapped.low, *swapped[3:])
        assert result == pytest.approx(mirrored, nan_ok=True) and result.low <= result.mean <= result.high
        assert compute_equivalence_p(result, 1.5) == pytest.approx(compute_equivalence_p(swapped, 1.5), nan_ok=True)
        assert compute_difference_p(result, "greater") == pytest.approx(compute_difference_p(swapped, "less"), nan_ok=True)
        assert compute_evidence(result, 1.5) == pytest.approx(compute_evidence(swapped, 1.5)[::-1], nan_ok=True)


def test_the_better_arm_has_the_small_p() -> None:
    """High scores are "greater", whatever the arms are called. The directions are written out."""
    high, low = [0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4]
    d = np.subtract(high, low)
    assert mann_whitney(high, low, "greater").p == pytest.approx(1 / 70) and mann_whitney(high, low, "less").p == 1
    difference = mean_difference(high, low)
    assert compute_difference_p(difference, "greater") < 0.01 and compute_difference_p(difference, "less") > 0.99
    assert sign_flip(d, NONE, "greater").p == pytest.approx(1 / 16) and sign_flip(d, NONE, "less").p == 1
    assert mann_whitney(high, low).a12 == estimate_a12(high, low).a12 == 1
    assert min(mean_difference(high, low).mean, hodges_lehmann(high, low), t_interval(d).mean, mean_difference(high, low).low) > 0


@pytest.mark.parametrize("n", [2, 5, 40, 400])
def test_equal_numbers_tell_nothing_and_warn_of_nothing(n: int) -> None:
    x, zeros = [0.5] * n, [0.0] * n
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for side in ("greater", "less", "two-sided"):
            assert mann_whitney(x, x, side)[1:5] == (1, n, n, 0.5)
            assert sign_flip(zeros, NONE, side, draws=99)[:3] == (0, 1, n)
        assert estimate_a12(x, x).a12 == 0.5 and estimate_a12(x, x).low < 0.5 < estimate_a12(x, x).high
        assert t_interval(x)[:4] == (0.5, 0.5, 0.5, 0)
        for difference in (mean_difference(x, x), mean_difference(x, x, paired=True)):
            assert difference[:5] == (0, 0, 0, 0, 0)
            assert math.isnan(compute_equivalence_p(difference, 0.1)) and math.isnan(compute_difference_p(difference))
            assert all(map(math.isnan, compute_evidence(difference, 0.1)))


def test_one_number_has_no_interval() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert t_interval([0.4])[0] == 0.4 and t_interval([0.4]).n == 1 and all(map(math.isnan, t_interval([0.4])[1:4]))
        for single in (
            mean_difference([0.5], [0.25, 0.25]),
            mean_difference([0.25, 0.75], [0.25]),
            mean_difference([0.5], [0.25], paired=True),
        ):
            assert single.mean == 0.25 and all(map(math.isnan, single[1:])) and math.isnan(compute_equivalence_p(single, 1))
        assert estimate_a12([2], [1, 2, 3])[0] == 0.5 and all(map(math.isnan, estimate_a12([2], [1, 2, 3])[1:]))
        assert mann_whitney([2], [1])[:2] == (1, 0.5) and mann_whitney([2], [1], "two-sided").p == 1
        assert sign_flip([2], NONE, "greater")[:2] == (2, 0.5)
        assert hodges_lehmann([2], [1]) == hodges_lehmann([2], [1], paired=True) == 1
        assert (
            math.isnan(find_detectable_effect(1)) and math.isnan(find_detectable_effect(1, 5)) and math.isnan(find_detectable_effect(5, 1))
        )


def test_no_chance_but_the_given_one() -> None:
    """rliable draws from numpy's global state, so that three runs with one seed gave three intervals."""
    x, y = np.arange(40) % 7, np.arange(40) % 5
    np.random.seed(1)
    random.seed(1)
    before, old = np.random.get_state(legacy=False), random.getstate()
    answers = []
    for noise in (3, 4):
        np.random.seed(noise)  # changes to the global state have no effect
        rng = np.random.default_rng(7)
        answers.append(sign_flip(x - y, rng, draws=500))
    assert answers[0] == answers[1]
    np.random.seed(1)
    for use in EVERY.values():
        use([0.25, 0.5, 0.75])
    sign_flip(x - y, np.random.default_rng(7), draws=50)
    mann_whitney(np.arange(80), np.arange(80) / 2)
    (
        adjust_holm([0.1, 0.2]),
        adjust_benjamini_hochberg([0.1, 0.2]),
        compute_power(1, 5),
        find_detectable_effect(5),
        find_needed_replicates(1, True),
    )
    after = np.random.get_state(legacy=False)
    assert after["bit_generator"] == before["bit_generator"] and after["has_gauss"] == before["has_gauss"]
    assert after["state"]["pos"] == before["state"]["pos"] and np.array_equal(after["state"]["key"], before["state"]["key"])
    assert random.getstate() == old
