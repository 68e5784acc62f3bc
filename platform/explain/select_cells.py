"""Selection of the cells whose networks are explained: the study's pictures, unless the user asks for other arms or values."""

from collections.abc import Sequence

from platform.cli.study_options import parse_pair
from search_spaces.pictures import choose_value
from search_spaces.study import Study, match_value
from trainables.cell import Cell, Value
from trainables.registry import BadRequest, make_unknown_error
from trainables.storage.store import RunFolder

Condition = dict[str, Value]
Narrowed = dict[str, tuple[Value, ...]]
"""by axis: the values that the user asked for"""
REPLICATES = 10
"""number of replicates that are shown, the columns of a sheet; more only if the user names them"""


def narrow_cells(cells: list[Cell], study: Study, only: Sequence[str]) -> tuple[list[Cell], Narrowed]:
    """Return the cells that the options name, each AXIS=V,V, and what they name. BadRequest for an unknown axis or value."""
    narrowed: Narrowed = {}
    for option in only:
        axis, choices = parse_pair("--only", option, "AXIS=V,V")
        if axis not in cells[0].axes:
            raise make_unknown_error(f"axis of {study.name}", axis, cells[0].axes)
        known = list(dict.fromkeys(cell.axes[axis] for cell in cells))
        wanted = {match_value(axis, known, text) for text in choices.split(",")}
        narrowed[axis] = tuple(value for value in known if value in wanted)
        cells = [cell for cell in cells if cell.axes[axis] in wanted]
    return cells, narrowed


def choose_cells(folder: RunFolder, study: Study, only: Sequence[str], together: bool) -> tuple[list[Cell], Condition, Narrowed, list[str]]:
    """Return the finished cells that have kept their parameters, at one condition; that condition, what the user named, and remarks.

    With `together`, the axis of the study's columns is left open if it has several values. BadRequest if there are no such cells.
    """
    pictures = study.pictures
    done, with_parameters = folder.list_done(), folder.list_kept()
    cells = folder.get_shown_cells()
    if not cells:
        raise BadRequest(f"{folder.uri}: no run here (grid.json is missing or names no cell); python -m platform.grid makes one")
    cells, narrowed = narrow_cells(cells, study, only)
    condition: Condition = {}
    unshown: list[str] = []
    for axis in study.condition_axes:
        values = list(dict.fromkeys(cell.axes[axis] for cell in cells))
        if together and axis == pictures.columns and len(values) > 1:
            continue
        condition[axis] = choose_value(values, pictures.condition.get(axis))
        if len(narrowed.get(axis, ())) > 1:
            unshown.append(
                f"of --only {axis}={','.join(map(str, narrowed[axis]))} only {condition[axis]} is drawn: name one value at a time"
            )
        cells = [cell for cell in cells if cell.axes[axis] == condition[axis]]
    if study.compared not in narrowed:
        pictured = [cell for arm in pictures.arms for cell in cells if cell.axes[study.compared] == arm]
        cells = pictured or cells
    ready = [cell for cell in cells if cell.key in done & with_parameters and folder.has_parameters(cell.key)]
    if not ready:
        if not done & {cell.key for cell in cells}:
            raise BadRequest(f"{folder.uri}: of {len(cells)} trainings asked for none is finished; python -m platform.grid trains them")
        raise BadRequest(
            f"{folder.uri}: of {len(cells)} trainings asked for none has kept its parameters; "
            "train them in another folder (python -m platform.grid --runs DIR) with --keep best"
        )
    missing = len(cells) - len(ready)
    notes = [*unshown, *([f"{missing} of {len(cells)} trainings are not finished or have kept no parameters: left out"] if missing else [])]
    present = {cell.axes[study.replicated] for cell in ready}
    if len(present) > REPLICATES and study.replicated not in narrowed:
        first = [value for value in dict.fromkeys(cell.axes[study.replicated] for cell in cells) if value in present][:REPLICATES]
        ready = [cell for cell in ready if cell.axes[study.replicated] in first]
        notes.append(f"the first {REPLICATES} of {len(present)} {study.replicated}s; --only {study.replicated}=V,V shows others")
    return ready, condition, narrowed, notes
