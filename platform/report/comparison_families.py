"""Defines which comparisons a report makes. The families are fixed here, before any number is seen.

Two readings stand side by side: `published` tests as the paper does, `confirmatory` as a strict reviewer would.
"""

from dataclasses import replace
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np

from platform.report.comparisons import FEWEST, Comparison, compare_arms, make_pair_generator, mirror_comparison, settle_family
from platform.report.runs_table import Condition, Runs, Sample, match_samples
from platform.stats import significance as s
from platform.stats.float_ties import merge_ties, subtract_exactly
from search_spaces.claims import Claim


def rank_arms(runs: Runs, condition: Condition, metric: str | None = None) -> list[str]:
    """Return the arms with a score at a condition, best mean first. Ties, to nine digits, keep the grid's order."""
    samples = {arm: runs.get_sample(arm, condition, metric).to_array() for arm in runs.arms}
    means = {arm: float(np.mean(values)) for arm, values in samples.items() if len(values)}
    means = dict(zip(means, merge_ties(list(means.values())).tolist(), strict=True))
    return sorted(means, key=lambda arm: -runs.sign * means[arm])


def compare_as_published(runs: Runs) -> list[Comparison]:
    """Compare as the paper does: best against runner-up by mean test score at the largest value.

    The test is a one-sided Mann-Whitney test; nothing is adjusted.
    """
    rows = []
    for condition in runs.table_conditions:
        best = rank_arms(runs, condition)[:2]
        if len(best) == 2:
            unpaired = [Sample(runs.get_sample(arm, condition).values, dict.fromkeys(runs.replicates, "")) for arm in best]
            sides = zip(best, unpaired, strict=True)
            rows.append(compare_arms(runs, "published", condition, sides, "greater", runs.design.metric))
    return settle_family(rows, adjust=None, strict=False)


def compare_confirmatory(runs: Runs) -> list[Comparison]:
    """Compare the winner on validation with the study's baseline, or with the runner-up if the baseline is absent or wins.

    The tests are two-sided, with Holm's adjustment over the table's conditions.
    """
    rows = []
    for condition in runs.table_conditions:
        picked_by = runs.design.selector
        order = rank_arms(runs, condition, picked_by) if picked_by else []
        if len(order) < 2:
            picked_by, order = None, rank_arms(runs, condition)
        rivals = [runs.design.baseline] if runs.design.baseline in order else order[1:2]
        rivals = [arm for arm in rivals if arm != order[0]] or order[1:2]
        if rivals:
            sides = ((arm, runs.get_sample(arm, condition)) for arm in (order[0], rivals[0]))
            row = compare_arms(runs, "confirmatory", condition, sides, "two-sided", picked_by or f"{runs.design.metric} itself")
            if unranked := [arm for arm in rank_arms(runs, condition) if arm not in order]:
                row = replace(
                    row, note="; ".join(filter(None, [row.note, f"without {picked_by}, so not picked from: {', '.join(unranked)}"]))
                )
            rows.append(row)
    return settle_family(rows)


WAYS: tuple[s.Alternative, ...] = ("greater", "less")


class ClaimAnswer(NamedTuple):
    """A claim, its comparison over all its conditions together, and its comparison under each condition.

    `whole` is None if the grid lacks a value that the claim names, or has no replicates for it.
    """

    claim: Claim
    whole: Comparison | None
    parts: list[Comparison]

    @property
    def standing(self) -> str:
        """What the verdict means for the claim: supported, contradicted, open or not in this grid."""
        if self.whole is None:
            return "not in this grid"
        if self.whole.verdict == self.claim.expect:
            return "supported"
        return "contradicted" if self.whole.verdict in ("better", "worse", "equivalent") else "open"


def test_claims(runs: Runs) -> list[ClaimAnswer]:
    """Test each claim as a whole by permutation within its conditions, with Holm's adjustment over claims.

    The conditions of a claim are a family of their own.
    """
    answers = []
    for claim in runs.design.claims:
        places = [runs.resolve_place(place) for place in claim.places]
        compared: list[tuple[Condition, list[tuple[str, Sample]]]] = []
        if None not in places:
            fixed = {axis for place in places for axis in place or {}}
            free: dict[str, list[Any]] = {runs.design.compared: runs.arms, **runs.axes}
            free = {axis: values for axis, values in free.items() if axis not in fixed}
            for values in product(*free.values()):
                free_values = dict(zip(free, values, strict=True))
                sides = [
                    _build_claim_side(runs, claim, to, since, free_values)
                    for to, since in ((claim.a, claim.a_from), (claim.b, claim.b_from))
                ]
                if all(sample.values for _, sample in sides):
                    compared.append((free_values, sides))
        family = f"claim: {claim.text}"
        parts = settle_family(
            [compare_arms(runs, family, free_values, sides, "two-sided", "named beforehand") for free_values, sides in compared]
        )
        answers.append(ClaimAnswer(claim, _compare_whole_claim(runs, parts, [sides for _, sides in compared]) if compared else None, parts))
    settled = iter(settle_family([answer.whole for answer in answers if answer.whole]))
    return [answer._replace(whole=next(settled)) if answer.whole else answer for answer in answers]


