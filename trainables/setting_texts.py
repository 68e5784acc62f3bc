"""Settings as names and texts: what reports, curves and messages show of them."""

from collections.abc import Container, Iterator
from typing import Any

from trainables.cell import Cell


def list_settings(cell: Cell, left_out: Container[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield name and text of a training's settings, nested ones with dots, without those whose first name is left out."""
    for name, value in flatten_settings({**cell.task_settings, **cell.method_settings}):
        if name.split(".")[0] not in left_out:
            yield name, format_setting(value)


def list_differences(cell: Cell, other: Cell) -> list[str]:
    """Return the names of the settings and of the roles' data in which two trainings differ. A method's version is one of them."""
    mine, others = dict(list_settings(cell)), dict(list_settings(other))
    names = [name for name in mine | others if mine.get(name) != others.get(name)]
    prints = [{role: data.fingerprint for role, data in each.data.items()} for each in (cell, other)]
    names += [f"data of {role}" for role in prints[0] | prints[1] if prints[0].get(role) != prints[1].get(role)]
    return names + ["version"] * (cell.version != other.version)


def format_setting(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return f"({', '.join(format_setting(each) for each in value)})"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value) if value or value == 0 else "none"


def flatten_settings(settings: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of each setting, nested ones with dots."""
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flatten_settings(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
