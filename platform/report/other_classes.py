"""Grids that are trained with other classes than the paper's, because a data set lacks some, or because the user chose."""

from search_spaces.study import STUDIES, Study, list_classes
from trainables.cell import Cell, Data, Value


def describe_other_classes(study: Study, cells: list[Cell]) -> list[str]:
    """Return a line for each way in which the cells' classes differ from the study's own."""
    registered = STUDIES.find(study.name)(study.scale) if study.name in STUDIES.import_all() else study
    unknown = {role: Data(source, "", "") for role, source in registered.roles.items()}
    own = {_drop_seed(study, cell): list_classes(cell.task_settings) for cell in registered.with_seeds(1).make_cells(unknown)}
    lines: dict[str, None] = {}
    for cell in cells:
        ours, theirs = list_classes(cell.task_settings), own.get(_drop_seed(study, cell), [])
        if ours and theirs and ours != theirs:
            missing, further = [name for name in theirs if name not in ours], [name for name in ours if name not in theirs]
            changes = [f"without {', '.join(missing)}"] * bool(missing) + [f"with {', '.join(further)}"] * bool(further)
            if changes:
                counts = f"{len(ours)} instead of the paper's {len(theirs)}"
                lines[f"other classes: {counts}, {', '.join(changes)}; the paper's numbers are of other classes"] = None
    return list(lines)


def _drop_seed(study: Study, cell: Cell) -> tuple[tuple[str, Value], ...]:
    return tuple((axis, value) for axis, value in cell.axes.items() if axis != study.replicated)
