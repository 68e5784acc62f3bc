"""A finished training as other programs keep it: parameters, curves, final scores and tags, under TensorBoard's names."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from platform.tensorboard.board_writer import name_final_scores, name_run
from platform.tensorboard.event_file import NOT_CURVES
from search_spaces.study import Study
from trainables.cell import Cell, Value
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


def read_trainings(
    study: Study, cells: Iterable[Cell], folder: RunFolder, names: Mapping[str, str] | None = None
) -> Iterator[FinishedTraining]:
    """Yield the trainings that have a result, in order. `names` gives the names, by key, of those whose name is not their place's."""
    for cell in cells:
        if result := folder.get_result(cell.key):
            name = (names or {}).get(cell.key) or name_run(study, cell)
            yield describe_finished(cell, name, folder.get_history(cell.key), result)


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
        parameters={
            **_flatten(cell.task_settings),
            **_flatten(cell.method_settings),
            "method": cell.method,
            "task": cell.task,
            **cell.axes,
        },
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


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """Return settings by their full names, such as `augmentation.flip`; lists as JSON."""
    flat: dict[str, Value] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, str | int | float | None) else json.dumps(value)
    return flat
