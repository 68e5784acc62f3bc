"""Tests a study's claims: each over all its conditions together, with seeds as blocks, and under each condition by itself.

Where seeds were added until the claims were decided, the sequential test takes the place of the test over all conditions.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, isnan, nan
from typing import Any, NamedTuple

import numpy as np

from platform.report.claim_sides import (
    ClaimPlace,
    build_claim_places,
    compute_seed_differences,
    list_claim_conditions,
    name_claim_sides,
    resolve_point,
)
from platform.report.comparisons import ALPHA, Comparison, compare_arms, compare_pooled, settle_family
from platform.report.pooled_samples import group_by_measure
from platform.report.runs_table import Runs, Sample
from platform.report.sequential_claims import follow_claims
from platform.report.sequential_plan import PlannedClaim, SequentialPlan
from platform.report.tuning import UNEQUAL, count_tuned
from platform.stats.float_ties import measure_spread
from platform.stats.sequential_tests import ClaimAtLook
from platform.stats.significance import adjust_holm
from search_spaces.claims import Claim

NOT_IN_GRID, NO_SCORES, NOT_TESTED = "not in this grid", "no comparable trainings", "not tested"
SEQUENTIAL = "sequential sign flips"
"""name of the test"""


class ClaimAnswer(NamedTuple):
    """A claim, its comparison over all its conditions together, and its comparison under each condition.

    `whole` is None if the grid lacks a value that the claim names (NOT_IN_GRID), or has no scores for it, or none of a shared seed where it
    names gains (NO_SCORES), or if it claims a range and seeds were added until the claims were decided (NOT_TESTED).
    """

    claim: Claim
    whole: Comparison | None
    parts: list[Comparison]
    absent: str = ""
    p_beyond: float = nan
    """of a claim of equivalence: p that the difference lies beyond the margin, adjusted by Holm's method over such claims"""
    looks: tuple[ClaimAtLook, ...] | None = None
    """what each look found until the claim was decided, if seeds were added until then. `whole` holds the last look's test, estimate and
    interval."""
    flagged: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    """of sides a and b: the trainings with warnings, and all"""
    tuned: tuple[set[bool], set[bool]] = (set(), set())
    """of sides a and b: whether their trainings' settings were found by a search"""
    left_out: tuple[int, int] = (0, 0)
    """the conditions in which a side has no score, and all of the claim's"""
    ranges: int = 1
    """the number of claims that a difference lies in a range: their intervals hold together"""

    @property
    def note(self) -> str:
        """What a reader must know of the comparison, without the claim's text."""
        return self.whole.note.removeprefix(self.claim.text).removeprefix("; ") if self.whole else ""

    @property
    def is_given_up(self) -> bool:
        """Whether a look has found that more seeds would probably not decide the claim."""
        return self.looks is not None and any(look.decision == "futile" for look in self.looks)

    @property
    def remarks(self) -> list[str]:
        """Phrases that qualify the result: the interval that answers a claimed range, conditions left out, warnings, unequal tuning, and
        conditions in which the difference has the other sign.
        """
        if self.whole is None:
            return []
        together = f", which holds for the {self.ranges} claimed ranges together" if self.ranges > 1 else ""
        interval = [f"by its {100 * (1 - ALPHA / self.ranges):.4g} % interval{together}"] if self.claim.between else []
        lacking, every = self.left_out
        incomplete = [f"{lacking} of its {every} conditions left out, without comparable trainings"] if lacking else []
        other = sum(part.diff * self.whole.diff < 0 for part in self.parts)
        reversed_at = [f"the difference has the other sign in {other} of {len(self.parts)} conditions"] if other else []
        counts = ", ".join(f"{name} {flagged} of {done}" for name, (flagged, done) in zip("ab", self.flagged, strict=True) if flagged)
        is_unequal = self.tuned[0] != self.tuned[1] and UNEQUAL not in self.whole.note
        unequal = [f"{UNEQUAL}: only one side's settings were searched"] if is_unequal else []
        return [*interval, *incomplete, *([f"trainings with warnings: {counts}"] if counts else []), *unequal, *reversed_at]

    @property
    def standing(self) -> str:
        """What the results mean for the claim: supported, contradicted, open, NOT_IN_GRID or NO_SCORES.

        A claim that the difference lies in a range is supported by an interval inside it, and contradicted by one outside it.
        A claim of equivalence is supported wherever that is shown, also of a difference that is not 0. It is contradicted only by a
        difference that is shown to lie beyond the margin: one that is not 0 may still be too small to matter.
        """
        if self.whole is None:
            return self.absent
        if self.claim.between:
            (low, high), (least, most) = self.claim.between, (self.whole.diff_low, self.whole.diff_high)
            return "supported" if low <= least and most <= high else "contradicted" if most < low or least > high else "open"
        differs = self.whole.verdict in ("better", "worse")
        if self.claim.expect == "equivalent":
            if self.whole.is_equivalent:
                return "supported"
            # a look calls a claim of equivalence better or worse only where the difference lies beyond the margin
            beyond = self.looks is not None or self.p_beyond <= ALPHA
            return "contradicted" if differs and beyond else "open"
        if self.whole.verdict == "better":
            return "supported"
        return "contradicted" if differs or self.whole.verdict == "equivalent" else "open"

    @property
    def reason(self) -> str:
        """Why a claim is still open, if seeds were added until it was decided; else empty."""
        if self.standing != "open" or self.looks is None:
            return ""
        if not self.looks:
            return "no look yet"
        return "given up as futile" if self.is_given_up else "undecided"


