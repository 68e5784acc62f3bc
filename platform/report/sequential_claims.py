"""Plans and follows the claims of a grid that adds seeds in blocks: the tests, the results of the looks, the seeds of the next look.

The results depend on the plan and on the ended trainings alone, so a resumed grid and its report make the same decisions.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from platform.report.claim_sides import build_claim_places, compute_seed_differences, list_claim_conditions, list_claim_points
from platform.report.pooled_samples import group_by_measure
from platform.report.read_run_folder import make_design
from platform.report.runs_table import Condition, Runs
from platform.report.sequential_plan import PlannedClaim, SequentialPlan
from platform.stats.sequential_design import SequentialDesign, plan_looks
from platform.stats.sequential_tests import ClaimAtLook, run_looks
from search_spaces.claims import Claim
from search_spaces.study import Study
from trainables.cell import Cell
from trainables.registry import BadRequest

Looks = list[list[ClaimAtLook]]
"""for each look so far, the state of every claim"""


def make_plan(study: Study, cells: Sequence[Cell], most: int) -> SequentialPlan:
    """Return the plan of a study's grid of `cells`, which has all its seeds up to `most`.

    Raises BadRequest if `most` is too small or too large, or if the grid cannot test a claim.
    """
    design = make_design(study)
    table = pd.DataFrame([cell.axes for cell in cells if not study.is_prerequisite(cell)])
    runs = Runs(design, table.assign(state="missing", reason="", split_hash=""))
    claims = [planned for claim in study.claims for planned in _plan_claim(runs, claim)]
    if not claims:
        why = "this grid can test none of its claims" if study.claims else "it has no claims"
        raise BadRequest(f"--until-decided: {study.name}: {why}; use --seeds, or more values of its axes")
    looks = SequentialDesign(plan_looks(most), margin=study.rope or None)
    keys = hashlib.sha256(" ".join(cell.key for cell in cells).encode()).hexdigest()[:20]
    axes = {axis: list(values) for axis, values in study.axes.items() if axis != study.replicated}
    return SequentialPlan(study.name, study.scale, study.replicated, design.metric, design.selector, axes, tuple(claims), looks, keys)


def _plan_claim(runs: Runs, claim: Claim) -> list[PlannedClaim]:
    """Return the claim with the grid's values, once for each measure of its conditions.

    Nothing if the grid lacks a value, or for a claim of a range: it is no test.
    """
    conditions = list_claim_conditions(runs, claim)
    if conditions is None or claim.between:
        return []
    a, b, a_from, b_from = (place and runs.resolve_place(place) for place in (claim.a, claim.b, claim.a_from, claim.b_from))
    resolved = replace(claim, a=a or {}, b=b or {}, a_from=a_from, b_from=b_from)
    groups = group_by_measure(runs, conditions)
    return [
        PlannedClaim(replace(resolved, text=f"{claim.text} ({measure})") if len(groups) > 1 else resolved, tuple(members))
        for measure, members in groups.items()
    ]


def compute_differences(runs: Runs, plan: SequentialPlan) -> np.ndarray:
    """Return the differences [most seeds, claims] of all claims; NaN where a training has no score."""
    seeds = range(plan.design.most)
    columns = [
        compute_seed_differences(runs, build_claim_places(runs, planned.claim, planned.conditions), seeds) for planned in plan.claims
    ]
    return np.array(columns).T


def follow_claims(runs: Runs, plan: SequentialPlan) -> Looks:
    """Return the looks that can be made. A look needs all trainings, up to its seeds, of the claims that were open before it."""
    ended = _find_ended(runs, plan)
    begun = int(np.flatnonzero(ended.any(1)).max(initial=-1)) + 1  # the engine need not look at seeds that have not begun
    history = run_looks(plan.design, compute_differences(runs, plan)[:begun], expects_equal=plan.claims_of_equivalence)
    for number, look in enumerate(plan.design.looks[: len(history)]):
        needed = range(len(plan.claims)) if not number else [c for c, state in enumerate(history[number - 1]) if state.decision == "open"]
        if not ended[:look, list(needed)].all():
            return history[:number]
    return history


def count_seeds(plan: SequentialPlan, history: Looks) -> list[int]:
    """Return the number of seeds that each claim needs: up to its decision or, while it is open, up to the next look."""
    if not history:
        return [plan.design.looks[0]] * len(plan.claims)
    following = plan.design.looks[min(len(history), len(plan.design.looks) - 1)]
    return [following if state.decision == "open" else state.look for state in history[-1]]


def list_needed_points(runs: Runs, planned: PlannedClaim) -> list[tuple[str, Condition]]:
    """Return the arm and condition of every training of a seed that a claim needs."""
    return [point for condition in planned.conditions for point in list_claim_points(runs, planned.claim, condition)]


def _find_ended(runs: Runs, plan: SequentialPlan) -> np.ndarray:
    """Return for each seed and claim [most seeds, claims] whether all trainings that the claim needs are done or have failed."""
    states, replicates = runs.table["state"].tolist(), runs.table[runs.design.replicated].tolist()
    ended = np.zeros((plan.design.most, len(plan.claims)), bool)
    known: dict[Any, set[Any]] = {}
    for number, planned in enumerate(plan.claims):
        seeds = set(range(plan.design.most))
        for arm, condition in list_needed_points(runs, planned):
            point = (arm, *condition.values())
            if point not in known:
                known[point] = {replicates[row] for row in runs.find_rows(arm, condition) if states[row] != "missing"}
            seeds &= known[point]
        ended[sorted(seeds), number] = True
    return ended
