"""Tests of the worker: all cells have one execution configuration, which one worker chooses, and every end is written and reported."""

from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from trainables.cell import Cell, Data
from trainables.execution.interleave import train_together
from trainables.storage.store import RunFolder
from trainables.workers.worker import Worker

Roles = dict[str, Data]


pytestmark = pytest.mark.usefixtures("quick_autotune")


class Office:
    """A stand-in for the dispatcher, for one worker after another."""

    def __init__(self, runs: Path) -> None:
        self.runs = str(runs)
        self.choices: dict[str, Any] = {}
        self.answers = 0
        self.events: list[tuple[str, dict[str, Any]]] = []

    def worker(self, halted: bool = False) -> Worker:
        return Worker(self.runs, {"host": "here"}, self.report, self.choices.get, self.chose, lambda: halted, 20.0, 1)

    def chose(self, device: str, choice: Any) -> None:
        self.choices[device] = choice
        self.answers += 1

    def report(self, key: str, event: dict[str, Any]) -> bool:
        self.events.append((key, event))
        return True

    def train(self, *cells: Cell, **options: Any) -> list[dict[str, Any]]:
        """Train the cells, and return the events that ended them."""
        worker = self.worker(**options)
        jobs = [{"trial": "t", "cell": cell.to_json(), "slot_pid": 1, "deaths": 0} for cell in cells]
        start = len(self.events)
        train_together(jobs, worker.start_job, worker.end_job, 2, worker.send_note)
        return [event for _, event in self.events[start:] if event["kind"] != "row"]


def test_one_chooses_for_all(roles: Roles, tmp_path: Path) -> None:
    office, folder = Office(tmp_path), RunFolder(str(tmp_path))
    cells = [tiny.cell(roles, "SL(c)", seed, precision="auto") for seed in range(3)]
    assert [event["kind"] for event in office.train(*cells[:2]) + office.train(cells[2])] == ["done"] * 3
    assert office.answers == 1
    results = [folder.get_result(cell.key) or {} for cell in cells]
    assert len({result["provenance"]["execution"] for result in results}) == 1
    assert all(result["execution"]["milliseconds"] == results[0]["execution"]["milliseconds"] != {} for result in results)


def test_a_cell_that_asks_for_its_precision_makes_nobody_choose(roles: Roles, tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.train(tiny.cell(roles, precision="fp32"))
    assert not office.answers and not (tmp_path / "execution").exists()


def test_a_finished_cell_is_not_trained_again(roles: Roles, tmp_path: Path) -> None:
    office, cell = Office(tmp_path), tiny.cell(roles)
    office.train(cell)
    rows = len(office.events)
    assert [event["kind"] for event in office.train(cell)] == ["done"] and len(office.events) == rows + 1


def test_every_end_is_told_and_failures_are_written(roles: Roles, tmp_path: Path) -> None:
    office, folder = Office(tmp_path), RunFolder(str(tmp_path))
    nan, fine = tiny.cell(roles, lr=1e30), tiny.cell(roles)
    ends = {event["kind"]: event for event in office.train(nan, fine)}
    assert ends["failed"]["reason"].startswith("the loss of phase fit is ") and folder.get_result(fine.key)
    error = folder.get_error(nan.key)
    assert error and error["epoch"] == 1 and error["axes"] == nan.axes and "Diverged" in error["traceback"]
    (stopped,) = office.train(tiny.cell(roles, seed=1), halted=True)
    assert stopped["stopped"] and not folder.get_error(tiny.cell(roles, seed=1).key)
