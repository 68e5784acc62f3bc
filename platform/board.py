"""TensorBoard: a run a cell, live while it trains and exact once it is done, and a run of means over the replicates of each condition.

A run's bytes follow from the cell's history and result alone. So what a killed driver left behind is either the beginning of the right
file, and is continued, or it is written anew: no curve ever has an epoch twice.
"""

import io
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tensorboard.compat.proto.summary_pb2 import Summary

from platform.events import begin, curves, end, experiment, head, named, record, write_run
from search_spaces.study import Study
from trainables.cell import Cell
from trainables.store import RunFolder

METRICS = ("test/accuracy", "test/balanced_accuracy", "selected/val/accuracy")
AVERAGED = ("train/loss", "val/accuracy")
Row = dict[str, Any]


class Board:
    """Writes RUN/tb, read by `tensorboard --logdir RUN/tb`. TensorBoard reads local files: a run folder elsewhere gets no board."""

    def __init__(self, folder: RunFolder, study: Study) -> None:
        self.folder, self.study = folder, study
        self._open: dict[str, BinaryIO] = {}
        self._last: dict[str, int] = {}
        if folder.local:
            write_run(Path(folder.path("tb")), experiment(study.title, study.axes, METRICS))

    def row(self, cell: Cell, row: Row) -> None:
        """One epoch of a cell in training. What a restarted worker repeats is dropped."""
        if not self.folder.local:
            return
        if cell.key not in self._open:
            past = [earlier for earlier in self.folder.history(cell.key) if earlier["step"] < row["step"]]
            path = write_run(self._place(cell), self._begin(cell, (past or [row])[0]) + curves(past))
            self._open[cell.key] = path.open("ab", buffering=0)  # each row is seen at once, and none is lost with this process
            self._last[cell.key] = row["step"] - 1
        if row["step"] > self._last[cell.key]:
            with named(self._open[cell.key].name):
                self._open[cell.key].write(curves([row]))
            self._last[cell.key] = row["step"]

    def done(self, cell: Cell) -> None:
        """End a cell's run: test metrics, the confusion matrix as an image, and HParams with every axis."""
        if self.folder.local:
            self._close(cell.key)
            self._run(cell)

    def complete(self, cells: list[Cell]) -> None:
        """Make every run exact from histories and results, and add the means over each condition's finished cells."""
        self.close()
        if not self.folder.local:
            logging.getLogger(__name__).warning("%s is not a local folder: no TensorBoard files are written", self.folder.uri)
            return
        conditions: dict[str, list[tuple[list[Row], Row]]] = {}
        for cell in cells:
            history, result = self._run(cell)
            if history and result and not self.study.is_step(cell):
                condition = replace(cell, axes={axis: value for axis, value in cell.axes.items() if axis != self.study.replicated})
                conditions.setdefault(condition.name, []).append((history, result["metrics"]))
        for name, replicates in conditions.items():
            rows = list(means(replicates))
            write_run(Path(self.folder.path("tb", f"mean/{name}")), head(rows[0]["time"]) + curves(rows))

    def close(self) -> None:
        for key in list(self._open):
            self._close(key)

    def _close(self, key: str) -> None:
        if key in self._open:
            self._open.pop(key).close()
            self._last.pop(key)

    def _run(self, cell: Cell) -> tuple[list[Row], Row | None]:
        """Make a cell's run exact; its history and result."""
        history, result = self.folder.history(cell.key), self.folder.result(cell.key)
        if history:
            content = self._begin(cell, history[0]) + curves(history)
            end = _end(history[-1], result, counted=not self.study.is_step(cell)) if result else b""
            write_run(self._place(cell), content + end, ahead=result is None)
        return history, result

    def _place(self, cell: Cell) -> Path:
        return Path(self.folder.path("tb", f"step/{cell.name}" if self.study.is_step(cell) else cell.name))

    def _begin(self, cell: Cell, row: Row) -> bytes:
        """The head of a cell's file, and its line in the HParams table; a step on the way to others has none."""
        return head(row.get("time", 0)) if self.study.is_step(cell) else begin(cell.axes, row)


def pictures(folder: RunFolder, run: str, images: dict[str, bytes]) -> None:
    """Make PNG images, by their tags, the one event of a run of the board, which is called `run`."""
    values = []
    for tag, data in images.items():
        width, height = Image.open(io.BytesIO(data)).size
        image = Summary.Image(encoded_image_string=data, width=width, height=height, colorspace=3)
        values.append(Summary.Value(tag=tag, image=image))
    if folder.local:
        write_run(Path(folder.path("tb", run)), head(0) + record(0, 0, values))


def means(replicates: list[tuple[list[Row], Row]]) -> Iterator[Row]:
    """Rows of means and standard deviations over replicates that have the step; the last row has the test metrics' too."""
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


def _end(row: Row, result: Row, counted: bool) -> bytes:
    """Test metrics and the selected epoch's validation metrics, at the last epoch's step."""
    names = {tag: tag if tag.startswith("test/") else f"selected/{tag}" for tag in result["metrics"] if tag.startswith(("test/", "val/"))}
    values = [Summary.Value(tag=name, simple_value=result["metrics"][tag]) for tag, name in names.items()]
    picture, width, height = confusion_png(np.array(result["confusion"]), result["classes"])
    image = Summary.Image(encoded_image_string=picture, width=width, height=height, colorspace=1)
    values.append(Summary.Value(tag="test/confusion", image=image))
    return end(row, values) if counted else record(row.get("time", 0), row["step"], values)


def confusion_png(confusion: np.ndarray, classes: list[str], side: int = 40) -> tuple[bytes, int, int]:
    """A confusion matrix [classes, classes] (rows: truth) of counts as a grey PNG, its width and height; shades: shares of a row."""
    font = ImageFont.load_default(13)
    margin = 12 + int(max(font.getlength(name) for name in classes))
    size = margin + side * len(classes) + 6
    image = Image.new("L", (size, size), 255)
    draw = ImageDraw.Draw(image)
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    for row, name in enumerate(classes):
        middle = margin + side * (row + 0.5)
        draw.text((margin - 6, middle), name, 0, font, anchor="rm")
        label = Image.new("L", (margin, side), 255)
        ImageDraw.Draw(label).text((6, side / 2), name, 0, font, anchor="lm")
        image.paste(label.rotate(90, expand=True), (margin + side * row, 0))
        for column in range(len(classes)):
            share = float(shares[row, column])
            left, top = margin + side * column, margin + side * row
            draw.rectangle((left, top, left + side - 2, top + side - 2), fill=int(245 - 215 * share))
            text = str(int(confusion[row, column]))
            draw.text((left + side / 2 - 1, top + side / 2 - 1), text, 255 if share > 0.5 else 0, font, anchor="mm")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue(), size, size
