"""In which settings, versions and data the trainings of two run folders differ."""

from collections.abc import Iterable, Mapping

from trainables import setting_texts
from trainables.cell import Cell, Value

Place = tuple[tuple[str, Value], ...]
Differences = dict[str, tuple[str, str]]
"""by name: the first pair of values that differ"""


def get_place(cell: Cell, without: str | None = None) -> Place:
    """Return a cell's point of the grid, without one axis."""
    return tuple((axis, value) for axis, value in cell.axes.items() if axis != without)


def list_differences(a: Iterable[Cell], b: Iterable[Cell], without: str | None = None) -> Differences:
    """Return what differs between trainings at the same places."""
    there = {get_place(cell, without): cell for cell in b}
    found: Differences = {}
    for cell in a:
        if other := there.get(get_place(cell, without)):
            for name in setting_texts.list_differences(cell, other):
                if name not in found:
                    found[name] = _get_text(cell, name), _get_text(other, name)
    return found


def _get_text(cell: Cell, name: str) -> str:
    """Return the text of what a name of `setting_texts.list_differences` stands for."""
    if name == "version":
        return str(cell.version)
    if (role := name.removeprefix("data of ")) != name:
        return f"{cell.data[role].title}, {cell.data[role].fingerprint}" if role in cell.data else "none"
    return dict(setting_texts.list_settings(cell)).get(name, "none")


def describe_differences(found: Mapping[str, tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({a}, {b})" for name, (a, b) in found.items())
