"""Progress of a command: what its events add up to, and how it is drawn on a terminal and elsewhere."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from platform.launch.event_counts import EventCounts
from platform.launch.run_progress import RunProgress, read_progress
from tests import tiny
from tests.running import ROOT
from trainables.cell import Cell, Data
from trainables.storage.store import RunFolder


@pytest.fixture(scope="module")
def cells(roles: dict[str, Data]) -> list[Cell]:
    return tiny.study().make_cells(roles)[:4]


def row(cell: Cell, epoch: int, score: float | None = None, phase: str = "fit") -> Any:
    scores = {} if score is None else {"val/accuracy": score}
    return {"kind": "row", "key": cell.key, "pid": 1, "row": {"phase": phase, "epoch": epoch, "step": epoch, **scores}}


def test_events_are_counted(cells: list[Cell]) -> None:
    counts = EventCounts("method", cells, total=4, done=1)
    assert counts.describe() == "1/4 trainings done, 0 failed, starting the workers"
    assert counts.count_event(row(cells[0], 0, phase="pretrain")).startswith("first epoch ")
    assert counts.count_event(row(cells[0], 0, 0.5)) == "" and counts.count_event(row(cells[0], 1, 0.25)) == ""
    (running,) = counts.to_json()["running"]
    assert (running["name"], running["phase"], running["epoch"], running["score"]) == (cells[0].name, "fit", 2, 0.25)
    assert counts.count_event({"kind": "done", "key": cells[0].key}) == ""
    assert counts.count_event({"kind": "done", "key": cells[0].key}) == "", "an end counts once"
    assert counts.count_event({"kind": "failed", "key": cells[1].key, "reason": "no"}) == f"failed: {cells[1].name}: no"
    assert counts.count_event({"kind": "failed", "key": cells[2].key, "reason": "", "stopped": True}) == ""
    assert counts.count_event({"kind": "note", "text": "a machine joined"}) == "a machine joined"
    record = counts.to_json()
    assert (record["done"], record["failed"], record["running"]) == (2, 1, [])
    assert record["scores"] == {cells[0].axes["method"]: {"trainings": 1, "mean": 0.5}}, (
        "that of the selected epoch, the best of the last phase"
    )
    assert counts.describe_scores() == f"mean validation score: {cells[0].axes['method']} 50.0"
    assert counts.describe().startswith("2/4 trainings done, 1 failed, ") and counts.describe().endswith(" left")


def test_trainings_that_a_search_stops_for_good_are_no_longer_counted_on(cells: list[Cell]) -> None:
    counts = EventCounts("method", cells, total=4)
    counts.count_event(row(cells[0], 0, 0.5))
    counts.count_event({"kind": "done", "key": cells[1].key})
    counts.drop_cells([cells[0].key, cells[1].key])
    record = counts.to_json()
    assert (record["total"], record["done"], record["running"]) == (3, 1, []), "one had ended before"
    counts.count_event(row(cells[0], 1, 0.5))
    assert counts.to_json()["running"] == [] and counts.share == pytest.approx(1 / 3)


def test_late_epochs_of_an_ended_training_do_not_make_it_run_again(cells: list[Cell]) -> None:
    counts = EventCounts("method", cells, total=4)
    counts.count_event({"kind": "done", "key": cells[0].key})
    counts.count_event(row(cells[0], 5, 0.5))
    assert counts.to_json()["running"] == []


def test_without_a_terminal_progress_is_plain_lines(cells: list[Cell], tmp_path: Path) -> None:
    folder, stream = RunFolder(str(tmp_path)), io.StringIO()
    progress = RunProgress(folder, EventCounts("method", cells, 4), stream, lambda: {"suggestions": 3})
    assert read_progress(folder)["ended"] is False and read_progress(folder)["suggestions"] == 3
    progress.handle_event({"kind": "note", "text": "a line\x1b[2J"})
    progress.handle_event({"kind": "done", "key": cells[0].key})
    progress.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "0/4 trainings done, 0 failed, starting the workers" and lines[1].startswith("a line\\x1b")
    assert lines[-1].startswith("1/4 trainings done") and "\x1b" not in stream.getvalue()
    assert read_progress(folder)["ended"] is True and read_progress(folder)["done"] == 1


ON_A_TERMINAL = """
import sys
from platform.terminal.progress import ProgressDisplay
display = ProgressDisplay(sys.stderr)
display.draw(0.5, "140/280 trainings done", "mean validation score: SL(c) 50.0, " + "another 12.3, " * 40)
display.print_line("failed: [red]a name in brackets[/red]\\x07")
display.draw(1.0, "280/280 trainings done", "")
display.close()
"""


def test_on_a_terminal_a_bar_is_redrawn_and_no_line_is_wider() -> None:
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", ON_A_TERMINAL], cwd=ROOT, stdin=slave, stderr=slave, env=environment)
    os.close(slave)
    text = b""
    try:
        while chunk := os.read(master, 65536):
            text += chunk
    except OSError:  # the other end is closed
        pass
    os.close(master)
    said = text.decode()
    assert process.wait() == 0
    assert "140/280 trainings done" in said and "280/280 trainings done" in said and "━" in said
    assert "failed: [red]a name in brackets[/red]\\x07" in said
    assert "another 12.3, another" in said and said.count("another") < 40, "the second line is cut at the terminal's width"
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l"), "the cursor is visible"
