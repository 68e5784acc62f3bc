"""The cells of a run folder that are still to be trained."""

from trainables.cell import Cell
from trainables.storage.store import RunFolder


def list_cells_to_train(cells: list[Cell], folder: RunFolder) -> list[Cell]:
    """Return the cells to train. They include finished parents of such cells whose parameters were not kept, or are not as they were.

    These parents are trained again, to the same numbers. A parent's cell.json, which its children read, is written again if it is damaged.
    """
    done = folder.list_done()
    todo = {cell.key for cell in cells if cell.key not in done}
    by_key = {cell.key: cell for cell in cells}
    usable: dict[str, bool] = {}
    for cell in reversed(cells):  # children come after their parents
        if cell.key not in todo or cell.parent not in done:
            continue
        parent = by_key.get(cell.parent)
        if parent and cell.parent not in usable:
            usable[cell.parent] = folder.has_parameters(cell.parent)
            if not folder.get_object("cells", cell.parent, "cell.json"):
                folder.put_cell(parent)
        if parent and not usable[cell.parent]:
            folder.remove("cells", cell.parent, "result.json")
            todo.add(cell.parent)
    return [cell for cell in cells if cell.key in todo]
