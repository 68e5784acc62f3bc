"""The training loop: an interrupted training ends with the same bits, order and neighbours do not matter, failures give a reason."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tiny
from tests.forking import ForkServer
from trainables import loop
from trainables.cell import Cell, Data
from trainables.data import source
from trainables.data.dataset import DataError
from trainables.loop import Diverged, Stopped, train_cell
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

ROOT = Path(__file__).parents[1]
Roles = dict[str, Data]
Make = Callable[..., Cell]
ARMS = [("SL(c+a)", "fixed"), ("SC(c<-a)", "fixed"), ("UC(c+a)", "fresh")]


def made(folder: RunFolder, cell: Cell) -> dict[str, Any]:
    """Return everything that a cell left, except where and when it was trained."""
    result = folder.get_result(cell.key)
    assert result is not None
    checkpoint = folder.get_checkpoint(cell.key)["modules"]
    return {
        "result": {name: value for name, value in result.items() if name not in ("provenance", "seconds")},
        "history": [{name: value for name, value in row.items() if name != "time"} for row in folder.get_history(cell.key)],
        "predictions": {name: (array.dtype.str, array.tobytes()) for name, array in folder.get_predictions(cell.key).items()},
        "parameters": {name: (array.stride(), array.numpy().tobytes()) for name, array in checkpoint.items()},
        "cell": folder.get("cells", cell.key, "cell.json"),
    }


@pytest.fixture(scope="module")
def whole(roles: Roles, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], tuple[Cell, dict[str, Any], int]]:
    """Return a function that gives a cell, what it leaves if nothing interrupts it, and its number of steps."""

    @cache
    def of(arm: str, pool: str) -> tuple[Cell, dict[str, Any], int]:
        cell = tiny.cell(roles, arm, pool=pool)
        steps = 0

        def count() -> bool:
            nonlocal steps
            steps += 1
            return False

        folder = RunFolder(str(tmp_path_factory.mktemp("whole")))
        train_cell(cell, folder, halt=count)
        return cell, made(folder, cell), steps

    return of


def test_what_a_cell_leaves(roles: Roles, tmp_path: Path) -> None:
    cell, folder, rows = tiny.cell(roles, "SC(c)", ratio=2), RunFolder(str(tmp_path)), []
    result = train_cell(cell, folder, report=lambda row: rows.append(row) is None, context={"trial": "t1"})
    assert folder.get_result(cell.key) == result and folder.list_done() == {cell.key} and folder.get_json("cells", cell.key, "cell.json")
    assert folder.get_history(cell.key) == rows
    assert [(row["phase"], row["epoch"]) for row in rows] == [("contrast", e) for e in range(2)] + [("probe", e) for e in range(4)]
    assert [row["step"] for row in rows] == list(range(6))
    assert result["counts"] == {"train": [5] * 3, "val": [10, 9, 10], "test": [9, 10, 9]}  # 5 = .5 x 10; 19 of 24 remain
    probe = rows[2:]
    best = max(range(4), key=lambda epoch: (probe[epoch]["val/accuracy"], -epoch))
    assert result["selected_epoch"] == best and result["metrics"]["val/accuracy"] == pytest.approx(probe[best]["val/accuracy"], abs=1e-6)
    assert result["metrics"]["train/loss"] == probe[-1]["train/loss"]
    predictions = folder.get_predictions(cell.key)
    assert predictions["probabilities"].shape == (28, 3) and np.allclose(predictions["probabilities"].sum(1), 1, atol=1e-6)
    hits = predictions["probabilities"].argmax(1) == predictions["label"]
    assert result["metrics"]["test/accuracy"] == pytest.approx(hits.mean())
    assert np.trace(result["confusion"]) == hits.sum() and np.sum(result["confusion"], axis=1).tolist() == [9, 10, 9]
    origin = result["provenance"]
    assert origin["trial"] == "t1" and origin["pid"] == os.getpid() and origin["packages"]["torch"] == torch.__version__.partition("+")[0]

    faces = source.load_faces(roles["children"].source, 32, "grey")
    row_of = {index: row for row, index in enumerate(faces.metadata.index)}
    labels = [tiny.CLASSES.index(faces.classes[faces.labels[row_of[index]]]) for index in predictions["index"]]
    assert labels == predictions["label"].tolist()
    assert predictions.keys() == {"index", "label", "probabilities", "subject", "age"} and predictions["age"].tolist() == [8.0] * 28


@pytest.mark.parametrize(("arm", "pool"), ARMS)
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32))
def test_halted_anywhere_and_continued_it_ends_in_the_same_bits(whole, tmp_path_factory, arm: str, pool: str, seed: int) -> None:
    cell, expected, steps = whole(arm, pool)
    rng, folder = random.Random(seed), RunFolder(str(tmp_path_factory.mktemp("halted")))
    stops = 0
    while True:
        left = rng.randrange(1, steps)

        def halt() -> bool:
            nonlocal left
            left -= 1
            return left == 0

        try:
            train_cell(cell, folder, halt=halt)
            break
        except Stopped:
            stops += 1
            assert folder.list_done() == set()
            torch.rand(stops)  # other code of the process may use the global generator
    assert made(folder, cell) == expected


@pytest.mark.parametrize(("arm", "pool"), ARMS)
def test_stopped_after_every_epoch_it_ends_in_the_same_bits(whole, tmp_path: Path, arm: str, pool: str) -> None:
    cell, expected, _ = whole(arm, pool)
    folder, stops = RunFolder(str(tmp_path)), 0
    for _ in range(10):
        try:
            train_cell(cell, folder, report=lambda row: False, checkpoint_s=0)
            break
        except Stopped:
            stops += 1
            assert len(folder.get_history(cell.key)) == stops
    assert stops == len(expected["history"])
    assert made(folder, cell) == expected


KILLED = """
import json, sys, torch
from trainables.cell import Cell
from trainables.loop import train_cell
from trainables.storage.store import RunFolder
torch.set_num_threads(1)
train_cell(Cell.from_json(json.load(open(sys.argv[1]))), RunFolder(sys.argv[2]), checkpoint_s=0)
"""


@pytest.mark.parametrize("rows", [1, 4])
def test_killed_and_continued_it_ends_in_the_same_bits(whole, fork_server: ForkServer, tmp_path: Path, rows: int) -> None:
    """SIGKILL from another process at any point after `rows` epochs are in the history."""
    cell, expected, _ = whole("SC(c<-a)", "fixed")
    folder = RunFolder(str(tmp_path))
    folder.put_json(cell.to_json(), "cell.json")
    process = fork_server.start(["-c", KILLED, folder.get_path("cell.json"), folder.uri])
    while len(folder.get_history(cell.key)) < rows and process.running:
        time.sleep(0.001)
    process.kill()
    assert len(folder.get_history(cell.key)) >= rows
    if process.code == -signal.SIGKILL and not folder.list_done():
        assert "phase" in folder.get_checkpoint(cell.key) or len(folder.get_history(cell.key)) == len(expected["history"])
        train_cell(cell, folder)
    assert made(folder, cell) == expected


def test_a_killed_finish_is_done_again(whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kill is between the last files: there is no result yet, and the checkpoint is the finished one."""
    cell, expected, _ = whole("SL(c+a)", "fixed")
    folder = RunFolder(str(tmp_path))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "put_result", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_cell(cell, folder)
    assert folder.list_done() == set() and folder.get_checkpoint(cell.key).keys() == {"modules"}
    train_cell(cell, folder)
    assert made(folder, cell) == expected


