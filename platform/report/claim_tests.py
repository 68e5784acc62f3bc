"""Tests a study's claims: each over all its conditions together, with seeds as blocks, and under each condition by itself."""

from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

from platform.report.comparisons import Comparison, compare_arms, compare_pooled, settle_family
from platform.report.pooled_samples import group_by_measure
from platform.report.runs_table import Condition, Runs, Sample, format_condition
from platform.stats.float_ties import subtract_exactly
from search_spaces.claims import Claim

NOT_IN_GRID, NO_SCORES = "not in this grid", "no comparable trainings"


class ClaimAnswer(NamedTuple):
    """A claim, its comparison over all its conditions together, and its comparison under each condition.

    `whole` is None if the grid lacks a value that the claim names (NOT_IN_GRID), or has no scores for it, or none of a shared seed where it
    names gains (NO_SCORES).
    """

    claim: Claim
    whole: Comparison | None
    parts: list[Comparison]
    absent: str = ""
    margin: float = 0.0
    """a difference up to which two arms count as equivalent"""

    @property
    def note(self) -> str:
        """What a reader must know of the comparison, without the claim's text."""
        return self.whole.note.removeprefix(self.claim.text).removeprefix("; ") if self.whole else ""

    @property
    def standing(self) -> str:
        """What the results mean for the claim: supported, contradicted, open, NOT_IN_GRID or NO_SCORES.

        A claim of equivalence is supported wherever that is shown, also of a difference that is not 0. It is contradicted only by a
        difference whose interval lies beyond the margin: one that is not 0 may still be too small to matter.
        """
        if self.whole is None:
            return self.absent
        differs = self.whole.verdict in ("better", "worse")
        if self.claim.expect == "equivalent":
            beyond = differs and min(abs(self.whole.diff_low), abs(self.whole.diff_high)) > self.margin
            return "supported" if self.whole.is_equivalent else "contradicted" if beyond else "open"
        if self.whole.verdict == "better":
            return "supported"
        return "contradicted" if differs or self.whole.verdict == "equivalent" else "open"


class _Place(NamedTuple):
    """A condition of a claim, with the samples of both sides there."""

    condition: Condition
    a: tuple[str, Sample]
    b: tuple[str, Sample]


def test_claims(runs: Runs) -> list[ClaimAnswer]:
    """Test each claim over all its conditions, adjusted by Holm's method over the claims, and under each of them (Holm within the claim).

    A claim whose conditions have several measures, such as accuracies and correlations, is one claim for each measure.
    """
    answers = []
    for claim in runs.design.claims:
        places = _list_places(runs, claim)
        if places is None:
            answers.append(ClaimAnswer(claim, None, [], NOT_IN_GRID))
            continue
        scored = {format_condition(place.condition): place for place in places if place.a[1].values and place.b[1].values}
        if not scored:
            answers.append(ClaimAnswer(claim, None, [], NO_SCORES))
        groups = group_by_measure(runs, [place.condition for place in scored.values()])
        for measure, conditions in groups.items() if scored else ():
            named = replace(claim, text=f"{claim.text} ({measure})") if len(groups) > 1 else claim
            answers.append(_test_claim(runs, named, [scored[format_condition(condition)] for condition in conditions]))
    settled = iter(settle_family([answer.whole for answer in answers if answer.whole]))
    return [answer._replace(whole=next(settled)) if answer.whole else answer for answer in answers]


def _test_claim(runs: Runs, claim: Claim, places: list[_Place]) -> ClaimAnswer:
    """Return a claim's answer with the raw p of the whole."""
    family, named = f"claim: {claim.text}", "named beforehand"
    parts = [compare_arms(runs, family, place.condition, (place.a, place.b), "two-sided", named) for place in places]
    names = [{side[0] for side in sides} for sides in ([place.a for place in places], [place.b for place in places])]
    a, b = (distinct.pop() if len(distinct) == 1 else letter for distinct, letter in zip(names, "ab", strict=True))
    sides = [(a, [place.a[1] for place in places]), (b, [place.b[1] for place in places])]
    whole = compare_pooled(runs, "claims", {}, sides, named)
    whole = replace(whole, note="; ".join(filter(None, (claim.text, whole.note))))
    return ClaimAnswer(claim, whole, settle_family(parts), margin=runs.design.rope or 0.0)


def _list_places(runs: Runs, claim: Claim) -> list[_Place] | None:
    """Return the claim's conditions: every combination of the axes that it does not fix. None if the grid lacks a value that it names."""
    places = [runs.resolve_place(place) for place in claim.places]
    if None in places:
        return None
    fixed = {axis for place in places for axis in place or {}}
    free: dict[str, list[Any]] = {runs.design.compared: runs.arms, **runs.axes}
    free = {axis: values for axis, values in free.items() if axis not in fixed}
    combinations = [dict(zip(free, values, strict=True)) for values in product(*free.values())]
    return [
        _Place(
            values,
            _build_claim_side(runs, claim, claim.a, claim.a_from, values),
            _build_claim_side(runs, claim, claim.b, claim.b_from, values),
        )
        for values in combinations
    ]


def _build_claim_side(runs: Runs, claim: Claim, to: Any, since: Any, free: dict[str, Any]) -> tuple[str, Sample]:
    """Return the name and sample of a claim's side: its scores or, per replicate, the gain since another place."""
    metric = runs.design.selector if claim.on == "validation" else None
    samples = []
    for place in filter(None, (to, since)):
        axes = {**free, **(runs.resolve_place(place) or {})}
        condition = {axis: axes[axis] for axis in runs.axes}
        samples.append(runs.get_sample(str(axes[runs.design.compared]), condition, metric))
    fixed, start = runs.resolve_place(to) or {}, runs.resolve_place(since or {}) or {}
    if since is None:
        return _name_place(runs, fixed), samples[0]
    now, before = samples
    shared = [rep for rep in now.values if rep in before.values]
    splits = {rep: now.splits[rep] if now.splits[rep] == before.splits[rep] else "" for rep in shared}
    moved = {axis: f"{start[axis]} to {value}" if start.get(axis) != value else value for axis, value in fixed.items()}
    return f"gain at {_name_place(runs, moved)}", Sample(
        {rep: float(subtract_exactly(now.values[rep], before.values[rep])) for rep in shared}, splits
    )


def _name_place(runs: Runs, place: dict[str, Any]) -> str:
    """Return a place's name: the arm by its bare value, other axes with their names."""
    return ", ".join(str(value) if axis == runs.design.compared else f"{axis} {value}" for axis, value in place.items())
