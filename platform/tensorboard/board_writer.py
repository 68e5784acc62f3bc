"""TensorBoard: one run per cell, live in training and exact once it is done, and one run of means over the replicates of each condition.

A run's bytes depend only on the cell's history and result. What a killed driver left behind is either a prefix of the right file,
which is continued, or it is rewritten. So no curve ever has an epoch twice.
"""

import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tensorboard.compat.proto.summary_pb2 import Summary

from platform.tensorboard.event_file import (
    encode_curves,
    encode_event,
    encode_experiment,
    encode_file_head,
    encode_run_end,
    encode_run_start,
    name_failed_file,
    write_run,
)
from platform.tensorboard.run_names import RunNames
from search_spaces.study import Study
from trainables.cell import Cell
from trainables.storage.store import RunFolder

METRICS = ("test/accuracy", "test/balanced_accuracy", "selected/val/accuracy")
DRAWN = "drawn.json"
"""by condition: the state of the results from which its curves were drawn, and of the curves"""
AVERAGED = ("train/loss", "val/accuracy", "val/score")
Row = dict[str, Any]


class Board:
    """Writes RUN/tb, which `tensorboard --logdir RUN/tb` reads. TensorBoard reads local files, so a remote run folder gets no board."""

    def __init__(self, folder: RunFolder, study: Study) -> None:
        self.folder, self.study = folder, study
        self.names = RunNames(folder, study.replicated, study.axes[study.replicated])
        self._open: dict[str, BinaryIO] = {}
        self._last: dict[str, int] = {}
        if folder.local:
            selection_metrics = (f"test/{study.metric}", f"selected/val/{study.metric}")
            write_run(
                Path(folder.make_folder(folder.get_path("tb"))),
                encode_experiment(study.title, study.axes, dict.fromkeys((*METRICS, *selection_metrics))),
            )

    def add_epoch(self, cell: Cell, row: Row) -> None:
        """Add one epoch of a cell in training. Epochs that a restarted worker repeats are dropped."""
        if not self.folder.local:
            return
        if cell.key not in self._open:
            past = [earlier for earlier in self.folder.get_history(cell.key) if earlier["step"] < row["step"]]
            path = write_run(self._make_run_folder(cell), self._begin_run(cell, (past or [row])[0]) + encode_curves(past))
            self._open[cell.key] = path.open("ab", buffering=0)  # each row is visible at once, and none is lost if this process dies
            self._last[cell.key] = row["step"] - 1
        if row["step"] > self._last[cell.key]:
            with name_failed_file(self._open[cell.key].name):
                self._open[cell.key].write(encode_curves([row]))
            self._last[cell.key] = row["step"]

    def finish_cell(self, cell: Cell) -> None:
        """Finish a cell's run: test metrics, the confusion matrix as an image, and HParams with every axis."""
        if self.folder.local:
            self._close_run(cell.key)
            self._rewrite_run(cell)

    def complete_runs(self, cells: list[Cell]) -> str:
        """Make every run exact from histories and results, and add the means over each condition's finished cells.

        A condition that has not changed since it was last completed is skipped: reading and drawing ten thousand cells takes minutes,
        and a repeated command should not take them again. Return the state of everything that was drawn from; empty if something is
        unfinished.
        """
        self.close()
        if not self.folder.local:
            logging.getLogger(__name__).warning("%s is not a local folder: no TensorBoard files are written", self.folder.uri)
            return ""
        previous = self._read_drawn()
        conditions: dict[str, list[Cell]] = {}
        for cell in cells:
            axes = {axis: value for axis, value in cell.axes.items() if axis != self.study.replicated}
            name = replace(cell, axes=axes).name + ("/step" if self.study.is_prerequisite(cell) else "")
            variant = self.names.get_variant(cell, self._get_plain_name)
            conditions.setdefault(f"{name}/{variant}" if variant else name, []).append(cell)
        states = {}
        for name, members in conditions.items():
            if (state := self._describe_state(name, members)) is None or state != previous.get(name):
                replicates = [(history, result["metrics"]) for history, result in map(self._rewrite_run, members) if history and result]
                if replicates and not self.study.is_prerequisite(members[0]):
                    rows = list(average_replicates(replicates))
                    write_run(self._make_folder(self._get_mean_path(name)), encode_file_head(rows[0]["time"]) + encode_curves(rows))
                state = self._describe_state(name, members)
            if state is not None:
                states[name] = state
        if states != previous:
            self.folder.put_json(states, DRAWN)
        return json.dumps(states) if len(states) == len(conditions) else ""

    def _read_drawn(self) -> dict[str, str]:
        try:
            states = self.folder.get_json(DRAWN)
        except ValueError:
            return {}
        return states if isinstance(states, dict) else {}

    def _describe_state(self, name: str, cells: list[Cell]) -> str | None:
        """Return a hash that tells whether a condition has changed: of times and sizes of its results and of its event files.

        None if a cell has no result or a run no event file, so that the condition is not skipped.
        """
        digest = hashlib.sha256()
        run_paths = [self._get_run_path(cell) for cell in cells] + (
            [] if self.study.is_prerequisite(cells[0]) else [self._get_mean_path(name)]
        )
        try:
            for cell in cells:
                for path in (
                    self.folder.get_path("cells", cell.key, "result.json"),
                    self.folder.get_path("cells", cell.key, "history.jsonl"),
                ):
                    stat = os.stat(path)
                    digest.update(f"{cell.key} {stat.st_mtime_ns} {stat.st_size}\n".encode())
            for run_path in run_paths:
                with os.scandir(run_path) as files:
                    events = [(file.name, file.stat()) for file in files if file.name.startswith("events.out.tfevents.")]
                ((event, stat),) = events
                digest.update(f"{event} {stat.st_mtime_ns} {stat.st_size}\n".encode())
        except (OSError, ValueError):
            return None
        return digest.hexdigest()

    def _get_mean_path(self, name: str) -> Path:
        return Path(self.folder.get_path("tb", make_safe_path(f"mean/{name}")))

    def _make_folder(self, place: Path) -> Path:
        return Path(self.folder.make_folder(str(place)))

    def close(self) -> None:
        for key in list(self._open):
            self._close_run(key)

    def _close_run(self, key: str) -> None:
        if key in self._open:
            self._open.pop(key).close()
            self._last.pop(key)

    def _rewrite_run(self, cell: Cell) -> tuple[list[Row], Row | None]:
        """Make a cell's run exact; return its history and result."""
        history, result = self.folder.get_history(cell.key), self.folder.get_result(cell.key)
        if history:
            content = self._begin_run(cell, history[0]) + encode_curves(history)
            end = _encode_end(history[-1], result, counted=not self.study.is_prerequisite(cell)) if result else b""
            write_run(self._make_run_folder(cell), content + end, ahead=result is None)
        return history, result

    def _get_plain_name(self, cell: Cell) -> str:
        return make_safe_path(f"step/{cell.name}" if self.study.is_prerequisite(cell) else cell.name)

    def _get_run_path(self, cell: Cell) -> Path:
        return Path(self.folder.get_path("tb", self.name_run(cell)))

    def name_run(self, cell: Cell) -> str:
        """Return the name of a training's run, which is also its path below `tb`."""
        variant = self.names.get_variant(cell, self._get_plain_name)
        return f"{self._get_plain_name(cell)}/{make_safe_path(variant)}" if variant else self._get_plain_name(cell)

    def _make_run_folder(self, cell: Cell) -> Path:
        """Make the folder of a training's run, and record in it whose it is."""
        path = self._make_folder(self._get_run_path(cell))
        self.names.claim(cell, path)
        return path

    def _begin_run(self, cell: Cell, row: Row) -> bytes:
        """Return the head of a cell's file, and its row in the HParams table; a prerequisite has no row."""
        return encode_file_head(row.get("time", 0)) if self.study.is_prerequisite(cell) else encode_run_start(cell.axes, row)


