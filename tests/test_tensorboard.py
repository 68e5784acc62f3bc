"""The board's files, read back with TensorBoard's own reader, its server and a browser."""

import io
import itertools
import json
import logging
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from browser import browser, needs_browser
from fake_run import CLASSES, fake_run, finish
from PIL import Image
from selenium.webdriver.support.ui import WebDriverWait
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from platform.tensorboard.board_writer import Board, draw_confusion_png
from search_spaces.study import STUDIES, Arm, Study
from trainables.cell import Cell, Data
from trainables.data.source import Source
from trainables.storage.store import RunFolder


@pytest.fixture(scope="module")
def study() -> Study:
    pocket = STUDIES.find("adults_as_augmentation")("pocket")
    return pocket.narrow_axis("method", ["SC(c)", "SC(c<-a)"]).narrow_axis("split", ["0.5"]).with_seeds(3)


@pytest.fixture(scope="module")
def finished(study: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, list[Cell]]:
    return fake_run(tmp_path_factory.mktemp("finished") / "run", study)


@pytest.fixture
def run(finished: tuple[RunFolder, list[Cell]], tmp_path: Path) -> tuple[RunFolder, list[Cell]]:
    """Return a run with every cell done and no board yet."""
    return RunFolder(str(shutil.copytree(finished[0].root, tmp_path / "run"))), finished[1]


def files(folder: RunFolder, name: str) -> list[Path]:
    return sorted(file for file in Path(folder.get_path("tb", name)).iterdir() if file.name.startswith("events."))


def read(folder: RunFolder, name: str) -> dict[str, list[tuple[int, float]]]:
    """Return every scalar of a run as TensorBoard reads it: (step, value) by tag, without sampling or purging."""
    reader = EventAccumulator(folder.get_path("tb", name), size_guidance={"scalars": 0}, purge_orphaned_data=False).Reload()
    return {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def expected(rows: list[dict[str, Any]], tag: str) -> list[tuple[int, float]]:
    return [(row["step"], float(np.float32(row[tag]))) for row in rows if tag in row]


def content(folder: RunFolder) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path(folder.get_path("tb")).rglob("*") if path.is_file()}


def test_rows_are_seen_at_once_and_the_result_ends_the_run(run: tuple[RunFolder, list[Cell]], study: Study) -> None:
    folder, (cell, *_) = run
    rows, board = folder.get_history(cell.key), Board(folder, study)
    for number, row in enumerate(rows, start=1):
        board.add_epoch(cell, row)
        assert read(folder, cell.name)["train/loss"] == expected(rows[:number], "train/loss")
    assert "test/accuracy" not in read(folder, cell.name)
    board.finish_cell(cell)
    scalars, metrics = read(folder, cell.name), (folder.get_result(cell.key) or {})["metrics"]
    assert set(scalars) == {"train/loss", "val/accuracy", "lr", "test/accuracy", "test/balanced_accuracy", "selected/val/accuracy"}
    for tag in ("train/loss", "val/accuracy", "lr"):
        assert scalars[tag] == expected(rows, tag)
    assert scalars["test/accuracy"] == [(rows[-1]["step"], float(np.float32(metrics["test/accuracy"])))]
    assert scalars["selected/val/accuracy"] == [(rows[-1]["step"], float(np.float32(metrics["val/accuracy"])))]


def test_wall_times_are_the_epochs_own(run: tuple[RunFolder, list[Cell]], study: Study) -> None:
    folder, (cell, *_) = run
    Board(folder, study).finish_cell(cell)
    reader = EventAccumulator(folder.get_path("tb", cell.name)).Reload()
    assert [event.wall_time for event in reader.Scalars("train/loss")] == [row["time"] for row in folder.get_history(cell.key)]


