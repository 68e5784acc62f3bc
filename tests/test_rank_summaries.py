"""Ranks, Friedman's test, Nemenyi's groups and the interquartile mean against scipy, other packages, brute force and printed results."""

import math
from itertools import combinations, pairwise, permutations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from platform.stats.interquartile_mean import BATCH, bootstrap_interquartile_mean, compute_interquartile_mean
from platform.stats.rank_summaries import (
    compute_friedman,
    find_critical_distance,
    find_range_quantile,
    group_close_ranks,
    permute_friedman,
    rank_within_blocks,
)

DEMSAR = """.763 .768 .771 .798; .599 .591 .590 .569; .954 .971 .968 .967; .628 .661 .654 .657; .882 .888 .886 .898; .936 .931 .916 .931;
.661 .668 .609 .685; .583 .583 .563 .625; .775 .838 .866 .875; 1 1 1 1; .940 .962 .965 .962; .619 .666 .614 .669; .972 .981 .97501 .975;
.957 .978 .946 .970"""
"""Table 6 of Demsar (2006): areas under the curve of C4.5, +m, +cf, +m+cf. One printed tie is none in the ranks that he prints."""
ROUNDING_TIMES = """5.40 5.50 5.55; 5.85 5.70 5.75; 5.20 5.60 5.50; 5.55 5.50 5.40; 5.90 5.85 5.70; 5.45 5.55 5.60; 5.40 5.40 5.35;
5.45 5.50 5.35; 5.25 5.15 5.00; 5.85 5.80 5.70; 5.25 5.20 5.10; 5.65 5.55 5.45; 5.60 5.35 5.45; 5.05 5.00 4.95; 5.50 5.50 5.40;
5.45 5.55 5.50; 5.55 5.55 5.35; 5.45 5.50 5.55; 5.50 5.45 5.25; 5.65 5.60 5.40; 5.70 5.65 5.55; 6.30 6.30 6.25"""
"""R's ?friedman.test: 22 players round first base in three ways (Hollander and Wolfe 1973, p. 140)"""
FEW_VALUES = st.tuples(st.integers(2, 6), st.integers(2, 6)).flatmap(lambda shape: arrays(float, shape, elements=st.integers(0, 4)))
MEAN_RANKS = st.lists(st.integers(2, 24), min_size=2, max_size=9).map(lambda halves: [half / 2 for half in halves])


def table(text: str) -> np.ndarray:
    return np.array([[float(number) for number in row.split()] for row in text.split(";")])


def test_demsars_example() -> None:
    ranks = rank_within_blocks(table(DEMSAR))
    means, (n, k) = ranks.mean(0), ranks.shape
    assert means.round(3).tolist() == [3.143, 2.000, 2.893, 1.964]
    uncorrected = 12 * n / (k * (k + 1)) * ((means**2).sum() - k * (k + 1) ** 2 / 4)
    assert round(uncorrected, 2) == 9.28 and round((n - 1) * uncorrected / (n * (k - 1) - uncorrected), 2) == 3.69  # as he computes
    found = compute_friedman(ranks)
    assert round(found.chi2, 3) == 10.228 and round(found.chi2_p, 5) == 0.01672  # corrected for ties
    assert round(find_critical_distance(k, n), 2) == 1.25 and round(find_critical_distance(k, n, 0.1), 2) == 1.12
    # at .10 he finds C4.5 worse than +m and +m+cf, and +cf told apart from neither side
    assert group_close_ranks(means, find_critical_distance(k, n)) == [[3, 1, 2, 0]]
    assert group_close_ranks(means, find_critical_distance(k, n, 0.1)) == [[3, 1, 2], [2, 0]]


def test_rounding_first_base() -> None:
    found = compute_friedman(rank_within_blocks(table(ROUNDING_TIMES)))
    assert round(found.chi2, 3) == 11.143 and round(found.chi2_p, 6) == 0.003805


@settings(max_examples=100)
@given(FEW_VALUES)
def test_ranks_against_scipy(scores: np.ndarray) -> None:
    ranks, (n, k) = rank_within_blocks(scores), scores.shape
    assert ranks.tolist() == stats.rankdata(-scores, axis=1).tolist()
    assert ranks.sum(1).tolist() == [k * (k + 1) / 2] * n
    found = compute_friedman(ranks)
    if k > 2 and np.ptp(ranks):
        oracle = stats.friedmanchisquare(*scores.T)
        assert (found.chi2, found.chi2_p) == pytest.approx((oracle.statistic, oracle.pvalue), abs=1e-9)
    for same in (rank_within_blocks(-scores), ranks[::-1, ::-1]):  # neither direction nor order matters
        assert compute_friedman(same) == pytest.approx(found, rel=1e-6)
    assert 0 <= found.f_p <= 1 and 0 < permute_friedman(ranks, np.random.default_rng(0), 100) <= 1


