"""Faces cut out by a file of boxes or eye positions, which the user makes with a tool of choice."""

from collections.abc import Sequence
from pathlib import Path

from trainables.data.decode import Box, DataError, Item
from trainables.data.files import parse_number, read_columns, resolve_within

BOXES = ("file", "x", "y", "width", "height")
EYES = ("file", "left_x", "left_y", "right_x", "right_y")
"""Columns of a file of landmarks: the centres of the two eyes. It does not matter which one is called left."""
SIDE, BELOW = 2.2, 0.4
"""In units of the distance between the eyes: the side of the square cut out, and the distance of its centre below the eyes."""
FAR = 1e6


def assign_boxes(file: Path, items: Sequence[Item]) -> list[Item]:
    """Return the items, each with its box of the file: a csv of BOXES or of EYES (pixels of the upright picture, files as in `source`).

    Raises DataError if an item has no line in the file, or if a line is invalid.
    """
    boxes = read_boxes(file)
    if missing := [item.file for item in items if item.file not in boxes]:
        raise DataError(f"{file}: {len(missing):,} of {len(items):,} images have no line; the first: {missing[0]}")
    return [item._replace(box=boxes[item.file]) for item in items]


def read_boxes(file: Path) -> dict[str, Box]:
    """Return the box of each file in the table."""
    try:
        eyes = next(iter(read_columns(file, EYES)), None) is not None
    except DataError:
        eyes = False
    boxes: dict[str, Box] = {}
    for line, (name, *rest) in read_columns(file, EYES if eyes else BOXES):
        where = f"{file}, line {line}"
        if (key := resolve_within(name, where)) in boxes:
            raise DataError(f"{where}: {key} is given a second time")
        a, b, c, d = (parse_number(text, where, "coordinate", -FAR, FAR) for text in rest)
        boxes[key] = _box_about_eyes(a, b, c, d, where) if eyes else (a, b, c, d)
    return boxes


def _box_about_eyes(x1: float, y1: float, x2: float, y2: float, where: str) -> Box:
    """Return the square about two eyes. Raises DataError if both are at the same point."""
    distance = ((x1 - x2) ** 2 + (y1 - y2) ** 2) ** 0.5
    if not distance:
        raise DataError(f"{where}: both eyes are in one place")
    side = SIDE * distance
    return (x1 + x2) / 2 - side / 2, (y1 + y2) / 2 + BELOW * distance - side / 2, side, side