def name_final_scores(metrics: Row) -> dict[str, str]:
    """Return the tag of each metric that the end of a run shows: those of the test, and those that its selected epoch was validated by."""
    return {
        metric: metric if metric.startswith("test/") else f"selected/{metric}" for metric in metrics if metric.startswith(("test/", "val/"))
    }


def make_safe_path(name: str) -> str:
    """Return a name as a path that leads only downwards: values of axes are not trusted."""
    parts = ("" if set(part) <= {"."} else re.sub(r"[\x00-\x1f\x7f]", "_", part)[:80] for part in name.split("/"))
    return "/".join(part or "_" for part in parts)


def write_images(folder: RunFolder, run: str, images: dict[str, bytes]) -> None:
    """Write PNG images, by tag, as the only event of TensorBoard run `run`."""
    values = []
    for tag, data in images.items():
        width, height = Image.open(io.BytesIO(data)).size
        image = Summary.Image(encoded_image_string=data, width=width, height=height, colorspace=3)
        values.append(Summary.Value(tag=tag, image=image))
    if folder.local:
        write_run(Path(folder.make_folder(folder.get_path("tb", run))), encode_file_head(0) + encode_event(0, 0, values))


def average_replicates(replicates: list[tuple[list[Row], Row]]) -> Iterator[Row]:
    """Yield rows of means and standard deviations over the replicates that have the step; the last row also has test metrics."""
    last = max(len(history) for history, _ in replicates) - 1
    for step in range(last + 1):
        rows = [history[step] for history, _ in replicates if step < len(history)]
        mean: Row = {"step": step, "time": max(row.get("time", 0) for row in rows)}
        samples = {tag: [row[tag] for row in rows if tag in row] for tag in AVERAGED}
        if step == last:
            tests = sorted({tag for _, metrics in replicates for tag in metrics if tag.startswith("test/")})
            samples |= {tag: [metrics[tag] for _, metrics in replicates if tag in metrics] for tag in tests}
        for tag, sample in samples.items():
            if sample:
                mean[tag] = float(np.mean(sample))
            if len(sample) > 1:
                mean[f"{tag}_sd"] = float(np.std(sample, ddof=1))
        yield mean


