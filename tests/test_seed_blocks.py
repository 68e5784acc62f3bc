"""Which trainings each block has, with fake scores: who gets no more seeds, failed trainings, interruptions at any point."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platform.grid.seed_blocks import SeedBlocks
from platform.report.claim_sides import build_claim_places, compute_seed_differences
from platform.report.sequential_claims import compute_differences, count_seeds, make_plan
from platform.stats.sequential_tests import run_looks
from search_spaces.claims import Claim
from search_spaces.study import STUDIES
from tests import fake_blocks
from tests.report.pages import made
from trainables.cell import Cell
from trainables.registry import BadRequest

MOST = 20
LEVELS = {"good": 0.6, "twin": 0.6, "poor": 0.5, "base": 0.5, "heir": 0.55}


def score(cell: Cell) -> float:
    """Return a score with a spread of two points between seeds; `twin` scores almost as `good` does."""
    arm, seed = str(cell.axes["method"]), int(str(cell.axes["seed"]))
    own = np.random.default_rng([seed, cell.axes["ratio"], 0 if arm == "twin" else len(arm) + ord(arm[0])])
    small = 0.001 * np.random.default_rng([seed, 9]).normal() if arm == "twin" else 0.0
    shared = np.random.default_rng([seed, cell.axes["ratio"], 0])
    return LEVELS[arm] + small + 0.02 * (shared if arm in ("good", "twin") else own).normal()


def state(blocks: SeedBlocks) -> dict[str, tuple[str, int]]:
    decisions = blocks.history[-1] if blocks.history else []
    return {planned.claim.text: (each.decision, each.look) for planned, each in zip(blocks.plan.claims, decisions, strict=True)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[SeedBlocks, list[list[Cell]]]:
    blocks = fake_blocks.begin(tmp_path_factory.mktemp("whole") / "run", fake_blocks.study(MOST))
    return blocks, fake_blocks.train(blocks, score)


def points(cells: list[Cell]) -> set[tuple[Any, ...]]:
    return {(cell.axes["method"], cell.axes["ratio"], cell.axes["seed"]) for cell in cells}


def test_a_block_has_what_open_claims_need_seed_by_seed(whole: tuple[SeedBlocks, list[list[Cell]]]) -> None:
    """`good beats poor` and the twin's equivalence are decided at 10 seeds. Then only the gain, of good and poor, gets more."""
    blocks, trained = whole
    decided = state(blocks)
    assert decided["good beats poor"] == ("better", 10) and decided["good is no better than its twin"] == ("equivalent", 10)
    assert decided["good gains more from a larger ratio than poor"][1] > 10
    bounds = [0, *blocks.plan.design.looks]
    both = {("good", 1), ("good", 5), ("poor", 1), ("poor", 5)}
    for number, cells in enumerate(trained):
        arms = both | {("twin", 5)} if bounds[number + 1] <= 10 else both
        assert points(cells) == {(*arm, seed) for arm in arms for seed in range(bounds[number], bounds[number + 1])}
        seeds = [cell.axes["seed"] for cell in cells]
        assert seeds == sorted(seeds)
    assert not any(("twin", 1, seed) in points([cell for cells in trained for cell in cells]) for seed in range(MOST)), "no claim needs it"


def test_the_grid_holds_what_was_asked_for(tmp_path: Path) -> None:
    blocks = fake_blocks.begin(tmp_path / "run", fake_blocks.study(MOST))
    asked: list[Cell] = []
    while todo := blocks.advance():
        asked += todo
        assert [cell.key for cell in blocks.folder.get_cells()] == [cell.key for cell in blocks.wanted]
        assert {cell.key for cell in asked} == {cell.key for cell in blocks.wanted}
        for cell in todo:
            fake_blocks.finish(blocks.folder, cell, score)


@pytest.mark.parametrize("ended", [0, 1, 17, 29, 30, 31, 39, 40, 44, 50, 51, 57, 60])
def test_an_interrupted_grid_comes_to_the_same_looks(whole: tuple[SeedBlocks, list[list[Cell]]], ended: int, tmp_path: Path) -> None:
    """The first trainings have ended, in an order that workers may choose; then everything is read again."""
    blocks, trained = whole
    order = [cell for cells in trained for cell in np.random.default_rng(ended).permutation(np.array(cells, object))]
    path = tmp_path / "run"
    interrupted = fake_blocks.begin(path, fake_blocks.study(MOST))
    for cell in order[:ended]:
        fake_blocks.finish(interrupted.folder, cell, score)
    again = fake_blocks.begin(path, fake_blocks.study(MOST))
    assert (path / "sequential.json").read_bytes() == Path(blocks.folder.get_path("sequential.json")).read_bytes()
    rest = fake_blocks.train(again, score)
    assert {cell.key for cells in rest for cell in cells} == {cell.key for cell in order[ended:]}
    assert again.history == blocks.history or str(again.history) == str(blocks.history)  # NaN is not equal to itself
    assert again.wanted == blocks.wanted