def test_scores_that_differ_in_the_last_digits_are_ties() -> None:
    block = [0.1 + 0.2, 0.3, 0.3 * (1 - 5e-10), 0.3 * (1 + 1e-8)]
    assert rank_within_blocks([block, np.multiply(block, 1e300), np.multiply(block, -1e-300)]).tolist() == [
        [3, 3, 3, 1],
        [3, 3, 3, 1],
        [2, 2, 2, 4],
    ]


@pytest.mark.parametrize(("n", "k", "seed"), [(4, 3, 0), (10, 4, 1), (6, 7, 2)])
def test_f_is_that_of_the_analysis_of_variance_of_ranks(n: int, k: int, seed: int) -> None:
    """The identity holds with ties too. It is the F that Demsar (2006) and Conover (1999) recommend."""
    scores = np.random.default_rng(seed).integers(0, 6, (n, k))
    ranks = rank_within_blocks(scores)
    long = pd.DataFrame(ranks).rename_axis("block").reset_index().melt("block", var_name="arm", value_name="rank")
    row = AnovaRM(long, "rank", "block", within=["arm"]).fit().anova_table.loc["arm"]
    found = compute_friedman(ranks)
    assert (found.f, found.f_p) == pytest.approx((row["F Value"], row["Pr > F"]))


def test_p_where_all_blocks_rank_alike_is_that_of_counting() -> None:
    """F is infinite there, and its p is not 0."""
    for block, rankings in (([1, 2, 3], 6), ([1.5, 1.5, 3], 3), ([1, 2, 3, 4, 5], 120)):
        found = compute_friedman([block] * 4)
        assert found.f == math.inf and found.f_p == pytest.approx(rankings**-3)
        assert found.chi2 == pytest.approx(4 * (len(block) - 1))


def test_equal_arms_differ_by_nothing() -> None:
    ranks = rank_within_blocks(np.full((5, 3), 0.1))
    assert compute_friedman(ranks) == (0, 1, 0, 1) and permute_friedman(ranks, np.random.default_rng(0), 10) == 1


@pytest.mark.parametrize("ranks", [[[1, 2, 3], [2, 1, 3], [1, 3, 2]], [[1.5, 1.5, 3], [1, 2, 3], [1, 3, 2], [2, 2, 2]]])
def test_permutations_against_all_of_them(ranks: list[list[float]]) -> None:
    def spread(blocks: list[tuple[float, ...]]) -> float:
        return float(np.var(np.sum(blocks, axis=0)))

    every = [spread(list(blocks)) for blocks in product(*(list(permutations(block)) for block in ranks))]
    exact = np.mean(np.array(every) >= spread(ranks) - 1e-9)
    draws = 40_000
    found = permute_friedman(ranks, np.random.default_rng(3), draws)
    assert abs(found - exact) < 4 * (exact * (1 - exact) / draws) ** 0.5 and found != permute_friedman(
        ranks, np.random.default_rng(4), draws
    )


def test_three_equal_arms_in_three_blocks_are_seldom_found_to_differ() -> None:
    """All 6^3 tables: the chi-squared distribution and permutations keep .05, F does not. The docstring says so."""
    every = [compute_friedman(blocks) for blocks in product(permutations([1, 2, 3]), repeat=3)]
    assert np.mean([found.chi2_p <= 0.05 for found in every]) <= 0.05
    assert round(np.mean([found.f_p <= 0.05 for found in every]), 2) == 0.19
    permuted = {found.chi2: np.mean([other.chi2 >= found.chi2 - 1e-9 for other in every]) for found in every}
    assert np.mean([permuted[found.chi2] <= 0.05 for found in every]) <= 0.05


@pytest.mark.parametrize("k", [2, 3, 7, 30, 500])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_range_quantiles_against_scipy(k: int, level: float) -> None:
    assert find_range_quantile(k, level) == pytest.approx(stats.studentized_range.ppf(level, k, np.inf), rel=1e-9)


def test_demsars_table_of_critical_values() -> None:
    for alpha, printed in (
        (0.05, [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]),
        (0.10, [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]),
    ):
        for k, q in enumerate(printed, 2):
            assert find_critical_distance(k, 10, alpha) == pytest.approx(q * (k * (k + 1) / 60) ** 0.5, abs=0.0015)


def test_ranks_against_autorank() -> None:
    """autorank installs a package called `tests`, which would replace this one. These are the results of its version 1.3.0."""
    scores = np.random.default_rng(1).normal(np.arange(4) / 2, 1, (20, 4)).round(3)
    ranks = rank_within_blocks(scores)
    assert ranks.mean(0).tolist() == [3.5, 2.75, 2.05, 1.7]
    assert compute_friedman(ranks).chi2_p == pytest.approx(4.3189322638417125e-05)
    assert find_critical_distance(4, 20) == pytest.approx(1.0487962, rel=1e-5)  # by its table of critical values
    assert find_critical_distance(4, 14) == pytest.approx(1.25355, rel=1e-5)


