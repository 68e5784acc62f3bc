"""In which settings, versions and data the trainings of two run folders differ."""

from collections.abc import Iterable, Mapping
from typing import Any

from trainables.cell import Cell, Value

Place = tuple[tuple[str, Value], ...]
VERSION = "version of the method"


def get_place(cell: Cell, without: str | None = None) -> Place:
    """Return a cell's point of the grid, without one axis."""
    return tuple((axis, value) for axis, value in cell.axes.items() if axis != without)


def flatten_settings(cell: Cell) -> dict[str, Any]:
    """Return the settings of task and method by their full names, such as `augmentation.flip`."""
    flat: dict[str, Any] = {}

    def add(values: Mapping[str, Any], prefix: str) -> None:
        for name, value in values.items():
            if isinstance(value, Mapping) and value:
                add(value, f"{prefix}{name}.")
            else:
                flat[prefix + name] = value

    add(cell.task_settings, "")
    add(cell.method_settings, "")
    return flat


def list_differences(a: Iterable[Cell], b: Iterable[Cell], without: str | None = None) -> dict[str, tuple[Any, Any]]:
    """Return what differs between trainings at the same places, by name, with the first pair of values that differ."""
    there = {get_place(cell, without): cell for cell in b}
    found: dict[str, tuple[Any, Any]] = {}
    for cell in a:
        if (other := there.get(get_place(cell, without))) is None:
            continue
        ours, theirs = (flatten_settings(each) | {VERSION: each.version} | _describe_data(each) for each in (cell, other))
        for name in {**ours, **theirs}:
            if ours.get(name) != theirs.get(name) and name not in found:
                found[name] = ours.get(name), theirs.get(name)
    return found


def _describe_data(cell: Cell) -> dict[str, str]:
    return {f"data of {role}": f"{data.title} ({data.fingerprint})" for role, data in cell.data.items()}


def describe_differences(found: Mapping[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{name} ({_spell(a)}, {_spell(b)})" for name, (a, b) in found.items())


def _spell(value: Any) -> str:
    return "none" if value is None else str(value)