def test_the_engine_gets_all_claims_and_their_differences(whole: tuple[SeedBlocks, list[list[Cell]]]) -> None:
    """The looks are those of the differences by hand: means over the claim's conditions, NaN where a claim has no more seeds."""
    blocks, trained = whole
    seen = {(*map(cell.axes.get, ("method", "ratio", "seed")),): score(cell) for cells in trained for cell in cells}
    d = np.full((MOST, 3), np.nan)
    for seed in range(MOST):
        good, poor, twin = ([seen.get((arm, ratio, seed), np.nan) for ratio in (1, 5)] for arm in ("good", "poor", "twin"))
        d[seed] = [np.mean(good) - np.mean(poor), good[1] - twin[1], (good[1] - good[0]) - (poor[1] - poor[0])]
    assert np.isnan(d[10:, 1]).all() and not np.isnan(d[:10]).any()
    runs = blocks.cells.make_runs(blocks._rows)
    np.testing.assert_allclose(compute_differences(runs, blocks.plan), d, atol=1e-12)
    for look, expected in zip(blocks.history, run_looks(blocks.plan.design, d), strict=True):
        assert [(each.decision, each.look) for each in look] == [(each.decision, each.look) for each in expected]
        np.testing.assert_allclose([each.p for each in look], [each.p for each in expected], atol=1e-9)


def test_differences_of_a_direction_and_of_gaps(whole: tuple[SeedBlocks, list[list[Cell]]]) -> None:
    runs = whole[0].cells.make_runs(whole[0]._rows)
    planned = whole[0].plan.claims[0]
    places = build_claim_places(runs, planned.claim, planned.conditions)
    up = compute_seed_differences(runs, places, [0, 1, 77])
    runs.design = runs.design.__class__(**{**vars(runs.design), "higher_is_better": False})
    assert np.isnan(up[2]) and compute_seed_differences(runs, places, [0, 1]).tolist() == (-up[:2]).tolist()


def fail(cell: Cell) -> float | None:
    return None if cell.axes["method"] == "poor" and cell.axes["seed"] in (2, 8) else score(cell)


def test_a_failed_training_is_not_repeated(tmp_path: Path) -> None:
    """Once a look has counted it, its seed has no difference for the claims that need it, also after an interruption."""
    path, of = tmp_path / "run", fake_blocks.study(MOST)
    blocks = fake_blocks.begin(path, of)
    first = fake_blocks.train_block(blocks, fail)
    assert blocks.advance(first)
    again = fake_blocks.begin(path, of)
    second = again.advance()
    assert second and {cell.axes["seed"] for cell in second} == {6, 7} and again.count_ended("failed") == 2
    trained = fake_blocks.train(again, fail)
    keys = [cell.key for cells in (first, *trained) for cell in cells]
    assert len(keys) == len({*keys})
    states = {planned.claim.text: each for planned, each in zip(again.plan.claims, again.history[-1], strict=True)}
    poor = states["good beats poor"]
    assert (poor.decision, poor.look - poor.n) == ("better", 2)
    assert states["good is no better than its twin"].n == states["good is no better than its twin"].look
    Path(again.folder.get_path("failed.json")).write_text("{}")
    with pytest.raises(BadRequest, match=r"failed\.json: is not a list of failed trainings"):
        fake_blocks.begin(path, of)


def test_a_failure_before_its_look_may_be_that_of_an_interruption(tmp_path: Path) -> None:
    """A killed driver takes its workers along, which write down why they failed. The same command trains these trainings again."""
    path, of = tmp_path / "run", fake_blocks.study(MOST)
    fake_blocks.train_block(fake_blocks.begin(path, of), fail)
    again = fake_blocks.begin(path, of)
    repeated = again.advance()
    assert repeated and points(repeated) == {("poor", 1, 2), ("poor", 5, 2)} and not again.history
    assert not any(again.folder.get_error(cell.key) for cell in repeated)
    fake_blocks.finish(again.folder, repeated[0], score)
    fake_blocks.finish(again.folder, repeated[1], fail)
    second = again.advance(repeated)
    assert second and again.count_ended("failed") == 1 and again.history[0][0].n == 5
    rest = again.advance([])
    assert rest == second, "nothing has ended"


