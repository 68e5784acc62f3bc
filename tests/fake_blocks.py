"""Run folders of grids that add seeds in blocks. No network is trained: a function of the cell gives each score."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from platform.grid.seed_blocks import BlockCells, SeedBlocks
from platform.report.sequential_claims import make_plan
from platform.report.sequential_plan import SequentialPlan, fix_plan
from search_spaces.claims import FIRST, LAST, Claim
from search_spaces.study import STUDIES, Arm, Study
from trainables.cell import Cell, Data
from trainables.data.source import Source
from trainables.storage.store import RunFolder

Score = Callable[[Cell], float | None]
"""test score of a cell; None: its training fails"""
ARMS = ("good", "twin", "poor")
CLAIMS = (
    Claim("good beats poor", {"method": "good"}, {"method": "poor"}),
    Claim("good is no better than its twin", {"method": "good", "ratio": LAST}, {"method": "twin", "ratio": LAST}, expect="equivalent"),
    Claim(
        "good gains more from a larger ratio than poor",
        {"method": "good", "ratio": LAST},
        {"method": "poor", "ratio": LAST},
        {"method": "good", "ratio": FIRST},
        {"method": "poor", "ratio": FIRST},
    ),
)


def study(most: int, claims: tuple[Claim, ...] = CLAIMS, arms: tuple[str, ...] = ARMS) -> Study:
    """Return a study of three arms at two ratios; `heir` starts from `base`, which is no arm of the axis."""
    pocket = STUDIES.find("adults_as_augmentation")("pocket")
    kinds = {name: Arm("supervised", {"domain": "c"}) for name in ARMS}
    kinds |= {"base": Arm("supervised", {"domain": "c+a"}), "heir": Arm("supervised", {"domain": "c"}, parent="base")}
    axes = {"method": arms, "split": (0.5,), "ratio": (1, 5), "seed": tuple(range(most))}
    return replace(pocket, axes=axes, arms=kinds, claims=claims, published=())


def make_cells(of: Study) -> list[Cell]:
    return of.make_cells({role: Data(Source("faces"), f"fingerprint-{role}", role) for role in of.roles})


def begin(path: Path, of: Study) -> SeedBlocks:
    """Return the blocks of a run folder, new or interrupted, as a command does."""
    cells, folder = make_cells(of), RunFolder(str(path))
    plan: SequentialPlan = make_plan(of, cells, len(of.axes["seed"]))
    fix_plan(folder, plan)
    return SeedBlocks(BlockCells(of, cells, plan), folder)


def finish(folder: RunFolder, cell: Cell, score: Score) -> None:
    """Write a training's end."""
    value = score(cell)
    folder.put_cell(cell)
    folder.put_history(cell.key, [{"phase": "train", "epoch": 0, "step": 0, "train/loss": 1.0, "time": 1.7e9}])
    if value is None:
        folder.put_error(cell.key, {"key": cell.key, "kind": "failed", "reason": "the loss is nan", "axes": cell.axes})
        return
    result = {"key": cell.key, "axes": cell.axes, "metrics": {"val/accuracy": value, "test/accuracy": value}, "selected_epoch": 0}
    result |= {"flags": [], "split_hash": f"split {cell.axes['seed']}", "provenance": {"commit": "0123abc"}, "seconds": 1.0}
    folder.put_result(cell.key, result)


def train_block(blocks: SeedBlocks, score: Score) -> list[Cell]:
    """Train the next block and return its cells. No look is made after it."""
    todo = blocks.advance()
    assert todo
    for cell in todo:
        finish(blocks.folder, cell, score)
    return todo


def train(blocks: SeedBlocks, score: Score) -> list[list[Cell]]:
    """Train block after block to the end; return the blocks."""
    trained: list[list[Cell]] = []
    while todo := blocks.advance(trained[-1] if trained else ()):
        trained.append(todo)
        for cell in todo:
            finish(blocks.folder, cell, score)
    return trained
