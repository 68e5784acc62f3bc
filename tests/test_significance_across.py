"""Averages over conditions: what is averaged, what is resampled, and what the result tells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from platform.stats.significance import (
    average_differences,
    mean_difference,
)

SAMPLE = st.lists(st.integers(0, 6), min_size=2, max_size=6)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


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
