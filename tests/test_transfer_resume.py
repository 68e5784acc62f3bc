"""Transfer methods halted anywhere and continued end in the same bits: the checkpoint holds temperature, switch and momentum."""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tiny
from trainables.cell import Cell, Data
from trainables.loop import Stopped, train_cell
from trainables.storage.store import RunFolder

METHODS: dict[str, dict[str, Any]] = {
    "labelled": {"with_gate": True},
    "pseudo_label": {},
    "pseudo_label_alrao": {"rates": (1e-4, 1e-1)},
    "annealed_label_transfer": {"slope": 0.1, "noise": "logits", "statistics": "moved"},
}


def made(folder: RunFolder, cell: Cell) -> dict[str, Any]:
    """Return all that a cell's training left, except for times."""
    checkpoint = folder.get_checkpoint(cell.key)["modules"]
    result = folder.get_result(cell.key)
    assert result is not None
    return {
        "parameters": {name: array.contiguous().numpy().tobytes() for name, array in checkpoint.items()},
        "history": [{name: value for name, value in row.items() if name != "time"} for row in folder.get_history(cell.key)],
        "predictions": {name: array.tobytes() for name, array in folder.get_predictions(cell.key).items()},
        "metrics": result["metrics"],
        "flags": result["flags"],
    }


@pytest.fixture(scope="module")
def whole(roles: dict[str, Data], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Cell, dict[str, Any]]]:
    """Return a function: a method's cell of three epochs of three steps, and what its training leaves without interruption."""

    @cache
    def of(method: str) -> tuple[Cell, dict[str, Any]]:
        cell = tiny.transfer(roles, method, **{"batch": 8, "epochs": 3, "lr": 0.02} | METHODS[method])
        folder = RunFolder(str(tmp_path_factory.mktemp("whole")))
        train_cell(cell, folder)
        return cell, made(folder, cell)

    return of


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32))
def test_halted_anywhere_and_continued_it_ends_in_the_same_bits(whole, tmp_path_factory, method: str, seed: int) -> None:
    cell, expected = whole(method)
    chance, folder = random.Random(seed), RunFolder(str(tmp_path_factory.mktemp("halted")))
    while True:
        left = chance.randrange(1, 9)

        def halt() -> bool:
            nonlocal left
            left -= 1
            return left == 0

        try:
            train_cell(cell, folder, halt=halt)
            break
        except Stopped:
            torch.rand(chance.randrange(9))  # the process uses random numbers for other things in between
    assert made(folder, cell) == expected


def test_the_gate_both_opened_and_closed_meanwhile(whole) -> None:
    """Otherwise the test above would not show that both kept and undone steps are resumed from."""
    _, expected = whole("annealed_label_transfer")
    share = sum(row["gate/accepted"] for row in expected["history"]) / 3
    assert 0 < share < 1


def test_neighbours_change_nothing(whole, tmp_path: Path) -> None:
    """One process trains one cell after another."""
    folder = RunFolder(str(tmp_path))
    for method in METHODS:
        cell, expected = whole(method)
        train_cell(cell, folder)
        assert made(folder, cell) == expected
