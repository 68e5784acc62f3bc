"""What a run folder holds beyond the grid of a page: trainings of earlier commands with other axis values or other settings."""

from collections import Counter
from collections.abc import Sequence

from trainables.cell import Cell
from trainables.setting_texts import list_differences
from trainables.storage.store import RunFolder

MOST_READ = 2000
"""trainings beyond the grid that are read to tell how they differ"""
MOST_TOLD = 3


def describe_other_trainings(folder: RunFolder, cells: Sequence[Cell]) -> str:
    """Return a sentence on the finished trainings of the study that no cell of the grid is; empty if there are none."""
    own = {cell.key for cell in folder.get_cells()}
    keys = sorted(folder.list_cells_with("result.json") - own)
    others = [other for key in keys[:MOST_READ] if (other := _read_cell(folder, key)) and other.axes.keys() == cells[0].axes.keys()]
    by_point = {tuple(cell.axes.values()): cell for cell in cells}
    values = {axis: {cell.axes[axis] for cell in cells} for axis in cells[0].axes}
    counts: Counter[str] = Counter()
    arms = values[next(iter(values))]
    for other in others:
        outside = [axis for axis, value in other.axes.items() if value not in values[axis]]
        if next(iter(other.axes.values())) not in arms and other.task != cells[0].task:
            continue  # a network that others start from
        twin = by_point.get(tuple(other.axes.values()))
        names = list_differences(other, twin) if twin else []
        counts[", ".join(outside or names) or "the combination of axis values"] += 1
    if not counts:
        return ""
    differ = "; ".join(f"{count:,} in {what}" for what, count in counts.most_common(MOST_TOLD))
    more = f", and {len(counts) - MOST_TOLD} other ways" if len(counts) > MOST_TOLD else ""
    total = len(cells) + counts.total() + len(keys[MOST_READ:])
    return f"This page covers {len(cells):,} of {total:,} trainings in this folder. The others differ: {differ}{more}."


def _read_cell(folder: RunFolder, key: str) -> Cell | None:
    try:
        return Cell.from_json(folder.get_json("cells", key, "cell.json"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
