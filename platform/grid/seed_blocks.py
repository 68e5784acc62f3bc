"""Selects the trainings of a grid that adds seeds in blocks: those that the open claims need up to the next look.

The selection depends on the plan and the run folder alone, so an interrupted grid makes the same looks when it is resumed.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from platform.launch.unfinished_cells import list_cells_to_train
from platform.report.read_run_folder import make_design, make_row, make_table
from platform.report.runs_table import Runs
from platform.report.sequential_claims import Looks, count_seeds, follow_claims, list_needed_points
from platform.report.sequential_plan import SequentialPlan, put_failures, read_failures
from platform.report.tuning import write_tuned
from platform.terminal.progress import format_count
from search_spaces.study import Study
from trainables.cell import Cell
from trainables.storage.store import RunFolder


class BlockCells:
    """The cells of a grid by claim. `cells` are those of all seeds up to the maximum; parents come before their children."""

    def __init__(self, study: Study, cells: Sequence[Cell], plan: SequentialPlan) -> None:
        self.study, self.cells, self.plan = study, list(cells), plan
        runs = self.make_runs({})
        by_point: dict[tuple[Any, ...], list[Cell]] = {}
        for cell in cells:
            if not study.is_prerequisite(cell):
                point = (str(cell.axes[study.compared]), *(cell.axes[axis] for axis in study.condition_axes))
                by_point.setdefault(point, []).append(cell)  # in the order of the seeds
        self._of_claims = [
            [by_point[arm, *condition.values()] for arm, condition in list_needed_points(runs, planned)] for planned in plan.claims
        ]
        self.most = len(self.select_cells([plan.design.most] * len(plan.claims)))
        """the number of trainings if every claim stays open, with prerequisites"""

    def make_runs(self, rows: dict[str, dict[str, Any]]) -> Runs:
        """Return all trainings as Runs. `rows` holds, by key, the rows of those that have ended."""
        design, blank = make_design(self.study), {"state": "missing", "reason": "", "split_hash": ""}
        shown = [cell for cell in self.cells if not self.study.is_prerequisite(cell)]
        table = make_table(design, [rows.get(cell.key) or {"key": cell.key, **cell.axes, **blank} for cell in shown])
        return Runs(design, table, plan=self.plan)

    def select_cells(self, seeds: Sequence[int]) -> list[Cell]:
        """Return the cells that the claims need, and their parents, in the grid's order. `seeds` is the number of seeds of each claim."""
        wanted = {cell.key for lists, number in zip(self._of_claims, seeds, strict=True) for cells in lists for cell in cells[:number]}
        for cell in reversed(self.cells):  # children come after their parents
            if cell.parent and cell.key in wanted:
                wanted.add(cell.parent)
        return [cell for cell in self.cells if cell.key in wanted]


class SeedBlocks:
    """The blocks of a run folder: the looks made so far, and the cells that have been requested."""

    def __init__(self, cells: BlockCells, folder: RunFolder) -> None:
        self.cells, self.folder, self.plan = cells, folder, cells.plan
        self.history: Looks = []
        self.wanted: list[Cell] = []
        self._rows: dict[str, dict[str, Any]] = {}
        """by key, the row of each cell that has ended; such a row is final"""
        self._failed = read_failures(folder)

    def count_ended(self, state: str) -> int:
        """Return the number of requested cells in this state: done or failed."""
        return sum(self._rows.get(cell.key, {}).get("state") == state for cell in self.wanted)

    def advance(self, ended: Sequence[Cell] = ()) -> list[Cell] | None:
        """Make the looks that the ended cells allow, write the cells that are wanted by then to grid.json, and return those to train.

        They come seed by seed, each after its parent. None: no claim is open, or the seeds are at the most. `ended` are the cells of the
        last block: those without a result have failed for good, which is recorded before the look. The failure of another cell may be an
        interruption's: it is trained again.
        """
        done = self.folder.list_done()
        if failed := {cell.key for cell in ended if cell.key not in done and self.folder.get_error(cell.key)}:
            self._failed |= failed
            put_failures(self.folder, self._failed)
        while True:  # a resumed run makes all its looks again
            wanted = self.cells.select_cells(count_seeds(self.plan, self.history))
            self._read_ended(wanted, done)
            history = follow_claims(self.cells.make_runs(self._rows), self.plan)
            if len(history) == len(self.history):
                break
            self.history = history
        if wanted != self.wanted:
            self.wanted = wanted
            study = self.cells.study
            write_tuned(self.folder, study.found)
            self.folder.put_grid(study.name, study.scale, wanted, [cell.key for cell in wanted if study.is_prerequisite(cell)])
        todo = list_cells_to_train([cell for cell in wanted if cell.key not in self._failed], self.folder)
        for cell in todo:
            self.folder.remove("cells", cell.key, "error.json")
        return todo or None

    def _read_ended(self, wanted: list[Cell], done: set[str]) -> None:
        for cell in wanted:
            if cell.key in self._rows:
                continue
            if cell.key in done:
                self._rows[cell.key] = make_row(self.folder, cell, self.folder.get_result(cell.key))
            elif cell.key in self._failed:
                self._rows[cell.key] = make_row(self.folder, cell, None) | {"state": "failed"}

    def describe_look(self) -> str:
        """Return the result of the last look as one line; empty before the first look."""
        if not self.history:
            return ""
        counts = Counter(state.decision for state in self.history[-1])
        found = [f"{counts[decision]} {decision}" for decision in ("better", "worse", "equivalent", "futile") if counts[decision]]
        look = self.plan.design.looks[len(self.history) - 1]
        found.append(f"{counts['open']} of {len(self.plan.claims)} claims open")
        return f"look at {look} {self.plan.replicated}s: {', '.join(found)}"


def describe_aim(plan: SequentialPlan) -> str:
    """Return the condition under which the grid ends."""
    number = len(plan.claims)
    return f"until {format_count(number, 'claim')} {'is' if number == 1 else 'are'} decided"
