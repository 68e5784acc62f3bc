"""Which cells of a run folder are still to be trained."""

from trainables.cell import Cell
from trainables.storage.store import RunFolder


def list_cells_to_train(cells: list[Cell], folder: RunFolder) -> list[Cell]:
    """The cells to train. Among them, to be trained once more to the same numbers, parents of such that have kept no parameters."""
    done, kept = folder.list_done(), folder.list_kept()
    todo = {cell.key for cell in cells if cell.key not in done}
    for cell in reversed(cells):  # children stand behind their parents
        if cell.parent and cell.key in todo and cell.parent in done - kept:
            folder.remove("cells", cell.parent, "result.json")
            todo.add(cell.parent)
    return [cell for cell in cells if cell.key in todo]