def test_claims_without_any_difference_are_given_up_at_the_first_look(tmp_path: Path) -> None:
    blocks = fake_blocks.begin(tmp_path / "run", fake_blocks.study(MOST))
    assert len(fake_blocks.train(blocks, lambda cell: None)) == 1
    assert [each.decision for each in blocks.history[-1]] == ["futile"] * 3 and blocks.advance() is None


@pytest.mark.parametrize("lost", ["poor", "good"])
def test_an_arm_that_always_fails_is_reported(tmp_path: Path, lost: str) -> None:
    """One side of a claim has no score under any condition, the other has all."""
    of = fake_blocks.study(MOST)
    blocks = fake_blocks.begin(tmp_path / "run", of)
    fake_blocks.train(blocks, lambda cell: None if cell.axes["method"] == lost else score(cell))
    report = made(blocks.folder, of)
    standings = {claim["text"]: (claim["standing"], claim["reason"]) for claim in report.data["claims"]}
    assert standings["good beats poor"] == ("open", "given up as futile") and "given up" in report.page.text


def test_damaged_results_are_trained_again_to_the_same_looks(tmp_path: Path) -> None:
    path, of = tmp_path / "run", fake_blocks.study(MOST)
    blocks = fake_blocks.begin(path, of)
    trained = fake_blocks.train(blocks, score)
    damaged = trained[0][3]
    Path(blocks.folder.get_path("cells", damaged.key, "history.jsonl")).write_text("{}\n")
    again = fake_blocks.begin(path, of)
    assert again.advance() == [damaged] and not again.history
    fake_blocks.finish(again.folder, damaged, score)
    assert again.advance() is None and str(again.history) == str(blocks.history)


def test_parents_come_first_and_are_no_rows(tmp_path: Path) -> None:
    claim = Claim("an heir beats poor", {"method": "heir"}, {"method": "poor"})
    blocks = fake_blocks.begin(tmp_path / "run", fake_blocks.study(MOST, (claim,), ("good", "poor", "heir")))
    todo = blocks.advance()
    assert todo and {cell.axes["method"] for cell in todo} == {"poor", "heir", "base"}, "good is in no claim"
    order = [cell.key for cell in todo]
    assert all(order.index(cell.parent) < order.index(cell.key) for cell in todo if cell.parent)
    assert len(todo) == 6 * 2 * 3
    assert {cell.axes["method"] for cell in blocks.folder.get_shown_cells()} == {"poor", "heir"}


def test_a_parent_whose_parameters_were_not_kept_is_trained_again(tmp_path: Path) -> None:
    claim = Claim("an heir beats poor", {"method": "heir"}, {"method": "poor"})
    path, of = tmp_path / "run", fake_blocks.study(6, (claim,), ("poor", "heir"))
    blocks = fake_blocks.begin(path, of)
    todo = blocks.advance()
    assert todo
    parents = [cell for cell in todo if cell.axes["method"] == "base"]
    for cell in parents:
        fake_blocks.finish(blocks.folder, cell, score)  # without a checkpoint
    again = fake_blocks.begin(path, of).advance()
    assert again and {cell.key for cell in parents} <= {cell.key for cell in again}


def test_every_study_can_be_planned() -> None:
    """The number of trainings at the first look is that of the points that the claims name."""
    for name in ("adults_as_augmentation", "children_cnn", "annealed_label_transfer", "ciao"):
        of = STUDIES.find(name)("pocket").with_seeds(MOST)
        cells = fake_blocks.make_cells(of)
        plan = make_plan(of, cells, MOST)
        assert plan.claims and count_seeds(plan, []) == [6] * len(plan.claims)
        assert len({planned.claim.text for planned in plan.claims}) == len(plan.claims)
    assert {planned.claim.text.rpartition("(")[2] for planned in plan.claims} >= {"accuracy)"}, "ciao's claims are split by measure"


def test_a_study_that_no_claim_fits(tmp_path: Path) -> None:
    of = fake_blocks.study(MOST, arms=("poor", "heir"))
    with pytest.raises(BadRequest, match="this grid can test none of its claims"):
        make_plan(of, fake_blocks.make_cells(of), MOST)
    of = fake_blocks.study(MOST, claims=())
    with pytest.raises(BadRequest, match="it has no claims"):
        make_plan(of, fake_blocks.make_cells(of), MOST)


def test_copying_a_folder_is_enough_to_go_on(whole: tuple[SeedBlocks, list[list[Cell]]], tmp_path: Path) -> None:
    shutil.copytree(whole[0].folder.root, tmp_path / "copy")
    again = fake_blocks.begin(tmp_path / "copy", fake_blocks.study(MOST))
    assert again.advance() is None and str(again.history) == str(whole[0].history)
