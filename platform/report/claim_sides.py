"""Collects the scores that a claim compares: its conditions, the samples of both sides, and the difference of each seed."""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from platform.report.pooled_samples import pool_samples
from platform.report.runs_table import Condition, Runs, Sample
from platform.stats.float_ties import subtract_exactly
from search_spaces.claims import FIRST, LAST, Claim, Place


class ClaimPlace(NamedTuple):
    """A condition of a claim, with the name and the sample of both sides there."""

    condition: Condition
    a: tuple[str, Sample]
    b: tuple[str, Sample]


def list_claim_conditions(runs: Runs, claim: Claim) -> list[Condition] | None:
    """Return every combination of the axes that the claim does not fix.

    None if the grid lacks a value that it names, or has one value of an axis whose ends it compares.
    """
    places = [runs.resolve_place(place) for place in claim.places]
    compares_ends = any(
        {FIRST, LAST} <= {place.get(axis) for place in claim.places} and len(values) < 2 for axis, values in runs.axes.items()
    )
    if None in places or compares_ends:
        return None
    fixed = {axis for place in places for axis in place or {}}
    free: dict[str, list[Any]] = {runs.design.compared: runs.arms, **runs.axes}
    free = {axis: values for axis, values in free.items() if axis not in fixed}
    return [dict(zip(free, values, strict=True)) for values in product(*free.values())]


def build_claim_places(runs: Runs, claim: Claim, conditions: Sequence[Condition]) -> list[ClaimPlace]:
    """Return both sides of a claim under each of its conditions."""
    return [
        ClaimPlace(
            condition,
            _build_claim_side(runs, claim, claim.a, claim.a_from, condition),
            _build_claim_side(runs, claim, claim.b, claim.b_from, condition),
        )
        for condition in conditions
    ]


def compute_seed_differences(runs: Runs, places: Sequence[ClaimPlace], seeds: Sequence[Any]) -> np.ndarray:
    """Return the differences [seeds] of a claim, above 0 where a does better: a - b, each the mean over the claim's conditions.

    A seed is a block, whether or not its two sides share a data split. It has no difference, NaN, if a score is missing or not finite.
    """
    a, b = pool_samples([place.a[1] for place in places]).values, pool_samples([place.b[1] for place in places]).values
    return np.array([runs.sign * float(subtract_exactly(a[seed], b[seed])) if seed in a and seed in b else np.nan for seed in seeds])


def list_claim_points(runs: Runs, claim: Claim, condition: Condition) -> list[tuple[str, Condition]]:
    """Return the arm and the full condition of each of the trainings of a seed that a claim needs under one of its conditions."""
    return [resolve_point(runs, place, condition) for place in claim.places]


def resolve_point(runs: Runs, place: Place, condition: Condition) -> tuple[str, Condition]:
    """Return the arm and the full condition of a claim's place under a condition of the axes that the claim does not fix."""
    axes = {**condition, **(runs.resolve_place(place) or {})}
    return str(axes[runs.design.compared]), {axis: axes[axis] for axis in runs.axes}


def name_claim_sides(places: Sequence[ClaimPlace]) -> tuple[str, str]:
    """Return the names of both sides; `a` and `b` where a side has several."""
    names = [{place.a[0] for place in places}, {place.b[0] for place in places}]
    a, b = (distinct.pop() if len(distinct) == 1 else letter for distinct, letter in zip(names, "ab", strict=True))
    return a, b


def _build_claim_side(runs: Runs, claim: Claim, to: Place, since: Place | None, free: Condition) -> tuple[str, Sample]:
    """Return the name and sample of a claim's side: its scores or, per replicate, the gain since another place."""
    metric = _find_metric(runs, claim)
    samples = [runs.get_sample(*resolve_point(runs, place, free), metric) for place in (to, since) if place]
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


def _find_metric(runs: Runs, claim: Claim) -> str | None:
    """Return the metric of a claim's images; None: the one that the study compares."""
    if claim.on == "validation":
        return runs.design.selector
    return None if claim.on == "test" else f"{claim.on}/{runs.design.metric.partition('/')[2]}"


def _name_place(runs: Runs, place: dict[str, Any]) -> str:
    """Return a place's name: the arm by its bare value, other axes with their names."""
    return ", ".join(str(value) if axis == runs.design.compared else f"{axis} {value}" for axis, value in place.items())
