"""TensorBoard event files as bytes that depend only on their content: a run is one file, and no curve has a step twice."""

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from trainables.cell import Value

NOT_CURVES = ("phase", "epoch", "step", "time")


def write_run(folder: Path, content: bytes, ahead: bool = False) -> Path:
    """Make `content` the only event file of the run in the existing `folder`; return the file's path.

    With `ahead` the file may hold more than `content`: epochs that no checkpoint holds yet.
    """
    files = sorted(folder.glob("events.out.tfevents.*"))
    existing = files[0].read_bytes() if len(files) == 1 else None
    if existing is not None and (content.startswith(existing) or (ahead and existing.startswith(content))):
        with name_failed_file(files[0]), files[0].open("ab") as stream:
            stream.write(content[len(existing) :])
        return files[0]
    number = 1 + max((int(file.suffix[1:]) for file in files), default=-1)
    path = folder / f"events.out.tfevents.{number:06d}"  # a new name, since a running TensorBoard would not read an old file again
    with name_failed_file(path):
        path.write_bytes(content)
    for file in files:
        file.unlink()
    return path


@contextlib.contextmanager
def name_failed_file(path: Path | str) -> Iterator[None]:
    """Add the path to a write's OSError, which does not name the file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def encode_event(time: float, step: int, values: list[Summary.Value]) -> bytes:
    event = Event(wall_time=time, step=step, summary=Summary(value=values))
    return frame_record(event)


def frame_record(event: Event) -> bytes:
    buffer = io.BytesIO()
    RecordWriter(buffer).write(event.SerializeToString(deterministic=True))
    return buffer.getvalue()


def encode_file_head(time: float) -> bytes:
    return frame_record(Event(wall_time=time, file_version="brain.Event:2"))


def encode_experiment(title: str, axes: Mapping[str, Sequence[Value]], metrics: Iterable[str]) -> bytes:
    """Encode the file of a whole board: the columns of its HParams table, with their values if these are few, and the final metrics."""
    content = api_pb2.Experiment(description=title)
    for axis, values in axes.items():
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        data_type = api_pb2.DATA_TYPE_FLOAT64 if numbers else api_pb2.DATA_TYPE_STRING
        info = content.hparam_infos.add(name=axis, type=data_type)
        info.domain_discrete.extend(values if numbers else map(str, values))
    for tag in metrics:
        content.metric_infos.add(name=api_pb2.MetricName(tag=tag))
    return encode_file_head(0) + encode_event(0, 0, [encode_hparams(metadata.EXPERIMENT_TAG, experiment=content)])


def encode_run_start(hyperparameters: Mapping[str, Value], row: dict[str, Any]) -> bytes:
    """Encode the head of a run's file, and its row in the HParams table; `row` is the first of its history."""
    time = row.get("time", 0)
    info = plugin_data_pb2.SessionStartInfo(start_time_secs=time)
    for name, value in hyperparameters.items():
        set_value(info.hparams[name], value)
    start = encode_hparams(metadata.SESSION_START_INFO_TAG, session_start_info=info)
    return encode_file_head(time) + encode_event(time, 0, [start])


def encode_run_end(row: dict[str, Any], values: list[Summary.Value], status: int = api_pb2.STATUS_SUCCESS) -> bytes:
    """Encode a run's final values, at the step of its last row."""
    time = row.get("time", 0)
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time)
    return encode_event(time, row["step"], [*values, encode_hparams(metadata.SESSION_END_INFO_TAG, session_end_info=info)])


def encode_curves(rows: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(
        encode_event(
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


def encode_hparams(tag: str, **content: Any) -> Summary.Value:
    data = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**content))
    return Summary.Value(tag=tag, metadata=data, tensor=metadata.NULL_TENSOR)


def set_value(field: Any, value: Value) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        field.string_value = str(value)
    else:
        field.number_value = value