def _encode_end(row: Row, result: Row, counted: bool) -> bytes:
    """Encode test metrics and the selected epoch's validation metrics, at the last epoch's step."""
    names = name_final_scores(result["metrics"])
    values = [Summary.Value(tag=name, simple_value=result["metrics"][metric]) for metric, name in names.items()]
    if "confusion" in result:
        picture, width, height = draw_confusion_png(np.array(result["confusion"]), result["classes"])
        image = Summary.Image(encoded_image_string=picture, width=width, height=height, colorspace=1)
        values.append(Summary.Value(tag="test/confusion", image=image))
    return encode_run_end(row, values) if counted else encode_event(row.get("time", 0), row["step"], values)


def draw_confusion_png(confusion: np.ndarray, classes: list[str], side: int = 40) -> tuple[bytes, int, int]:
    """Draw a confusion matrix [classes, classes] of counts (rows: truth) as a grey PNG; return it, width, height. Shades are row shares."""
    frame, margin = _draw_frame(tuple(classes), side)
    image = frame.copy()
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    for row, column in np.ndindex(confusion.shape):
        share = float(shares[row, column])
        square = _draw_square(str(int(confusion[row, column])), int(245 - 215 * share), 255 if share > 0.5 else 0, side)
        image.paste(square, (margin + side * column, margin + side * row))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue(), *image.size


@lru_cache(maxsize=16)
def _draw_frame(classes: tuple[str, ...], side: int) -> tuple[Image.Image, int]:
    """Draw the picture without its squares; return it and the coordinate at which they begin."""
    font = ImageFont.load_default(13)
    margin = 12 + int(max(font.getlength(name) for name in classes))
    size = margin + side * len(classes) + 6
    image = Image.new("L", (size, size), 255)
    draw = ImageDraw.Draw(image)
    for row, name in enumerate(classes):
        draw.text((margin - 6, margin + side * (row + 0.5)), name, 0, font, anchor="rm")
        label = Image.new("L", (margin, side), 255)
        ImageDraw.Draw(label).text((6, side / 2), name, 0, font, anchor="lm")
        image.paste(label.rotate(90, expand=True), (margin + side * row, 0))
    return image, margin


@lru_cache(maxsize=4096)
def _draw_square(text: str, shade: int, ink: int, side: int) -> Image.Image:
    """Draw one number on its shade. Results are cached: drawing text is slow, and most matrices consist of few numbers."""
    image = Image.new("L", (side - 1, side - 1), shade)
    ImageDraw.Draw(image).text((side / 2 - 1, side / 2 - 1), text, ink, ImageFont.load_default(13), anchor="mm")
    return image