@pytest.mark.parametrize("torn", [0, 1, 9, 40])
@pytest.mark.parametrize("end", ["row by row", "complete"])
def test_after_a_kill_every_epoch_is_there_once(run: tuple[RunFolder, list[Cell]], study: Study, torn: int, end: str) -> None:
    folder, (cell, *_) = run
    rows, result = folder.get_history(cell.key), folder.get_result(cell.key)
    assert result
    folder.remove("cells", cell.key, "result.json")
    folder.put_history(cell.key, rows[:4])  # the history at the last checkpoint
    killed = Board(folder, study)
    for row in rows[:7]:
        killed.add_epoch(cell, row)
    (file,) = files(folder, cell.name)
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - torn)

    board = Board(folder, study)
    if end == "row by row":
        for row in rows[4:]:
            board.add_epoch(cell, row)
            assert read(folder, cell.name)["train/loss"] == expected(rows[: row["step"] + 1], "train/loss")
    folder.put_history(cell.key, rows)
    folder.put_result(cell.key, result)
    board.finish_cell(cell) if end == "row by row" else board.complete_runs([cell])
    assert len(files(folder, cell.name)) == 1
    assert {tag: read(folder, cell.name)[tag] for tag in ("train/loss", "lr")} == {tag: expected(rows, tag) for tag in ("train/loss", "lr")}


def test_what_a_restarted_worker_repeats_is_dropped(run: tuple[RunFolder, list[Cell]], study: Study) -> None:
    folder, (cell, *_) = run
    rows, board = folder.get_history(cell.key), Board(folder, study)
    for row in [*rows[:6], *rows[3:]]:
        board.add_epoch(cell, row)
    assert read(folder, cell.name)["train/loss"] == expected(rows, "train/loss")
    board.close()


def test_live_and_completed_boards_have_the_same_bytes(run: tuple[RunFolder, list[Cell]], study: Study, tmp_path: Path) -> None:
    live, cells = run
    after = RunFolder(str(shutil.copytree(live.root, tmp_path / "after")))
    board = Board(live, study)
    for cell in cells:
        for row in live.get_history(cell.key):
            board.add_epoch(cell, row)
        board.finish_cell(cell)
    board.complete_runs(cells)
    Board(after, study).complete_runs(cells)
    assert {path.relative_to(live.root): state[0] for path, state in content(live).items()} == {
        path.relative_to(after.root): state[0] for path, state in content(after).items()
    }


def test_complete_mends_what_is_wrong_and_leaves_the_rest_alone(run: tuple[RunFolder, list[Cell]], study: Study) -> None:
    folder, cells = run
    Board(folder, study).complete_runs(cells)
    before = content(folder)
    Board(folder, study).complete_runs(cells)
    assert content(folder) == before

    (file,) = files(folder, cells[0].name)
    file.write_bytes(2 * file.read_bytes())  # now every epoch is there twice
    second = files(folder, cells[1].name)[0].with_name("events.out.tfevents.000007")
    second.write_bytes(files(folder, cells[1].name)[0].read_bytes())
    Board(folder, study).complete_runs(cells)
    for cell in cells[:2]:
        assert len(files(folder, cell.name)) == 1
        assert read(folder, cell.name)["lr"] == expected(folder.get_history(cell.key), "lr")
    untouched = {path: state for path, state in before.items() if path in content(folder)}
    assert len(untouched) == len(before) - 2 and untouched.items() <= content(folder).items()


