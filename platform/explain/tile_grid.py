"""A grid of pictures with the names of its rows and columns; one or several of them, with notes below, make a sheet."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from platform.explain.sheets import GAP, INK, LINE, NEUTRAL, SOFT, TILE, Sheet, measure_text

Name = tuple[str, ...]
"""lines of text; in a row's name, the lines after the first are small"""


@dataclass(frozen=True)
class Tile:
    """A picture uint8 [h, w, 3] with a line of text below it."""

    picture: np.ndarray
    text: str = ""
    border: str = ""
    dashed: bool = False


@dataclass
class TileGrid:
    """Tiles by row and column; places may be empty."""

    title: str
    rows: list[Name]
    columns: list[Name]
    tiles: dict[tuple[int, int], Tile] = field(default_factory=dict)
    said: str = ""
    """small text beside the title"""
    apart: bool = False
    """whether a gap separates the first column from the others: it shows images, and the others maps"""


def lay_out_grids(grids: Sequence[TileGrid], notes: Sequence[str]) -> Sheet:
    """Lay out grids one below the other with their columns aligned, and the notes below them, a line each."""
    sheet, y = Sheet(), 0.9 * LINE
    left = max((_measure_row_name(name) for grid in grids for name in grid.rows), default=0.0) + 2 * GAP
    for grid in grids:
        y = _add_grid(sheet, grid, left, y) + LINE
    for number, note in enumerate(notes):
        sheet.add_text(GAP, y - 0.5 * LINE + number * 0.85 * LINE, note, 9, SOFT)
    return sheet


def _add_grid(sheet: Sheet, grid: TileGrid, left: float, y: float) -> float:
    """Add a grid whose title is at y. Return where it ends."""
    sheet.add_text(GAP, y, grid.title, 13)
    if grid.said:
        sheet.add_text(GAP + measure_text(grid.title, 13) + 2 * GAP, y, grid.said, 10, SOFT)
    xs = [left + column * (TILE + GAP) + 2 * GAP * (grid.apart and column > 0) for column in range(len(grid.columns))]
    names = [tuple(line for part in name for line in _wrap(part)) for name in grid.columns]
    lines = max((len(name) for name in names), default=0)
    y += LINE * (1.2 + 0.8 * lines)
    for x, name in zip(xs, names, strict=True):
        for number, line in enumerate(name):
            sheet.add_text(x + TILE / 2, y - 0.8 * LINE * (len(name) - number), line, 10, SOFT, "m")
    y -= 0.2 * LINE
    captions = any(tile.text for tile in grid.tiles.values())
    for row, name in enumerate(grid.rows):
        for number, line in enumerate(name):
            middle = y + TILE / 2 + (number - (len(name) - 1) / 2) * LINE
            sheet.add_text(left - GAP, middle, line, 9 if number else 11, SOFT if number else INK, "r")
        for column, x in enumerate(xs):
            if tile := grid.tiles.get((row, column)):
                sheet.add_tile(x, y, tile.picture, tile.border, tile.dashed)
                if tile.text:
                    sheet.add_text(x + TILE / 2, y + TILE + 0.6 * LINE, tile.text, 9, tile.border or NEUTRAL, "m")
        y += TILE + GAP + LINE * captions
    return y


def _measure_row_name(name: Name) -> float:
    return max((measure_text(line, 9 if number else 11) for number, line in enumerate(name)), default=0.0)


def _wrap(text: str) -> list[str]:
    """Return the text in lines that are no wider than a tile, unless a word is."""
    lines: list[str] = []
    for word in text.split():
        if lines and measure_text(f"{lines[-1]} {word}", 10) <= TILE:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
