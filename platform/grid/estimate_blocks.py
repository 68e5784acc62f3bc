"""Estimates the cost of a grid that adds seeds until its claims are decided (`--dry-run`): the minimum, the maximum and the expectation."""

from dataclasses import replace
from statistics import fmean

import numpy as np

from platform.grid.estimate import format_table, measure_grid
from platform.grid.seed_blocks import BlockCells, describe_aim
from platform.report.sequential_claims import count_seeds
from platform.report.sequential_plan import SequentialPlan
from platform.stats.permutations import make_sign_vectors
from platform.stats.sequential_tests import run_looks
from platform.terminal.progress import format_duration
from search_spaces.study import Study
from trainables.autotune import AutotuneResult
from trainables.cell import Cell

SIMULATED, FEW = 100, 20
"""grids behind an expected number of trainings, and behind that of a command which is about to train: it takes a second"""
EFFECT = 1.2
"""difference of every claim, in standard deviations of a seed's difference, of the expected number of trainings"""
DRAWS = 4096
"""random sign vectors in place of all: the numbers of seeds are the same to a tenth of a seed"""


def estimate_blocks(
    study: Study,
    cells: list[Cell],
    plan: SequentialPlan,
    done: set[str],
    slots: int | None,
    pack: int | None = None,
    choice: AutotuneResult | None = None,
) -> str:
    """Return as text the looks, the numbers of trainings with the time that they take, and the arms' steps and seconds.

    `cells` are those of all seeds up to the most. The times are from the first seed on. The other parameters are those of `measure_grid`.
    """
    blocks, claims, looks = BlockCells(study, cells, plan), len(plan.claims), plan.design.looks
    most = blocks.select_cells([plan.design.most] * claims)
    least = blocks.select_cells([looks[0]] * claims)
    times = measure_grid(study, most, slots, pack, choice)
    rows: list[tuple[str, ...]] = [("claims", "trainings", "time")]
    rows.append((f"all given up at {looks[0]} {plan.replicated}s", str(len(least)), format_duration(times.sum_seconds(least))))
    for effect, name in ((EFFECT, f"expected, all differences {EFFECT:g} standard deviations"), (0.0, "expected, no differences")):
        grids = simulate_grids(blocks, effect)
        number, seconds = fmean(map(len, grids)), fmean(map(times.sum_seconds, grids))
        rows.append((name, f"{number:.0f}", format_duration(seconds)))
    rows.append((f"some open up to {plan.design.most} {plan.replicated}s", str(len(most)), format_duration(times.sum_seconds(most))))
    finished = sum(cell.key in done for cell in most)
    at = f"looks at {', '.join(map(str, looks))} {plan.replicated}s"
    return "\n".join(
        [
            f"{study.name}, {study.scale} scale, {describe_aim(plan)}: {at}",
            f"at least {len(least)} and at most {len(most)} trainings, {finished} done",
            *list_claims(study, plan),
            "",
            *format_table(rows),
            "",
            *times.format_arms(most, "trainings at most"),
            "",
            f"times on this machine with {times.describe_setup(most)}, without the waits at the looks and the start of the workers",
            f"expected: means over {SIMULATED} simulated grids with independent, normal differences, none called equivalent",
        ]
    )


def list_claims(study: Study, plan: SequentialPlan) -> list[str]:
    """Return a line with the claims that are tested, and one with those that name a value which this grid lacks."""
    tested = [planned.claim.text for planned in plan.claims]
    absent = [claim.text for claim in study.claims if not any(text.startswith(claim.text) for text in tested)]
    return [f"claims: {'; '.join(tested)}", *([f"not in this grid: {'; '.join(absent)}"] if absent else [])]


def describe_expected(blocks: BlockCells) -> str:
    """Return the expected number of trainings, from the first seed on, as a line."""
    expected = fmean(map(len, simulate_grids(blocks, EFFECT, FEW)))
    return f"expected: about {expected:.0f} trainings in all if all differences are {EFFECT:g} standard deviations"


def simulate_grids(blocks: BlockCells, effect: float, number: int = SIMULATED) -> list[list[Cell]]:
    """Return the cells of each of so many grids whose claims have this standardised difference."""
    return [blocks.select_cells(seeds) for seeds in simulate_seeds(blocks.plan, effect, number)]


def simulate_seeds(plan: SequentialPlan, effect: float, number: int = SIMULATED) -> list[list[int]]:
    """Return, for each of so many grids, how many seeds each claim gets if its differences are normal with this standardised mean."""
    rng, design = np.random.default_rng(0), replace(plan.design, margin=None)
    signs = make_sign_vectors(rng.integers(0, 2, (DRAWS, design.most)))
    tables = rng.normal(effect, 1, (number, design.most, len(plan.claims)))
    return [count_seeds(plan, run_looks(design, table, signs, plan.claims_of_equivalence)) for table in tables]