def test_what_has_not_changed_is_not_read_again(run: tuple[RunFolder, list[Cell]], study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, cells = run
    Board(folder, study).complete_runs(cells)
    reads: list[str] = []
    read_history = RunFolder.get_history
    monkeypatch.setattr(RunFolder, "get_history", lambda self, key: reads.append(key) or read_history(self, key))
    Board(folder, study).complete_runs(cells)
    assert reads == []
    folder.put_result(cells[0].key, folder.get_result(cells[0].key) or {})  # as if trained again
    Board(folder, study).complete_runs(cells)
    assert set(reads) == {cell.key for cell in cells if cell.axes | {"seed": 0} == cells[0].axes | {"seed": 0}}
    Path(folder.get_path("drawn.json")).write_text("{")
    Board(folder, study).complete_runs(cells)
    assert set(reads) == {cell.key for cell in cells}


def test_epochs_that_no_checkpoint_holds_yet_are_kept(run: tuple[RunFolder, list[Cell]], study: Study) -> None:
    folder, (cell, *_) = run
    rows = folder.get_history(cell.key)
    folder.remove("cells", cell.key, "result.json")
    folder.put_history(cell.key, rows[:2])
    board = Board(folder, study)
    for row in rows[:5]:
        board.add_epoch(cell, row)
    board.complete_runs([cell])
    assert read(folder, cell.name)["train/loss"] == expected(rows[:5], "train/loss")


def test_means_over_the_replicates_that_are_done(run: tuple[RunFolder, list[Cell]], study: Study) -> None:
    folder, cells = run
    replicates = [cell for cell in cells if cell.name.startswith("SC(c<-a)/split=0.5/ratio=5/")]
    folder.remove("cells", replicates[0].key, "result.json")
    Board(folder, study).complete_runs(cells)
    histories = [folder.get_history(cell.key) for cell in replicates[1:]]
    scalars = read(folder, "mean/SC(c<-a)/split=0.5/ratio=5")
    losses = np.array([[row["train/loss"] for row in rows] for rows in histories])
    assert [value for _, value in scalars["train/loss"]] == pytest.approx(losses.mean(0), rel=1e-6)
    assert [value for _, value in scalars["train/loss_sd"]] == pytest.approx(np.abs(losses[0] - losses[1]) / 2**0.5, rel=1e-4)
    assert [step for step, _ in scalars["val/accuracy"]] == [row["step"] for row in histories[0] if "val/accuracy" in row]
    tests = [(folder.get_result(cell.key) or {})["metrics"]["test/accuracy"] for cell in replicates[1:]]
    assert scalars["test/accuracy"] == [(9, pytest.approx(sum(tests) / 2))]
    assert scalars["test/accuracy_sd"] == [(9, pytest.approx(abs(tests[0] - tests[1]) / 2**0.5))]


def test_one_replicate_has_a_mean_and_no_deviation(tmp_path: Path, study: Study) -> None:
    folder, cells = fake_run(tmp_path / "run", study.with_seeds(1))
    Board(folder, study).complete_runs(cells)
    assert set(read(folder, "mean/SC(c)/split=0.5/ratio=1")) == {"train/loss", "val/accuracy", "test/accuracy", "test/balanced_accuracy"}


def test_hparams_hold_every_axis(run: tuple[RunFolder, list[Cell]], study: Study) -> None:
    folder, cells = run
    Board(folder, study).complete_runs(cells)
    reader = EventAccumulator(folder.get_path("tb", cells[-1].name)).Reload()
    data = reader.PluginTagToContent("hparams")
    info = metadata.parse_session_start_info_plugin_data(data[metadata.SESSION_START_INFO_TAG])
    assert {axis: getattr(value, value.WhichOneof("kind")) for axis, value in info.hparams.items()} == cells[-1].axes
    assert metadata.parse_session_end_info_plugin_data(data[metadata.SESSION_END_INFO_TAG]).status == 1
    (file,) = files(folder, "")
    root = EventAccumulator(str(file)).Reload().PluginTagToContent("hparams")
    experiment = metadata.parse_experiment_plugin_data(root[metadata.EXPERIMENT_TAG])
    assert [axis.name for axis in experiment.hparam_infos] == list(study.axes)


def test_the_confusion_matrix_is_an_image_of_the_counts(run: tuple[RunFolder, list[Cell]], study: Study) -> None:
    folder, (cell, *_) = run
    Board(folder, study).finish_cell(cell)
    (image,) = EventAccumulator(folder.get_path("tb", cell.name)).Reload().Images("test/confusion")
    assert Image.open(io.BytesIO(image.encoded_image_string)).size == (image.width, image.height)


def test_darker_is_more_often(side: int = 40) -> None:
    counts = np.array([[8, 2, 0], [0, 0, 0], [1, 4, 5]])
    png, width, height = draw_confusion_png(counts, list(CLASSES[:3]), side)
    pixels = np.array(Image.open(io.BytesIO(png)))
    assert pixels.shape == (height, width)
    margin = width - 6 - 3 * side
    shade = pixels[margin + 3 :: side, margin + 3 :: side][:3, :3].astype(int)  # a corner of each square, outside its number
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    for first, second in itertools.combinations(np.ndindex(3, 3), 2):
        assert np.sign(shade[first] - shade[second]) == -np.sign(shares[first] - shares[second])


def test_axes_have_no_special_names(tmp_path: Path, study: Study) -> None:
    other = replace(
        study,
        axes={"network": ("a", "b"), "per_class": (30, None), "draw": (0, 1)},
        compared="network",
        replicated="draw",
        largest=None,
        arms={"a": Arm("supervised"), "b": Arm("supervised")},
    )
    folder, cells = fake_run(tmp_path / "run", other)
    Board(folder, other).complete_runs(cells)
    runs = {str(path.parent.relative_to(folder.get_path("tb"))) for path in content(folder)}
    assert runs == {".", *(cell.name for cell in cells), *(f"mean/{network}/per_class={size}" for network in "ab" for size in (30, None))}


def test_elsewhere_there_is_a_note_and_no_board(study: Study, caplog: pytest.LogCaptureFixture) -> None:
    folder = RunFolder("memory://board")
    with caplog.at_level(logging.WARNING):
        board = Board(folder, study)
        (cell, *_) = study.make_cells({role: Data(Source("faces"), role, role) for role in study.roles})
        board.add_epoch(cell, {"step": 0, "train/loss": 1.0})
        board.finish_cell(cell)
        board.complete_runs([cell])
    assert not folder.files.exists(folder.get_path("tb"))
    assert caplog.messages == [f"{folder.uri} is not a local folder: no TensorBoard files are written"]


@pytest.fixture
def server(run: tuple[RunFolder, list[Cell]], study: Study, tmp_path: Path) -> Iterator[str]:
    folder, cells = run
    Board(folder, study).complete_runs(cells)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder.get_path("tb"), "--port", "0"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        matches = (re.search(r"http://localhost:\d+/", line) for line in process.stderr)
        url = next(match[0] for match in matches if match)
        while len(json.load(urllib.request.urlopen(f"{url}data/runs"))) < 1 + len(cells) + 4:
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


@needs_browser
def test_tensorboard_shows_runs_tags_and_the_hparams_table(server: str, run: tuple[RunFolder, list[Cell]]) -> None:
    _, cells = run
    tags = json.load(urllib.request.urlopen(f"{server}data/plugin/scalars/tags"))
    assert {cell.name for cell in cells} < set(tags)
    assert set(tags[cells[0].name]) > {"train/loss", "val/accuracy", "test/accuracy", "lr"}
    parts = ["mean/SC(c&lt;-a)/split=0.5/ratio=5", *(f'title="{group}"' for group in ("lr", "selected", "test", "train", "val"))]
    with browser() as driver:
        driver.get(f"{server}#timeseries")
        WebDriverWait(driver, 60).until(lambda page: all(words in page.page_source for words in parts))  # tags grouped by first part
    query = quote(json.dumps({"allowedStatuses": ["STATUS_SUCCESS"], "startIndex": 0, "sliceSize": 99}))
    table = json.load(urllib.request.urlopen(f"{server}data/plugin/hparams/session_groups?request={query}"))["sessionGroups"]
    assert {row["name"]: row["hparams"] for row in table} == {cell.name: cell.axes for cell in cells}
    for row in table:
        shown = {metric["name"]["tag"]: metric["value"] for metric in row["metricValues"]}
        assert set(shown) == {"test/accuracy", "test/balanced_accuracy", "selected/val/accuracy"}


def test_curves_of_other_settings_have_a_name_of_their_own(run: tuple[RunFolder, list[Cell]], study: Study) -> None:
    """A second command with another temperature wrote over the curves of the first."""
    folder, cells = run
    Board(folder, study).complete_runs(cells)
    before = content(folder)
    other = study.with_setting("temperature", 0.2)
    data = cells[0].data
    others = [cell for cell in other.with_seeds(len(study.axes["seed"]) + 1).make_cells(data) if not study.is_prerequisite(cell)]
    for cell in others:
        finish(folder, other, cell)
    Board(folder, other).complete_runs(others)
    after = content(folder)
    board = Path(folder.get_path("tb"))  # its own file has the columns of HParams
    assert {path: after[path] for path in before if path.parent != board} == {
        path: kept for path, kept in before.items() if path.parent != board
    }
    for cell in others:  # a further seed too, whose plain name is free: the means are of one kind
        assert read(folder, f"{cell.name}/temperature=0.2")["train/loss"] == expected(folder.get_history(cell.key), "train/loss")
    condition = replace(others[0], axes={axis: value for axis, value in others[0].axes.items() if axis != "seed"}).name
    assert read(folder, f"mean/{condition}/temperature=0.2") != read(folder, f"mean/{condition}")
    Board(folder, study).complete_runs(cells)
    assert {path: after[path][0] for path in after} == {path: kept[0] for path, kept in content(folder).items()}, "each keeps its own"
