"""Defines which comparisons a report makes of arms. The families are fixed here, before any number is seen.

The winner over all conditions comes first. Two readings of single conditions stand beside it: `published` tests as the paper does,
`confirmatory` as a strict reviewer would. If the scores select a comparison, its family counts all comparisons that they could have
selected.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from platform.report.comparisons import (
    Comparison,
    compare_arms,
    compare_pooled,
    compare_ranks,
    judge_comparison,
    settle_exploratory,
    settle_family,
)
from platform.report.pooled_samples import group_by_measure, pool_samples
from platform.report.runs_table import Condition, Runs
from platform.stats.float_ties import merge_ties
from platform.stats.power import FEWEST

PAIRS = 50
"""number of arms up to which all pairs are compared; of more arms, the best under each condition is compared with the others"""


def rank_arms(runs: Runs, condition: Condition, metric: str | None = None) -> list[str]:
    """Return the arms with a score at a condition, best mean first. Ties, to nine digits, keep the grid's order."""
    return rank_arms_over(runs, [condition], metric)


def rank_arms_over(runs: Runs, conditions: Sequence[Condition], metric: str | None = None) -> list[str]:
    """Return the arms with a score at every one of the conditions, best mean over the conditions first."""
    means = {}
    for arm in runs.arms:
        samples = [runs.get_sample(arm, condition, metric).to_array() for condition in conditions]
        if samples and all(len(sample) for sample in samples):
            means[arm] = sum(float(np.mean(sample)) / len(samples) for sample in samples)
    return _sort_by_mean(runs, means)


def _sort_by_mean(runs: Runs, means: dict[str, float]) -> list[str]:
    """Return arms by their means, best first. Means that agree to nine digits keep their order."""
    merged = dict(zip(means, merge_ties(list(means.values())).tolist(), strict=True))
    return sorted(merged, key=lambda arm: -runs.sign * merged[arm])


def list_absent_arms(runs: Runs) -> list[str]:
    """Return the arms that lack a score at some condition, so that no mean over all conditions compares them."""
    return [arm for arm in runs.arms if not all(runs.get_sample(arm, condition).values for condition in runs.conditions)]


def compare_winner(runs: Runs) -> list[Comparison]:
    """Compare the winner over all conditions with the study's baseline, or with the runner-up if the baseline is absent or wins.

    The unit is a seed's mean over all conditions. A study with several measures has one winner for each of them.
    """
    groups, rows, choices = group_by_measure(runs, runs.conditions), [], 0
    for measure, conditions in groups.items():
        label: Condition = {"measure": measure} if len(groups) > 1 else {}
        if pick := _pick_sides(runs, conditions):
            sides = [(arm, [runs.get_sample(arm, condition) for condition in conditions]) for arm in pick[:2]]
            row = compare_pooled(runs, "winner", label, sides, pick.picked_by)
            rows.append(replace(row, note="; ".join(filter(None, [row.note, pick.note]))))
            choices += pick.choices
    return _settle_winners(runs, rows, choices)


def compare_overall(runs: Runs, reference: str | None) -> list[Comparison]:
    """Compare every arm with the reference over all conditions, with a seed's mean as the unit: two-sided, Holm over all of them."""
    groups, rows, pairs = group_by_measure(runs, runs.conditions), [], 0
    for measure, conditions in groups.items() if reference else ():
        label: Condition = {"measure": measure} if len(groups) > 1 else {}
        arms = rank_arms_over(runs, conditions)
        pairs += _count_pairs(len(arms))
        for arm in (arm for arm in runs.arms if arm in arms and reference in arms and arm != reference):
            sides = [(name, [runs.get_sample(name, condition) for condition in conditions]) for name in (arm, str(reference))]
            rows.append(compare_pooled(runs, "overall", label, sides, "all shown"))
    return settle_family(rows, 0 if runs.design.baseline else pairs)


def compare_as_published(runs: Runs) -> list[Comparison]:
    """Compare as the paper does: best against runner-up by mean test score at the largest value.

    The test is a one-sided Mann-Whitney test; nothing is adjusted.
    """
    rows = []
    for condition in runs.table_conditions:
        best = rank_arms(runs, condition)[:2]
        if len(best) == 2:
            sides = [(arm, runs.get_sample(arm, condition)) for arm in best]
            row = compare_ranks(runs, "published", condition, sides, runs.design.metric)
            rows.append(judge_comparison(row, np.nan, np.nan, 1, 0.05))
    return rows


def compare_confirmatory(runs: Runs) -> list[Comparison]:
    """Compare, at each of the table's conditions, its winner with the baseline, or with the runner-up if the baseline is absent or wins.

    The tests are two-sided, with Holm's adjustment over the table's conditions and, against a baseline, over the arms that could win.
    """
    rows, choices = [], 0
    for condition in runs.table_conditions:
        if pick := _pick_sides(runs, [condition]):
            sides = ((arm, runs.get_sample(arm, condition)) for arm in pick[:2])
            row = compare_arms(runs, "confirmatory", condition, sides, "two-sided", pick.picked_by)
            rows.append(replace(row, note="; ".join(filter(None, [row.note, pick.note]))))
            choices += pick.choices
    return _settle_winners(runs, rows, choices)


class _Pick(NamedTuple):
    """The winner, its rival, the metric that selected them, a note on the selection, and the number of arms that the scores could have
    selected beside the winner.
    """

    winner: str
    rival: str
    picked_by: str
    note: str
    choices: int


