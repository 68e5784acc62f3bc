"""Choice of the training that is exported: by key, by name, or the best on validation images."""

from difflib import get_close_matches
from typing import Any, NamedTuple

from platform.report.read_run_folder import make_row, read_cells
from search_spaces.study import STUDIES, Study
from trainables.cell import Cell
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

BEST = "best"
SHORTEST = 4
"""digits of a key that may stand for it"""


class Choice(NamedTuple):
    """A finished training that has kept its parameters."""

    study: Study
    cell: Cell
    result: dict[str, Any]
    how: str
    """why it was chosen, as a sentence; empty if the user named it"""


def choose_training(folder: RunFolder, wanted: str) -> Choice:
    """Return the training of this key or name, or the best one. BadRequest if there is none, or nothing of it can be exported."""
    shown = read_cells(folder)
    study: Study = STUDIES.find(shown[0].study)(shown[0].scale)  # type: ignore[arg-type]
    if wanted == BEST:
        return _choose_best(folder, study, shown)
    cell = _find_cell(folder, shown, wanted)
    result = folder.get_result(cell.key)
    if result is None:
        row = make_row(folder, cell, None)
        raise BadRequest(f"{folder.uri}: {cell.name} {_describe_state(row)}; export another training, or run the grid again")
    if cell.key not in folder.list_kept():
        raise BadRequest(f"{folder.uri}: {cell.name} has kept no parameters; train it in another folder with --keep best")
    return Choice(study, cell, result, "")


def _describe_state(row: dict[str, Any]) -> str:
    return f"has failed ({row['reason']})" if row["state"] == "failed" else f"is not finished ({row['reason']})"


def _choose_best(folder: RunFolder, study: Study, cells: list[Cell]) -> Choice:
    """Return the training with the highest validation score of the study's metric; of several, the first."""
    kept, score = folder.list_kept(), f"val/{study.metric}"
    finished = [(cell, result) for cell in cells if (result := folder.get_result(cell.key))]
    scored = [(cell, result) for cell, result in finished if cell.key in kept and score in result["metrics"]]
    if not scored:
        why = "has kept its parameters; train them in another folder with --keep best" if finished else "is finished"
        raise BadRequest(f"{folder.uri}: none of {len(cells)} trainings {why}")
    cell, result = max(scored, key=lambda pair: pair[1]["metrics"][score])  # the first of equal ones
    how = f"{cell.name} has the highest {score}, {result['metrics'][score]:.4f}, of {len(scored)} trainings"
    if left := len(finished) - len(scored):
        how += f" ({left} others have kept no parameters)"
    if not study.one_validation or study.measures:
        how += "; not all were validated on the same images, so name a training instead if that matters"
    return Choice(study, cell, result, how)


def _find_cell(folder: RunFolder, cells: list[Cell], wanted: str) -> Cell:
    found = [cell for cell in cells if wanted in (cell.key, cell.name)]
    if not found and len(wanted) >= SHORTEST:
        found = [cell for cell in cells if cell.key.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadRequest(f"{folder.uri}: {wanted!r} stands for {len(found)} trainings: {found[0].key}, {found[1].key}; give more digits")
    names = [cell.name for cell in cells]
    near = get_close_matches(wanted, [*names, *(cell.key for cell in cells)], n=3, cutoff=0.4)
    guess = f"did you mean {' or '.join(near)}?" if near else f"the first of {len(names)} is {names[0]} ({cells[0].key})"
    raise BadRequest(f"{folder.uri}: unknown training {wanted!r}; {guess} Keys are in report/runs.csv, and {BEST!r} is one, too")
