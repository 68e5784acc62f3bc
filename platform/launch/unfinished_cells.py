"""The cells of a run folder that are still to be trained."""

from trainables.cell import Cell
from trainables.storage.store import RunFolder


def list_cells_to_train(cells: list[Cell], folder: RunFolder) -> list[Cell]:
    """Return the cells to train. They include finished parents of such cells whose parameters were not kept.

    These parents are trained again, to the same numbers.
    """
    done, with_parameters = folder.list_done(), folder.list_kept()
    todo = {cell.key for cell in cells if cell.key not in done}
    for cell in reversed(cells):  # children come after their parents
        if cell.parent and cell.key in todo and cell.parent in done - with_parameters:
            folder.remove("cells", cell.parent, "result.json")
            todo.add(cell.parent)
    return [cell for cell in cells if cell.key in todo]
