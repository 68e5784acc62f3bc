"""Averages over conditions: what is averaged, what is resampled, and what the result tells."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from platform.stats.significance import (
    average_differences,
    bootstrap_conditions,
    estimate_a12,
    mann_whitney,
    mean_difference,
    permute_within_conditions,
)

SAMPLE = st.lists(st.integers(0, 6), min_size=2, max_size=6)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_rliable() -> None:
    """rliable's own test: runs by tasks, P(improvement) is 1/3. Each task has the same weight."""
    x, y = np.array([[1, 2], [2, 2], [1, 1], [2, 1]]).T, np.array([[1, 1], [2, 2], [3, 3]]).T
    result = bootstrap_conditions([(*task, False) for task in zip(x, y, strict=True)], rng())
    assert result.a12 == pytest.approx(1 / 3) and result.difference == pytest.approx(1.5 - 2)
    assert result.a12_low < result.a12 < result.a12_high and result.low < result.difference < result.high


@settings(max_examples=40)
@given(st.lists(st.tuples(SAMPLE, SAMPLE, st.booleans()), min_size=1, max_size=4))
def test_points_are_plain_means_over_conditions(conditions: list[tuple[list[int], list[int], bool]]) -> None:
    pairs = [(x[: len(y)], y[: len(x)], True) if paired else (x, y, False) for x, y, paired in conditions]
    result, again = (bootstrap_conditions(pairs, rng(), draws=50) for _ in range(2))
    assert result == again
    assert result.difference == pytest.approx(np.mean([mean_difference(x, y).mean for x, y, _ in pairs]))
    assert result.a12 == pytest.approx(np.mean([mann_whitney(x, y).a12 for x, y, _ in pairs]))
    assert result.low <= result.high and 0 <= result.a12_low <= result.a12_high <= 1
    mirrored = bootstrap_conditions([(y, x, paired) for x, y, paired in pairs], rng(), draws=50)
    assert (mirrored.difference, mirrored.a12) == pytest.approx((-result.difference, 1 - result.a12))
    if all(paired for *_, paired in pairs):  # both arms have the same draws, so the intervals mirror exactly
        assert (mirrored.low, mirrored.high) == pytest.approx((-result.high, -result.low))
        assert (mirrored.a12_low, mirrored.a12_high) == pytest.approx((1 - result.a12_high, 1 - result.a12_low))


@pytest.mark.parametrize("paired", [False, True])
def test_one_condition_against_scipys_bootstrap(paired: bool) -> None:
    chance = rng(1)
    shared = chance.normal(0, 1, 12)
    x, y = shared + chance.normal(0.5, 1, 12), shared + chance.normal(0, 1, 12)
    result = bootstrap_conditions([(x, y, paired)], rng(2), draws=20_000)
    for ends, statistic in (
        (result[1:3], lambda a, b, axis=-1: a.mean(axis) - b.mean(axis)),
        (
            result[4:],
            lambda a, b, axis=-1: (
                (a[..., :, None] > b[..., None, :]).mean((-2, -1)) + (a[..., :, None] == b[..., None, :]).mean((-2, -1)) / 2
            ),
        ),
    ):
        drawn = stats.bootstrap((x, y), statistic, paired=paired, method="percentile", n_resamples=8000, batch=1000, rng=rng(3))
        assert ends == pytest.approx(drawn.confidence_interval, abs=0.04)
    narrow = bootstrap_conditions([(x, y, paired)], rng(2), draws=20_000, level=0.5)
    assert (
        result.low < narrow.low < result.difference < narrow.high < result.high
        and result.a12_low < narrow.a12_low < narrow.a12_high < result.a12_high
    )


def test_draws_stay_within_their_condition() -> None:
    """The conditions are far apart. Draws over all of them would take their distance for noise."""
    chance = rng(4)
    pairs = [(chance.normal(100 * k, 1, 10), chance.normal(99 * k, 1, 12), False) for k in range(5)]
    variances = [np.var(x) / 10 + np.var(y) / 12 for x, y, _ in pairs]
    result = bootstrap_conditions(pairs, rng(5))
    assert result.high - result.low == pytest.approx(2 * 1.96 * np.sum(variances) ** 0.5 / 5, rel=0.08)
    assert result.high - result.low < 2 * 1.96 * (max(variances)) ** 0.5  # five conditions tell more than one


def test_pairs_are_drawn_together() -> None:
    chance = rng(6)
    hard = chance.normal(0, 5, (3, 10))  # both arms share an easy or a hard draw of the data
    x, y = hard + chance.normal(1, 0.5, (3, 10)), hard + chance.normal(0, 0.5, (3, 10))
    together = bootstrap_conditions([(*rows, True) for rows in zip(x, y, strict=True)], rng())
    apart = bootstrap_conditions([(*rows, False) for rows in zip(x, y, strict=True)], rng())
    assert (together.difference, together.a12) == (apart.difference, apart.a12)
    assert together.high - together.low < 0.25 * (apart.high - apart.low)
    assert together.a12_high - together.a12_low < 0.5 * (apart.a12_high - apart.a12_low)
    assert apart.low < 0 < together.low