def _compare_whole_claim(runs: Runs, parts: list[Comparison], sides: list[list[tuple[str, Sample]]]) -> Comparison:
    """Return a claim's comparisons as one. Permutation and resampling stay within a condition."""
    pairs = [match_samples(a, b) for (_, a), (_, b) in sides]
    oriented = [(runs.sign * x, runs.sign * y, paired) for x, y, paired in pairs]
    first, a, b = parts[0], [part.a for part in parts], [part.b for part in parts]
    difference = s.average_differences([s.mean_difference(*pair) for pair in pairs])
    across = s.bootstrap_conditions(oriented, make_pair_generator({}, first.family, "bootstrap"))
    test = s.permute_within_conditions(oriented, make_pair_generator({}, first.family, "permutation"))
    too_few = min(min(part.n_a, part.n_b) for part in parts) < FEWEST and len(parts) < FEWEST
    return replace(
        first,
        family="claims",
        condition={},
        a=a[0] if len(set(a)) == 1 else "a",
        b=b[0] if len(set(b)) == 1 else "b",
        n_a=sum(part.n_a for part in parts),
        n_b=sum(part.n_b for part in parts),
        paired=all(part.paired for part in parts),
        test=f"permutation within {len(parts)} condition{'s' if len(parts) > 1 else ''}, {test.method}",
        statistic=test.statistic,
        p=np.nan if too_few else test.p,
        a12=across.a12,
        a12_low=across.a12_low,
        a12_high=across.a12_high,
        diff=difference.mean,
        diff_low=difference.low,
        diff_high=difference.high,
        sd=difference.sd,
        note=first.family.partition(": ")[2],
        hodges_lehmann=np.nan,
        p_rank=np.nan,
        p_signed_rank=np.nan,
        p_equivalence=s.compute_equivalence_p(difference, runs.design.rope) if runs.design.rope else np.nan,
        correlation=np.nan,
        corrected_low=np.nan,
        corrected_high=np.nan,
    )


def find_reference_arm(runs: Runs) -> str | None:
    """Return the arm that all others are compared with: the study's baseline, if it has one.

    Otherwise it is the arm most often best by the metric that picks winners.
    """
    winners = [
        order[0]
        for condition in runs.table_conditions
        if (order := rank_arms(runs, condition, runs.design.selector) or rank_arms(runs, condition))
    ]
    return runs.design.baseline or (max(runs.arms, key=winners.count) if winners else None)


def compare_with_reference(runs: Runs, reference: str | None) -> list[Comparison]:
    """Compare every arm with the reference at every condition: two-sided, Holm within the condition."""
    rows = []
    for condition in runs.conditions:
        family = [
            compare_arms(
                runs,
                "against",
                condition,
                [(name, runs.get_sample(name, condition)) for name in (arm, reference)],
                "two-sided",
                "all shown",
            )
            for arm in runs.arms
            if reference
            and arm != reference
            and len(runs.get_sample(arm, condition).values)
            and len(runs.get_sample(reference, condition).values)
        ]
        rows += settle_family(family)
    return rows


def compare_all_pairs(runs: Runs) -> list[Comparison]:
    """Compare every ordered pair of arms at every condition, one-sided (a over b) and two-sided.

    The comparisons are exploratory: Benjamini-Hochberg within a condition.
    """
    rows = []
    for condition in runs.conditions:
        samples = {arm: runs.get_sample(arm, condition) for arm in runs.arms}
        arms = [arm for arm in runs.arms if samples[arm].values]
        two_sided, one_sided = [], []
        for a, b in combinations(arms, 2):
            sides = [(a, samples[a]), (b, samples[b])]
            greater, less = (
                compare_arms(runs, "pairwise", condition, sides, alternative, "all shown", companions=False) for alternative in WAYS
            )
            one_sided += [greater, mirror_comparison(less)]
            # Every test here defines its two-sided p as twice the smaller tail.
            two_sided.append(replace(greater, alternative="two-sided", p=min(1.0, 2 * min(greater.p, less.p))))
        two_sided = settle_family(two_sided, s.adjust_benjamini_hochberg, strict=False)
        rows += settle_family(one_sided, s.adjust_benjamini_hochberg, strict=False)
        rows += [direction for row in two_sided for direction in (row, mirror_comparison(row))]
    return rows


def _build_claim_side(runs: Runs, claim: Claim, to: Any, since: Any, free: dict[str, Any]) -> tuple[str, Sample]:
    """Return the name and sample of a claim's side: its scores or, per replicate, the gain since another place."""
    metric = runs.design.selector if claim.on == "validation" else None
    samples = []
    for place in filter(None, (to, since)):
        axes = {**free, **(runs.resolve_place(place) or {})}
        condition = {axis: axes[axis] for axis in runs.axes}
        samples.append(runs.get_sample(str(axes[runs.design.compared]), condition, metric))
    name = _name_place(runs, runs.resolve_place(to) or {})
    if since is None:
        return name, samples[0]
    now, before = samples
    shared = [rep for rep in now.values if rep in before.values]
    splits = {rep: now.splits[rep] if now.splits[rep] == before.splits[rep] else "" for rep in shared}
    fixed, start = runs.resolve_place(to) or {}, runs.resolve_place(since) or {}
    moved = {axis: f"{start[axis]} to {value}" if start.get(axis) != value else value for axis, value in fixed.items()}
    return f"gain at {_name_place(runs, moved)}", Sample(
        {rep: float(subtract_exactly(now.values[rep], before.values[rep])) for rep in shared}, splits
    )


def _name_place(runs: Runs, place: dict[str, Any]) -> str:
    """Return a place's name: the arm by its bare value, other axes with their names."""
    return ", ".join(str(value) if axis == runs.design.compared else f"{axis} {value}" for axis, value in place.items())