@pytest.mark.parametrize(("n", "k", "seed"), [(10, 5, 0), (20, 4, 1), (8, 9, 2)])
def test_groups_against_nemenyis_test(n: int, k: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(np.arange(k) / 2, 1, (n, k))
    p = posthoc_nemenyi_friedman(scores).to_numpy()
    groups = group_close_ranks(rank_within_blocks(scores).mean(0), find_critical_distance(k, n))
    for a, b in combinations(range(k), 2):
        assert any({a, b} <= set(group) for group in groups) == (p[a, b] > 0.05)
    assert (p < 0.05).any() and groups


@settings(max_examples=200)
@given(MEAN_RANKS, st.integers(0, 20))
def test_groups_against_all_subsets(means: list[float], halves: int) -> None:
    distance = halves / 2  # often exactly a difference of two ranks
    arms = range(len(means))
    close = [
        set(group)
        for size in range(2, len(means) + 1)
        for group in combinations(arms, size)
        if max(means[arm] for arm in group) - min(means[arm] for arm in group) <= distance
    ]
    maximal = [group for group in close if not any(group < other for other in close)]
    found = group_close_ranks(means, distance)
    assert sorted(map(sorted, found)) == sorted(map(sorted, maximal))
    assert all(means[a] <= means[b] for group in found for a, b in pairwise(group))
    assert [means[group[0]] for group in found] == sorted({means[group[0]] for group in found})


@given(arrays(float, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.floats(-1e6, 1e6)))
def test_interquartile_mean_against_scipy(scores: np.ndarray) -> None:
    expected = float(stats.trim_mean(scores, 0.25, axis=None))  # the definition of Agarwal et al., appendix A
    assert float(compute_interquartile_mean(scores.ravel())) == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert bootstrap_interquartile_mean(scores, np.random.default_rng(0), 10).mean == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_interquartile_means_of_rliable() -> None:
    """The tables of its own tests, and an interval that its version 1.2.0 gave with 100,000 draws: .5829 to .6303."""
    assert bootstrap_interquartile_mean([[1, 2], [2, 2], [1, 1], [2, 1]], np.random.default_rng(0)) == (1.5, 1, 2)
    assert bootstrap_interquartile_mean([[1, 1], [2, 2], [3, 3]], np.random.default_rng(0)).mean == 2
    scores = np.round(np.random.default_rng(7).normal(0.6, 0.1, (8, 5)) + np.arange(5) * 0.02, 3)
    for draws, slack in ((2000, 0.002), (50_000, 0.0005)):
        found = bootstrap_interquartile_mean(scores, np.random.default_rng(0), draws)
        assert found.mean == pytest.approx(0.60865) and found[1:] == pytest.approx((0.5829, 0.6303), abs=slack)


def test_interval_against_all_resamples_within_tasks() -> None:
    scores = np.array([[0.1, 1.9], [0.4, 1.8], [0.5, 1.2]])
    every = [stats.trim_mean([*a, *b], 0.25) for a in product(scores[:, 0], repeat=3) for b in product(scores[:, 1], repeat=3)]
    exact = np.percentile(every, [10, 90])
    assert bootstrap_interquartile_mean(scores, np.random.default_rng(0), 20_000, 0.8)[1:] == pytest.approx(tuple(exact), abs=0.01)
    pooled = [stats.trim_mean(np.random.default_rng(draw).choice(scores.ravel(), 6), 0.25) for draw in range(2000)]
    assert abs(np.percentile(pooled, 10) - exact[0]) > 0.03  # resampling over tasks would be another interval


def test_neither_order_nor_batches_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(5).normal(size=(6, 3))
    expected = bootstrap_interquartile_mean(scores, np.random.default_rng(0))
    assert bootstrap_interquartile_mean(scores[::-1], np.random.default_rng(0)) == expected
    assert scores.size * 2000 < BATCH
    monkeypatch.setattr("platform.stats.interquartile_mean.BATCH", 18 * 100)
    assert bootstrap_interquartile_mean(scores, np.random.default_rng(0)) == expected


def test_what_has_no_interval() -> None:
    one = bootstrap_interquartile_mean([[0.1, 0.4]], np.random.default_rng(0))
    assert one.mean == 0.25 and math.isnan(one.low) and math.isnan(one.high)
    for size in (1e308, 1e-308):
        assert bootstrap_interquartile_mean([[size], [size]], np.random.default_rng(0)) == (size, size, size)
    for bad in ([], [0.1, 0.2], [[0.1, math.nan]]):
        with pytest.raises(ValueError, match="runs by tasks"):
            bootstrap_interquartile_mean(bad, np.random.default_rng(0))
    for bad in ([], [1, 2], [[1], [1]], [[1, math.nan]]):
        with pytest.raises(ValueError, match="two or more arms"):
            rank_within_blocks(bad)
