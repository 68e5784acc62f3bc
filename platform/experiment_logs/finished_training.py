"""A finished training as other programs keep it: parameters, curves, final scores and tags, under TensorBoard's names."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from platform.tensorboard.board_writer import name_final_scores
from platform.tensorboard.event_file import NOT_CURVES
from trainables.cell import Cell, Value
from trainables.setting_texts import flatten_settings
from trainables.storage.store import RunFolder

Row = dict[str, Any]


@dataclass(frozen=True)
class FinishedTraining:
    """One run of another program."""

    key: str
    name: str
    """the name of its run in TensorBoard"""
    parameters: dict[str, Value]
    curves: list[tuple[int, float, dict[str, float]]]
    """step, seconds since 1970, and the numbers of each epoch"""
    scores: dict[str, float]
    tags: dict[str, str]


def read_trainings(cells: Iterable[Cell], folder: RunFolder, name: Callable[[Cell], str]) -> Iterator[FinishedTraining]:
    """Yield the trainings that have a result, in order. `name` returns the name of a training's run in TensorBoard."""
    for cell in cells:
        if result := folder.get_result(cell.key):
            yield describe_finished(cell, name(cell), folder.get_history(cell.key), result)


def describe_finished(cell: Cell, name: str, history: list[Row], result: Row) -> FinishedTraining:
    provenance = result["provenance"]
    tags = {
        "key": cell.key,
        "study": cell.study,
        "scale": cell.scale,
        "split_hash": result["split_hash"],
        "flags": "; ".join(result["flags"]),
    }
    tags |= {f"data.{role}": f"{data.title} ({data.fingerprint})" for role, data in cell.data.items()}
    tags |= {fact: str(provenance[fact]) for fact in ("commit", "precision") if fact in provenance}
    return FinishedTraining(
        key=cell.key,
        name=name,
        parameters=_list_parameters(cell) | {"method": cell.method, "task": cell.task} | cell.axes,
        curves=[(int(row["step"]), float(row.get("time", 0)), _pick_numbers(row)) for row in history],
        scores=_pick_numbers({label: result["metrics"][metric] for metric, label in name_final_scores(result["metrics"]).items()}),
        tags=tags,
    )


def _pick_numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in row.items()
        if name not in NOT_CURVES and isinstance(value, int | float) and not isinstance(value, bool)
    }


def _list_parameters(cell: Cell) -> dict[str, Value]:
    """Return the settings by their full names, such as `augmentation.flip`; lists as JSON."""
    settings = flatten_settings({**cell.task_settings, **cell.method_settings})
    return {name: value if isinstance(value, str | int | float | None) else json.dumps(value) for name, value in settings}
