"""TensorBoard: a run a cell, live while it trains and exact once it is done, and a run of means over the replicates of each condition.

A run is one event file, and its bytes follow from the cell's history and result alone. So what a killed driver left behind is either the
beginning of the right file, and is continued, or it is written anew: no curve ever has an epoch twice.
"""

import contextlib
import io
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from search_spaces.study import Study
from trainables.cell import Cell, Value
from trainables.store import RunFolder

NOT_CURVES = ("phase", "epoch", "step", "time")
AVERAGED = ("train/loss", "val/accuracy")
Row = dict[str, Any]


class Board:
    """Writes RUN/tb, read by `tensorboard --logdir RUN/tb`. TensorBoard reads local files: a run folder elsewhere gets no board."""

    def __init__(self, folder: RunFolder, study: Study) -> None:
        self.folder, self.study = folder, study
        self._open: dict[str, BinaryIO] = {}
        self._last: dict[str, int] = {}
        if folder.local:
            self._write("", _head(0) + _record(0, 0, [_experiment(study)]))

    def row(self, cell: Cell, row: Row) -> None:
        """One epoch of a cell in training. What a restarted worker repeats is dropped."""
        if not self.folder.local:
            return
        if cell.key not in self._open:
            past = [earlier for earlier in self.folder.history(cell.key) if earlier["step"] < row["step"]]
            path = self._write(self._name(cell), self._begin(cell, (past or [row])[0]) + _curves(past))
            self._open[cell.key] = path.open("ab", buffering=0)  # each row is seen at once, and none is lost with this process
            self._last[cell.key] = row["step"] - 1
        if row["step"] > self._last[cell.key]:
            with _named(self._open[cell.key].name):
                self._open[cell.key].write(_curves([row]))
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
            rows = list(_means(replicates))
            self._write(f"mean/{name}", _head(rows[0]["time"]) + _curves(rows))

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
            content = self._begin(cell, history[0]) + _curves(history)
            end = _end(history[-1], result, counted=not self.study.is_step(cell)) if result else b""
            self._write(self._name(cell), content + end, ahead=result is None)
        return history, result

    def _name(self, cell: Cell) -> str:
        return f"step/{cell.name}" if self.study.is_step(cell) else cell.name

    def _begin(self, cell: Cell, row: Row) -> bytes:
        """The head of a cell's file, and its line in the HParams table; a step on the way to others has none."""
        time = row.get("time", 0)
        return _head(time) if self.study.is_step(cell) else _head(time) + _record(time, 0, [_session(cell, time)])

    def _write(self, run: str, content: bytes, ahead: bool = False) -> Path:
        """Make `content` the run's one event file. Where it may be `ahead`, it may hold more: epochs that no checkpoint holds yet."""
        folder = Path(self.folder.path("tb", run))
        files = sorted(folder.glob("events.out.tfevents.*"))
        there = files[0].read_bytes() if len(files) == 1 else None
        if there is not None and (content.startswith(there) or (ahead and there.startswith(content))):
            with _named(files[0]), files[0].open("ab") as stream:
                stream.write(content[len(there) :])
            return files[0]
        folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((int(file.suffix[1:]) for file in files), default=-1)
        path = folder / f"events.out.tfevents.{number:06d}"  # a new name: a TensorBoard that is running would not read an old file again
        with _named(path):
            path.write_bytes(content)
        for file in files:
            file.unlink()
        return path


@contextlib.contextmanager
def _named(path: Path | str) -> Iterator[None]:
    """A write that fails does not say in which file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _means(replicates: list[tuple[list[Row], Row]]) -> Iterator[Row]:
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


def _record(time: float, step: int, values: list[Summary.Value]) -> bytes:
    event = Event(wall_time=time, step=step, summary=Summary(value=values))
    return _framed(event)


def _framed(event: Event) -> bytes:
    buffer = io.BytesIO()
    RecordWriter(buffer).write(event.SerializeToString(deterministic=True))
    return buffer.getvalue()


def _head(time: float) -> bytes:
    return _framed(Event(wall_time=time, file_version="brain.Event:2"))


def _session(cell: Cell, time: float) -> Summary.Value:
    info = plugin_data_pb2.SessionStartInfo(start_time_secs=time)
    for axis, value in cell.axes.items():
        _set(info.hparams[axis], value)
    return _hparams(metadata.SESSION_START_INFO_TAG, session_start_info=info)


def _curves(rows: Iterable[Row]) -> bytes:
    return b"".join(
        _record(
            row.get("time", 0),
            row["step"],
            [
                Summary.Value(tag=tag, simple_value=value)
                for tag, value in row.items()
                if tag not in NOT_CURVES and isinstance(value, int | float) and not isinstance(value, bool)
            ],
        )
        for row in rows
    )


def _end(row: Row, result: Row, counted: bool) -> bytes:
    """Test metrics and the selected epoch's validation metrics, at the last epoch's step."""
    time = row.get("time", 0)
    names = {tag: tag if tag.startswith("test/") else f"selected/{tag}" for tag in result["metrics"] if tag.startswith(("test/", "val/"))}
    values = [Summary.Value(tag=name, simple_value=result["metrics"][tag]) for tag, name in names.items()]
    if "confusion" in result:
        picture, width, height = confusion_png(np.array(result["confusion"]), result["classes"])
        image = Summary.Image(encoded_image_string=picture, width=width, height=height, colorspace=1)
        values.append(Summary.Value(tag="test/confusion", image=image))
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time)
    return _record(time, row["step"], [*values, *([_hparams(metadata.SESSION_END_INFO_TAG, session_end_info=end)] if counted else [])])


def _hparams(tag: str, **content: Any) -> Summary.Value:
    data = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**content))
    return Summary.Value(tag=tag, metadata=data, tensor=metadata.NULL_TENSOR)


def _experiment(study: Study) -> Summary.Value:
    """The columns of the HParams table: every axis, and what a cell ends with."""
    experiment = api_pb2.Experiment(description=study.title)
    for axis, values in study.axes.items():
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        kind = api_pb2.DATA_TYPE_FLOAT64 if numbers else api_pb2.DATA_TYPE_STRING
        info = experiment.hparam_infos.add(name=axis, type=kind)
        info.domain_discrete.extend(values if numbers else map(str, values))
    measured = ("test/accuracy", "test/balanced_accuracy", "selected/val/accuracy")
    for tag in dict.fromkeys((*measured, f"test/{study.metric}", f"selected/val/{study.metric}")):
        experiment.metric_infos.add(name=api_pb2.MetricName(tag=tag))
    return _hparams(metadata.EXPERIMENT_TAG, experiment=experiment)


def _set(field: Any, value: Value) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        field.string_value = str(value)
    else:
        field.number_value = value


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