def _pick_sides(runs: Runs, conditions: Sequence[Condition]) -> _Pick | None:
    """Return the winner and its rival: the baseline, or the runner-up if the baseline is absent or wins. None with fewer than two arms.

    Validation picks. Without it the tested scores do, and the note calls the comparison exploratory.
    """
    picked_by: str | None = runs.design.selector
    order, scored = (_rank_on_shared_seeds(runs, conditions, picked_by) if picked_by else []), _rank_on_shared_seeds(runs, conditions)
    order, notes = [arm for arm in order if arm in scored], []
    if len(order) < 2:
        picked_by, order = None, scored
    elif unranked := [arm for arm in scored if arm not in order]:
        notes.append(f"without {picked_by}, so not picked from: {', '.join(unranked)}")
    if len(order) < 2:
        return None
    if absent := [arm for arm in runs.arms if arm not in scored and len(conditions) > 1]:
        notes.append(f"without a score at every condition, so left out: {', '.join(absent)}")
    rivals = [arm for arm in (runs.design.baseline,) if arm is not None and arm in order[1:]]
    if not picked_by:
        notes.append(f"picked by the tested scores: the difference is biased{'' if rivals else ', the comparison is exploratory'}")
    rival = rivals[0] if rivals else order[1]
    return _Pick(order[0], rival, picked_by or f"{runs.design.metric} itself", "; ".join(notes), len(order) - 1)


def _rank_on_shared_seeds(runs: Runs, conditions: Sequence[Condition], metric: str | None = None) -> list[str]:
    """Return the arms with a score at every condition, best mean first, on the seeds that all of them have, if those are enough.

    An arm whose trainings failed on the hard seeds would otherwise look better than it is.
    """
    arms = rank_arms_over(runs, conditions, metric)
    pooled = {arm: pool_samples([runs.get_sample(arm, condition, metric) for condition in conditions]).values for arm in arms}
    shared = [seed for seed in runs.replicates if all(seed in values for values in pooled.values())]
    if len(shared) < FEWEST or all(len(values) == len(shared) for values in pooled.values()):
        return arms
    return _sort_by_mean(runs, {arm: float(np.mean([pooled[arm][seed] for seed in shared])) for arm in arms})


def _settle_winners(runs: Runs, rows: list[Comparison], choices: int) -> list[Comparison]:
    """Settle the winners' comparisons. Their family has all `choices` that the scores could have selected, where that matters.

    The winner against a baseline is one of all arms against it, and its lead is partly the reason why it was picked, because validation
    and test scores come from the same trainings. That the winner is better than the runner-up needs no such adjustment: a two-sided test
    that the picked arm is truly better keeps its level (Hung & Fithian 2019). That they are equivalent does need it: the runner-up is the
    luckiest of all others, so the gap to it is too small.
    """
    return settle_family(rows, choices if runs.design.baseline else 0, choices)


def _count_pairs(arms: int) -> int:
    """Return the number of pairs of so many arms. It is the size of a family whose reference the scores have selected among them."""
    return arms * (arms - 1) // 2


def find_reference_arm(runs: Runs) -> str | None:
    """Return the arm that all others are compared with: the study's baseline, or else the winner over all conditions.

    In a study with several measures it is the winner by the first. Without an arm that has a score at every condition, it is the arm most
    often best by the metric that picks winners.
    """
    if runs.design.baseline:
        return runs.design.baseline
    conditions = next(iter(group_by_measure(runs, runs.conditions).values()), [])
    if pick := _pick_sides(runs, conditions):
        return pick.winner
    orders = [rank_arms(runs, condition, runs.design.selector) or rank_arms(runs, condition) for condition in runs.conditions]
    winners = [order[0] for order in orders if order]
    return max(runs.arms, key=winners.count) if winners else None


def compare_with_reference(runs: Runs, reference: str | None) -> list[Comparison]:
    """Compare every arm with the reference at every condition: two-sided, Holm within the condition.

    A reference that is no baseline was picked by the scores; the family then has all pairs of arms.
    """
    rows = []
    for condition in runs.conditions:
        samples = {arm: runs.get_sample(arm, condition) for arm in runs.arms}
        arms = [arm for arm in runs.arms if samples[arm].values]
        family = [
            compare_arms(runs, "against", condition, [(arm, samples[arm]), (reference, samples[reference])], "two-sided", "all shown")
            for arm in arms
            if reference in arms and arm != reference
        ]
        rows += settle_family(family, 0 if runs.design.baseline else _count_pairs(len(arms)))
    return rows


def compare_all_pairs(runs: Runs) -> list[Comparison]:
    """Compare every pair of arms at every condition, two-sided. Of more than PAIRS arms, only the best is compared with the others.

    The comparisons are exploratory: Benjamini-Hochberg within a condition.
    """
    rows = []
    for condition in runs.conditions:
        arms = rank_arms(runs, condition)
        pairs = combinations(arms, 2) if len(runs.arms) <= PAIRS else ((arms[0], arm) for arm in arms[1:])
        samples = {arm: runs.get_sample(arm, condition) for arm in arms}
        family = [
            compare_arms(runs, "pairwise", condition, [(a, samples[a]), (b, samples[b])], "two-sided", "all shown", companions=False)
            for a, b in pairs
        ]
        rows += settle_exploratory(family)
    return rows