def test_the_order_of_replicates_changes_no_more_than_the_draws() -> None:
    chance = rng(7)
    x, y = chance.normal(1, 1, 10), chance.normal(0, 1, 10)
    order = chance.permutation(10)
    for paired in (False, True):
        result, shuffled = bootstrap_conditions([(x, y, paired)], rng(8)), bootstrap_conditions([(x[order], y[order], paired)], rng(8))
        assert result == pytest.approx(shuffled, abs=0.1) and (result.difference, result.a12) == pytest.approx(
            (shuffled.difference, shuffled.a12)
        )


def test_other_draws_other_ends_same_points() -> None:
    pairs = [([1, 2, 3, 4], [1, 1, 3, 5], False)]
    generator = rng()
    first, second = bootstrap_conditions(pairs, generator, draws=30), bootstrap_conditions(pairs, generator, draws=30)
    assert first != second and (first.difference, first.a12) == (second.difference, second.a12)


def test_one_number_leaves_no_interval_and_no_condition_no_answer() -> None:
    several, single = ([1.0, 2.0, 4.0], [1.0, 2.0, 2.0], False), ([3.0], [1.0, 2.0], False)
    for pairs in ([single], [several, single], [single, several], [several, ([3.0], [1.0], True)]):
        result = bootstrap_conditions(pairs, rng(), draws=20)
        assert not math.isnan(result.difference) and not math.isnan(result.a12)
        assert all(map(math.isnan, (result.low, result.high, result.a12_low, result.a12_high)))
    with pytest.raises(ValueError, match="condition"):
        bootstrap_conditions([], rng())


def test_the_average_holds_its_level_nearly() -> None:
    """A percentile bootstrap of samples of ten over four conditions covers .93 at a nominal .95. The same holds for one condition."""
    chance = rng(9)
    results = []
    for _ in range(1000):
        x, y = chance.normal(1, 1, (4, 10)), chance.normal(0, 1, (4, 10))
        results.append(bootstrap_conditions([(*rows, False) for rows in zip(x, y, strict=True)], chance, draws=300))
    truth = stats.norm.cdf(1 / 2**0.5)
    assert 0.9 < np.mean([result.low <= 1 <= result.high for result in results]) < 0.98
    assert 0.9 < np.mean([result.a12_low <= truth <= result.a12_high for result in results]) < 0.98
    assert (
        np.mean([result.a12_high - result.a12_low for result in results])
        < 0.6 * (estimate_a12(x[0], y[0]).high - estimate_a12(x[0], y[0]).low) + 0.1
    )


@given(SAMPLE, SAMPLE)
def test_mean_of_two_is_half_of_welch(x: list[int], y: list[int]) -> None:
    """mean(x) - mean(y) is twice the mean of the two differences x - 0 and 0 - y, and its interval is Welch's."""
    halves = [mean_difference(x, np.zeros(len(x)), paired=True), mean_difference(np.zeros(len(y)), y, paired=True)]
    assert average_differences(halves[:1])[:3] == pytest.approx(halves[0][:3])
    if min(np.std(x), np.std(y)) > 1e-6:
        oracle = stats.ttest_ind(x, y, equal_var=False)
        result = average_differences(halves)
        assert (2 * result.mean, 2 * result.low, 2 * result.high) == pytest.approx((np.mean(x) - np.mean(y), *oracle.confidence_interval()))
        assert result.df == pytest.approx(oracle.df)


def test_mean_of_what_has_no_interval() -> None:
    lone = mean_difference([0.3], [0.1])
    assert average_differences([lone, lone])[0] == pytest.approx(0.2) and np.isnan(average_differences([lone, lone]).low)
    still = mean_difference([0.5, 0.5], [0.25, 0.25])
    assert average_differences([still])[:3] == (0.25, 0.25, 0.25)


def test_permutation_within_one_condition_is_the_known_test() -> None:
    draw = rng(5)
    x, y = draw.normal(0.6, 1, 9), draw.normal(0, 1, 9)
    for paired in (True, False):
        kind = {"permutation_type": "samples"} if paired else {"permutation_type": "independent"}
        data = (x - y,) if paired else (x, y)
        measure = np.mean if paired else lambda a, b, axis: np.mean(a, axis) - np.mean(b, axis)
        for alternative in ("greater", "less", "two-sided"):
            exact = stats.permutation_test(data, measure, vectorized=True, n_resamples=np.inf, alternative=alternative, **kind)  # type: ignore[call-overload]
            result = permute_within_conditions([(x, y, paired)], rng(1), alternative)  # type: ignore[arg-type]
            assert result.p == pytest.approx(exact.pvalue, abs=0.015) and result.statistic == pytest.approx(x.mean() - y.mean())


def test_permutation_stays_within_its_condition() -> None:
    """The conditions are far apart, the arms are close. Permutation over all conditions would detect nothing."""
    pairs = [([c + 0.02, c + 0.03, c + 0.025, c + 0.028], [c, c + 0.01, c + 0.005, c + 0.008], False) for c in (0.0, 5.0, 50.0)]
    result = permute_within_conditions(pairs, rng())
    assert result.p <= 2 * 5 / 10_001 and result.n == 24 and result.statistic == pytest.approx(0.02)
    assert result == permute_within_conditions(pairs, rng())
    assert permute_within_conditions([([1, 1], [1, 1], True)], rng()).p == 1