def test_claims(runs: Runs) -> list[ClaimAnswer]:
    """Test each claim over all its conditions, adjusted by Holm's method over the claims, and under each of them (Holm within the claim).

    A claim whose conditions have several measures, such as accuracies and correlations, is one claim for each measure. If seeds were
    added until the claims were decided, the planned claims are answered by their looks.
    """
    if runs.plan:
        return _answer_planned_claims(runs, runs.plan)
    found = [entry for claim in runs.design.claims for entry in _find_scored_places(runs, claim)]
    ranges = sum(bool(claim.between and places) for claim, places, _ in found)
    answers = []
    for claim, places, every in found:
        if places:
            answers.append(_test_claim(runs, claim, places, ranges)._replace(left_out=(every - len(places), every)))
        else:
            answers.append(ClaimAnswer(claim, None, [], NO_SCORES if every else NOT_IN_GRID))
    settled = iter(settle_family([answer.whole for answer in answers if answer.whole]))
    beyond = adjust_holm([_compute_beyond_p(answer) for answer in answers]).tolist()
    return [answer._replace(whole=next(settled), p_beyond=p) if answer.whole else answer for answer, p in zip(answers, beyond, strict=True)]


def _compute_beyond_p(answer: ClaimAnswer) -> float:
    """Return p of the t tests that a difference which is claimed to be none lies above or below the margin; NaN for other claims.

    That of one side is the posterior probability of the opposite, because the prior is flat.
    """
    row = answer.whole
    if row is None or answer.claim.expect != "equivalent" or isnan(row.p) or isnan(row.probably_better):
        return nan
    return min(1.0, 2 * (1 - max(row.probably_worse, row.probably_better)))


def _find_scored_places(runs: Runs, claim: Claim) -> list[tuple[Claim, list[ClaimPlace], int]]:
    """Return a claim, once for each measure of its conditions, with the conditions in which both sides have scores, and the number of all
    its conditions: 0 if the grid lacks a value that it names.
    """
    conditions = list_claim_conditions(runs, claim)
    if conditions is None:
        return [(claim, [], 0)]
    groups, entries = group_by_measure(runs, conditions), []
    for measure, members in groups.items():
        named = replace(claim, text=f"{claim.text} ({measure})") if len(groups) > 1 else claim
        places = build_claim_places(runs, named, members)
        entries.append((named, [place for place in places if place.a[1].values and place.b[1].values], len(places)))
    return entries


def _test_claim(runs: Runs, claim: Claim, places: Sequence[ClaimPlace], ranges: int = 1) -> ClaimAnswer:
    """Return a claim's answer with the raw p of the whole. `ranges` is the number of claimed ranges, whose intervals hold together."""
    family, named = f"claim: {claim.text}", "named beforehand"
    parts = [compare_arms(runs, family, place.condition, (place.a, place.b), "two-sided", named) for place in places]
    a, b = name_claim_sides(places)
    sides = [(a, [place.a[1] for place in places]), (b, [place.b[1] for place in places])]
    level = 1 - ALPHA / (ranges if claim.between else 1)
    whole = compare_pooled(runs, "ranges" if claim.between else "claims", {}, sides, named, level)
    if claim.between:  # held against its range by its interval alone, so it is no test of the family
        unknown: dict[str, Any] = dict.fromkeys(("p", "p_flip", "p_rank", "p_equivalence"), nan)
        whole, parts = replace(whole, **unknown), []
    whole = replace(whole, note="; ".join(filter(None, (claim.text, whole.note))))
    side_rows = [_list_rows(runs, ends, places) for ends in ((claim.a, claim.a_from), (claim.b, claim.b_from))]
    flagged, (a_tuned, b_tuned) = tuple(_count_flagged(runs, rows) for rows in side_rows), (count_tuned(runs, rows) for rows in side_rows)
    return ClaimAnswer(claim, whole, settle_family(parts), flagged=flagged, tuned=(a_tuned, b_tuned), ranges=ranges)


