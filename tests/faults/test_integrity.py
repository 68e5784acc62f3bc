"""Every file that a run leaves is harmed in every way: what does not fit is never believed, a line says so, and the same grid mends it."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from platform.cli.application import make_application
from platform.explain.__main__ import main as explain
from platform.grid.run import draw_results
from platform.launch.unfinished_cells import list_cells_to_train
from search_spaces.study import Study
from tests import tiny
from trainables.autotune import AutotuneResult, get_device_kind
from trainables.cell import Cell
from trainables.execution.config import ExecutionConfig
from trainables.loop import Stopped, get_device, get_or_choose_execution, train_cell
from trainables.storage.store import RunFolder

HARMS: dict[str, Callable[[bytes, bytes], bytes | None]] = {
    "flipped": lambda content, other: content[: (at := len(content) * 2 // 3)] + bytes([content[at] ^ 4]) + content[at + 1 :],
    "truncated": lambda content, other: content[: len(content) // 2],
    "emptied": lambda content, other: b"",
    "swapped": lambda content, other: other,
    "deleted": lambda content, other: None,
}
EXEMPT = ("tb/", "report/", "log/", "mark.txt", "reported.txt", "driver.json", "last-words.txt")
"""Event files and logs have formats of their own; the report is written again whatever is in it; marks belong to a running command."""
OF_A_CELL = ("cell.json", "checkpoint.pt", "files.json", "history.jsonl", "predictions.npz", "result.json")


def make_study() -> Study:
    axes: dict[str, Any] = {"method": ("SC(c)",), "split": (0.5,), "ratio": (1,), "seed": (0, 1)}
    return replace(tiny.study(epochs=1, probe_epochs=2), axes=axes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, list[Cell], Path]:
    """Return a study of two seeds, its cells, and the run folder that a grid leaves of it, with saliency maps."""
    place = tmp_path_factory.mktemp("integrity")
    study, folder = make_study(), RunFolder(str(place / "run"))
    cells = study.make_cells(tiny.data(tiny.files(place / "data")))
    folder.put_grid(study.name, study.scale, cells)
    folder.put_choice(get_device_kind(get_device()), AutotuneResult(ExecutionConfig()).to_json())
    run_grid(study, cells, folder)
    result = CliRunner().invoke(make_application(explain), [folder.root, "--count", "1"])
    assert result.exit_code == 0, result.output
    return study, cells, place / "run"


def train_unfinished(cells: list[Cell], folder: RunFolder) -> list[Cell]:
    """Train what `python -m platform.grid` trains, in this process, and return these cells."""
    todo = list_cells_to_train(cells, folder)
    for cell in todo:
        train_cell(cell, folder)
    return todo


def run_grid(study: Study, cells: list[Cell], folder: RunFolder) -> list[Cell]:
    """Do what the command does: train, draw curves, write the report. Return the cells that are trained."""
    folder.put_grid(study.name, study.scale, cells)
    todo = train_unfinished(cells, folder)
    draw_results(study, cells, folder)
    return todo


@pytest.fixture
def run(whole: tuple[Study, list[Cell], Path], tmp_path: Path) -> Iterator[tuple[RunFolder, list[str]]]:
    """Return a copy of the run folder, with the times of its files, and the lines that are said of it."""
    shutil.copytree(whole[2], tmp_path / "run", copy_function=shutil.copy2)
    folder, said = RunFolder(str(tmp_path / "run")), []
    folder.say = said.append
    yield folder, said


def read_numbers(folder: RunFolder, cells: list[Cell]) -> dict[str, Any]:
    """Return all that a run folder gives of its cells, except when and where they were trained; None for what it does not give."""
    numbers: dict[str, Any] = {}
    for cell in cells:
        result = folder.get_result(cell.key)
        history = [{name: value for name, value in row.items() if name != "time"} for row in folder.get_history(cell.key)]
        state = folder.get_checkpoint(cell.key)
        try:
            predictions = {name: array.tolist() for name, array in folder.get_predictions(cell.key).items()}
        except FileNotFoundError:
            predictions = {}
        numbers |= {
            f"{cell.key} result": result and [result[name] for name in ("metrics", "selected_epoch", "split_hash", "flags", "key")],
            f"{cell.key} history": history or None,
            f"{cell.key} parameters": state and {name: value.tolist() for name, value in state["modules"].items()},
            f"{cell.key} predictions": predictions or None,
        }
    return numbers


def harm(folder: RunFolder, name: str, how: str, other: str = "") -> None:
    file = Path(folder.root, name)
    content = HARMS[how](file.read_bytes(), Path(folder.root, other).read_bytes() if other else b"{}")
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)


def test_every_file_of_a_run_is_known_here(whole: tuple[Study, list[Cell], Path]) -> None:
    """A new kind of file must say what it is, or be named as exempt."""
    _, cells, root = whole
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    left = {name for name in names if not name.startswith(EXEMPT)}
    signed = {name for name in left if name.endswith(".json")}
    for name in signed:
        content = json.loads((root / name).read_text())
        assert content["about"]["place"] == name and content["digest"], name
    described = set()
    for name in signed:
        if name.endswith("files.json"):
            place = name.removesuffix("files.json")
            described |= {f"{place}{file}" for file in json.loads((root / name).read_text())["files"]}
    assert left == signed | described
    assert {name for name in left if name.startswith(f"cells/{cells[0].key}/")} == {f"cells/{cells[0].key}/{name}" for name in OF_A_CELL}


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("name", OF_A_CELL)
def test_a_harmed_file_of_a_finished_training(whole: Any, run: tuple[RunFolder, list[str]], name: str, how: str) -> None:
    _, cells, root = whole
    folder, said = run
    expected = read_numbers(RunFolder(str(root)), cells)
    harm(folder, f"cells/{cells[0].key}/{name}", how, f"cells/{cells[1].key}/{name}")
    for item, value in read_numbers(folder, cells).items():
        assert value is None or value == expected[item], f"{item} is believed"
    todo = train_unfinished(cells, folder)
    needed = name not in ("cell.json",) and not (name == "checkpoint.pt" and how == "deleted")  # deleted parameters are not wanted
    assert [cell.key for cell in todo] == [cells[0].key] * needed
    if needed and not (name == "result.json" and how == "deleted"):
        assert any(f"{cells[0].key}/" in line and line.endswith("; it is not used") and "\n" not in line for line in said), said
    again = read_numbers(RunFolder(folder.root), cells)
    assert all(again[item] == value or (item.endswith("parameters") and not needed) for item, value in expected.items())
    assert list_cells_to_train(cells, folder) == []


@pytest.mark.parametrize(
    ("name", "how"),
    [*(("checkpoint.pt", how) for how in HARMS), ("files.json", "swapped"), ("files.json", "deleted"), ("history.jsonl", "swapped")],
)
def test_a_harmed_file_of_an_unfinished_training(whole: Any, tmp_path: Path, name: str, how: str) -> None:
    """The other seed's checkpoint in an unfinished training used to change its numbers, which passed as whole."""
    _, cells, root = whole
    folder = RunFolder(str(tmp_path / "run"))
    folder.say = lambda text: None
    for cell in cells:
        left = iter(range(100))
        with pytest.raises(Stopped):
            train_cell(cell, folder, halt=lambda left=left: next(left) == 2)
    harm(folder, f"cells/{cells[0].key}/{name}", how, f"cells/{cells[1].key}/{name}")
    for cell in cells:
        train_cell(cell, folder)
    assert read_numbers(folder, cells) == read_numbers(RunFolder(str(root)), cells)


