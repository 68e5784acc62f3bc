"""Ranks and interquartile means over all conditions, by the definitions that readers know. They describe; the claims are tested apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from platform.report.comparisons import ALPHA
from platform.report.pooled_samples import group_by_measure
from platform.report.runs_table import Runs
from platform.stats.float_ties import ROUNDING
from platform.stats.interquartile_mean import InterquartileMean, bootstrap_interquartile_mean
from platform.stats.rank_summaries import (
    Omnibus,
    compute_friedman,
    find_critical_distance,
    group_close_ranks,
    permute_friedman,
    rank_within_blocks,
)

FEWEST = 3
"""the fewest arms and the fewest blocks for which ranks are shown"""


@dataclass(frozen=True)
class ArmRank:
    """An arm's mean rank over the blocks, 1 if it is the best in each, and the interquartile mean of its trainings."""

    arm: str
    mean_rank: float
    iqm: InterquartileMean
    """in the metric's own unit"""


@dataclass(frozen=True)
class RankOverview:
    """The ranks of all arms that have a score in every condition. Blocks are replicates, each averaged over the conditions.

    Conditions share images and replicates. They are no independent data sets, and no blocks.
    """

    rows: list[ArmRank]
    """by rising mean rank"""
    n: int
    """blocks: replicates in which every such arm has a score in every condition"""
    conditions: int
    left_out_arms: list[str]
    left_out_replicates: list[Any]
    omnibus: Omnibus
    permutation_p: float
    """of Friedman's test by permutations within the blocks, which hold for few blocks too"""
    critical_distance: float
    """of two mean ranks, at the level ALPHA (Nemenyi)"""
    groups: list[list[str]]
    """arms that are no further apart than the critical distance; no group is inside another"""


def compute_rank_overview(runs: Runs) -> RankOverview | None:
    """Return ranks and interquartile means, of the same trainings for every arm.

    None for fewer than FEWEST arms or blocks, and where conditions have different measures, which no mean may mix.
    """
    if len(group_by_measure(runs, runs.conditions)) > 1:
        return None
    samples = {arm: [runs.get_sample(arm, condition).values for condition in runs.conditions] for arm in runs.arms}
    arms = [arm for arm in runs.arms if all(samples[arm])]
    blocks = [rep for rep in runs.replicates if all(rep in values for arm in arms for values in samples[arm])]
    if min(len(arms), len(blocks)) < FEWEST:
        return None
    scores = np.array([[[values[rep] for values in samples[arm]] for arm in arms] for rep in blocks])  # [blocks, arms, conditions]
    shares = runs.sign * scores / len(runs.conditions)  # divided before they are summed, so that no sum overflows
    means = shares.sum(2)
    means[np.abs(means) <= ROUNDING * np.abs(shares).sum(2)] = 0.0  # 0.3 and -0.3 average to 0, not to the rounding error of their sum
    ranks = rank_within_blocks(means)
    mean_ranks, distance = ranks.mean(0), find_critical_distance(len(arms), len(blocks), ALPHA)
    rows = [  # the same draws for every arm: equal arms have equal intervals
        ArmRank(arms[k], float(mean_ranks[k]), bootstrap_interquartile_mean(scores[:, k], np.random.default_rng(0)))
        for k in np.argsort(mean_ranks, kind="stable")
    ]
    return RankOverview(
        rows=rows,
        n=len(blocks),
        conditions=len(runs.conditions),
        left_out_arms=[arm for arm in runs.arms if arm not in arms],
        left_out_replicates=[rep for rep in runs.replicates if rep not in blocks],
        omnibus=compute_friedman(ranks),
        permutation_p=permute_friedman(ranks, np.random.default_rng(0)),
        critical_distance=distance,
        groups=[[arms[k] for k in group] for group in group_close_ranks(mean_ranks, distance)],
    )