def _list_rows(runs: Runs, ends: tuple[Any, Any], places: Sequence[ClaimPlace]) -> list[int]:
    """Return the rows of the trainings of a claim's side."""
    points = (resolve_point(runs, end, place.condition) for end in ends if end for place in places)
    return sorted({row for point in points for row in runs.find_done_rows(*point)})


def _count_flagged(runs: Runs, rows: list[int]) -> tuple[int, int]:
    """Return how many of these trainings have warnings, and how many trainings there are."""
    if "flags" not in runs.table:
        return 0, 0
    flags = runs.table["flags"].iloc[rows]
    return int((flags.fillna("").astype(str) != "").sum()), len(rows)


def _answer_planned_claims(runs: Runs, plan: SequentialPlan) -> list[ClaimAnswer]:
    """Return the planned claims with their looks, then those of the study's claims that the grid cannot test."""
    history = follow_claims(runs, plan)
    answers = []
    for number, planned in enumerate(plan.claims):
        looks = tuple(dict.fromkeys(states[number] for states in history))  # a decided claim keeps its last state
        answers.append(_answer_planned_claim(runs, plan, planned, looks))
    absent = [claim for claim in runs.design.claims if list_claim_conditions(runs, claim) is None]
    ranges = [claim for claim in runs.design.claims if claim.between and claim not in absent]
    answers += [ClaimAnswer(claim, None, [], NOT_TESTED) for claim in ranges]
    return [*answers, *(ClaimAnswer(claim, None, [], NOT_IN_GRID) for claim in absent)]


def _answer_planned_claim(runs: Runs, plan: SequentialPlan, planned: PlannedClaim, looks: tuple[ClaimAtLook, ...]) -> ClaimAnswer:
    """Return a claim with the test of its last look. Later seeds, which were trained for other claims, are left out."""
    seeds = looks[-1].look if looks else 0
    places = [_keep_seeds(place, seeds) for place in build_claim_places(runs, planned.claim, planned.conditions)]
    answer = _test_claim(runs, planned.claim, places)
    assert answer.whole
    unknown = ("diff_low", "diff_high", "sd", "mde", "statistic")
    fields: dict[str, Any] = dict.fromkeys(unknown, nan) | {"test": SEQUENTIAL, "verdict": "not tested", "m": len(plan.claims)}
    if looks:
        last, d = looks[-1], compute_seed_differences(runs, places, range(seeds))
        spread = measure_spread(d[~np.isnan(d)]) if last.n else nan
        estimate = {"diff": runs.sign * last.mean, "n_a": last.n, "n_b": last.n, "paired": True, "sd": spread}
        ends = (last.low, last.high) if runs.sign > 0 else (-last.high, -last.low)
        ends = ends if isfinite(last.low) else (nan, nan)
        decided = last.decision in ("better", "worse", "equivalent")
        fields |= estimate | {"diff_low": ends[0], "diff_high": ends[1], "statistic": last.statistic, "p_adj": last.p}
        fields |= {"p_equivalence_adj": last.p_equivalence if spread > 0 else nan, "verdict": last.decision if decided else "inconclusive"}
    note = "; ".join(filter(None, (planned.claim.text, f"over {len(places)} conditions" if len(places) > 1 else "")))
    whole = replace(answer.whole, **fields | {"note": note})
    return answer._replace(whole=whole, looks=looks)


def _keep_seeds(place: ClaimPlace, seeds: int) -> ClaimPlace:
    """Return a place without the scores of later seeds."""

    def keep(sample: Sample) -> Sample:
        kept = {seed: value for seed, value in sample.values.items() if seed < seeds}
        return Sample(kept, {seed: sample.splits[seed] for seed in kept})

    return place._replace(a=(place.a[0], keep(place.a[1])), b=(place.b[0], keep(place.b[1])))