@pytest.mark.parametrize(("name", "how"), [("grid.json", "flipped"), ("grid.json", "deleted"), ("drawn.json", "truncated")])
def test_a_harmed_file_of_the_run(whole: Any, run: tuple[RunFolder, list[str]], name: str, how: str) -> None:
    study, cells, root = whole
    folder, _ = run
    harm(folder, name, how)
    assert run_grid(study, cells, folder) == []
    assert read_numbers(folder, cells) == read_numbers(RunFolder(str(root)), cells) and folder.get_cells() == cells
    assert (root / "report/index.html").read_bytes() == Path(folder.get_path("report/index.html")).read_bytes()


@pytest.mark.parametrize("how", ["flipped", "deleted"])
def test_a_harmed_report_is_written_again(whole: Any, run: tuple[RunFolder, list[str]], how: str) -> None:
    study, cells, root = whole
    folder, _ = run
    run_grid(study, cells, folder)
    table = Path(folder.get_path("report/runs.csv"))
    times = os.stat(table)
    harm(folder, "report/runs.csv", how, "report/cells.csv")
    if table.exists():
        os.utime(table, ns=(times.st_atime_ns, times.st_mtime_ns))
    run_grid(study, cells, folder)
    assert table.read_bytes() == (root / "report/runs.csv").read_bytes()


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another precision": lambda content: content["execution"].update(precision="fp64"),
    "another name": lambda content: content.update(executions=content.pop("execution")),
    "another name within": lambda content: content["execution"].update(precisions=content["execution"].pop("precision")),
    "text for a number": lambda content: content.update(milliseconds={"fp32": "fast"}),
    "another device": lambda content: content.update(device="another"),
    "a list": lambda content: content.update(execution=[]),
}


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "of an older version"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_execution_configuration_is_measured_again(
    whole: Any, run: tuple[RunFolder, list[str]], change: str, signed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged name used to make every new training fail at every run, and `fp64` written by hand was believed."""
    _, cells, _ = whole
    folder, said = run
    (name,) = os.listdir(folder.get_path("execution"))
    file = Path(folder.get_path("execution", name))
    content = json.loads(file.read_text())
    CHANGES[change](content)
    file.write_text(json.dumps(content if signed else {name: value for name, value in content.items() if name not in ("about", "digest")}))
    chosen = AutotuneResult(ExecutionConfig(layout="contiguous"))
    monkeypatch.setattr("trainables.loop.choose_execution", lambda *given: chosen)
    assert get_or_choose_execution(cells[0], folder) == chosen
    assert [line for line in said if line.startswith(f"{file}: ") and line.endswith("; it is not used")]
    assert folder.get_choice(get_device_kind(get_device()), AutotuneResult.from_json) == chosen


@pytest.mark.parametrize("how", ["flipped", "swapped"])
def test_maps_of_another_network_are_not_drawn(whole: Any, run: tuple[RunFolder, list[str]], how: str) -> None:
    """The times of the file are as before, so that only its use can tell."""
    _, cells, _ = whole
    folder, _ = run
    file = Path(folder.get_path("cells", cells[0].key, "checkpoint.pt"))
    times = os.stat(file)
    harm(folder, f"cells/{cells[0].key}/checkpoint.pt", how, f"cells/{cells[1].key}/checkpoint.pt")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = CliRunner().invoke(make_application(explain), [folder.root, "--count", "1"])
    assert result.exit_code == 0, result.output
    assert f"{file}: " in result.output and "1 of 2 trainings are not finished or have kept no parameters: left out" in result.output


@pytest.mark.parametrize("how", ["flipped", "swapped"])
def test_a_harmed_sheet_is_not_on_the_page(whole: Any, run: tuple[RunFolder, list[str]], how: str) -> None:
    study, cells, root = whole
    folder, said = run
    sheet = next(Path(folder.get_path("explain")).rglob("sheet-*.svg"))
    name = sheet.relative_to(folder.root).as_posix()
    harm(folder, name, how, next(Path(folder.get_path("explain")).rglob("averages.svg")).relative_to(folder.root).as_posix())
    run_grid(study, cells, folder)
    page = Path(folder.get_path("report/index.html")).read_text()
    assert page.count("data:image/svg+xml;base64,") == (root / "report/index.html").read_text().count("data:image/svg+xml;base64,") - 1
    assert any(line.startswith(f"{sheet}: ") for line in said)