def test_neither_order_nor_neighbours_matter(roles: Roles, tmp_path: Path) -> None:
    """Not even those of another precision, which share a seed's augmented images."""
    cells = [tiny.cell(roles, "SC(c)"), tiny.cell(roles, "SL(c+a)", seed=1), tiny.cell(roles, "SC(c)", precision="bf16")]
    forward, backward = RunFolder(str(tmp_path / "there")), RunFolder(str(tmp_path / "back"))
    for cell in cells:
        train_cell(cell, forward)
    loop._TASKS.clear()
    for cell in reversed(cells):
        train_cell(cell, backward)
    for cell in cells:
        assert made(forward, cell) == made(backward, cell)


def test_the_seed_decides(roles: Roles, tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    first, second = (tiny.cell(roles, "SL(c)", seed=seed) for seed in (0, 1))
    a, b = train_cell(first, folder), train_cell(second, folder)
    assert a["split_hash"] != b["split_hash"] and a["metrics"]["train/loss"] != b["metrics"]["train/loss"]


@pytest.mark.parametrize(("arm", "phase", "epoch"), [("SL(c)", "fit", 1), ("SC(c)", "contrast", 0)])
def test_a_loss_that_is_no_number_names_its_epoch(roles: Roles, tmp_path: Path, arm: str, phase: str, epoch: int) -> None:
    """The first step's loss is still finite. An epoch has one step in phase fit and three in phase contrast."""
    cell, folder = tiny.cell(roles, arm, ratio=2, lr=1e30), RunFolder(str(tmp_path))
    with pytest.raises(Diverged, match=rf"^the loss of phase {phase} is (nan|inf) in epoch {epoch}: a lower lr may help$") as caught:
        train_cell(cell, folder)
    assert caught.value.epoch == epoch and folder.list_done() == set()


def test_changed_data_are_refused(tmp_path: Path) -> None:
    roles = tiny.data(tiny.files(tmp_path / "data"))
    cell, folder = tiny.cell(roles), RunFolder(str(tmp_path / "run"))
    tiny.files(tmp_path / "data", seed=1)
    source.load_faces.cache_clear()
    with pytest.raises(DataError, match=r"fer2013\.csv,.*: changed since this grid was made; run the grid again"):
        train_cell(cell, folder)
    assert folder.list_done() == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "supcom"}, r"unknown method 'supcom'; did you mean supcon\?"),
        ({"task": "balance"}, r"unknown task 'balance'; did you mean balanced\?"),
        ({"task_settings": {"size": 32, "classes": ["anger", "joy"]}}, "FER2013, children.*: has no class joy"),
        ({"task_settings": {"size": 32, "target": "kids"}}, r"unknown role 'kids'.*\(known: adults, children\)"),
        ({"task_settings": {"size": 32, "by": "subject", "classes": tiny.CLASSES}}, "knows no subjects"),
        ({"method_settings": {"batch": 0}}, "setting batch=0 of method supervised"),
        ({"method_settings": {"encoder": "poket"}}, r"unknown encoder 'poket'; did you mean pocket\?"),
    ],
)
def test_what_does_not_fit_is_one_line(roles: Roles, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        train_cell(replace(tiny.cell(roles), **change), RunFolder(str(tmp_path)))
    assert "\n" not in str(caught.value)


def test_the_checkpoint_is_written_when_it_is_due(roles: Roles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock advances 1 s per reading. At 2 s between checkpoints there are several, at 10^9 s only the last with the selected epoch."""
    clock = iter(range(10**9))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(clock)))
    counts = []
    for seconds in (2.0, 1e9):
        puts: list[str] = []
        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, "put_files", lambda folder, key, puts=puts, **contents: puts.append(key))
            train_cell(tiny.cell(roles), RunFolder(str(tmp_path / str(seconds))), checkpoint_s=seconds)
        counts.append(len(puts))
    assert counts[0] > counts[1] == 1


def test_a_clock_that_is_set_back_changes_nothing(roles: Roles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It used to give negative seconds, and no more checkpoints."""
    clock = iter(range(10**9, 0, -3600))
    monkeypatch.setattr("time.time", lambda: float(next(clock)))
    puts: list[str] = []
    put = RunFolder.put_files
    monkeypatch.setattr(RunFolder, "put_files", lambda folder, key, **contents: puts.append(key) or put(folder, key, **contents))
    result = train_cell(tiny.cell(roles), RunFolder(str(tmp_path)), checkpoint_s=0.0)
    assert result["seconds"] > 0 and len(puts) > 2
