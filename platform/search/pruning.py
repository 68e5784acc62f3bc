"""How far a suggestion's trainings are, and which rungs of a scheduler they reach."""

from statistics import mean
from typing import Any

from trainables.cell import Cell
from trainables.registry import BadRequest

SCHEDULERS = ("none", "asha")


class SuggestionProgress:
    """How far the trainings of a suggestion are. They run one after another, one per seed."""

    def __init__(self, cells: list[Cell], metric: str, passed: int = 0) -> None:
        """`passed` is the number of epochs at which the suggestion has passed its last rung, before a search was resumed."""
        self.keys, self.metric = [cell.key for cell in cells], f"val/{metric}"
        self.epochs = count_epochs(cells[0])
        """of one training"""
        self._read = dict.fromkeys(self.keys, 0)
        """rows of each history that have been read"""
        self._best: dict[str, float] = {}
        """by training: the best score so far"""
        self._passed = passed

    def read_rows(self, key: str, rows: list[dict[str, Any]]) -> list[tuple[int, float, float]]:
        """Return (epochs of all trainings, rung, score) for each rung that these rows of a training's history reach, but for the end.

        The score is the mean over the trainings of the best epoch so far. Rows that were read before are left out.
        """
        from platform.launch.asha import find_rung  # it imports Ray Tune, which takes a second

        reached = []
        for row in rows:
            if row["step"] < self._read[key] or self.metric not in row:
                continue
            self._read[key] = row["step"] + 1
            self._best[key] = max(row[self.metric], self._best.get(key, row[self.metric]))
            epochs = self.keys.index(key) * self.epochs + row["epoch"] + 1
            if find_rung(self._passed, self.epochs) < (rung := find_rung(epochs, self.epochs)) < len(self.keys):
                self._passed = epochs
                reached.append((epochs, rung, mean(self._best.values())))
        return reached

    def misses_rows(self, key: str, row: dict[str, Any]) -> bool:
        """Return whether rows before this one have not been read."""
        return bool(row["step"] > self._read[key])


def count_epochs(cell: Cell) -> int:
    """Return the epochs of a training. BadRequest if its method has none, so that nothing could be stopped early."""
    epochs = cell.method_settings.get("epochs")
    if not isinstance(epochs, int):
        raise BadRequest(f"--scheduler asha: method {cell.method} of {cell.axes} reports no epochs; use --scheduler none")
    return epochs
