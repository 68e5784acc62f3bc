"""Reads several run folders as the trainings of one report: the folder, or a setting, is what is compared or a further condition."""

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pandas as pd

from platform.compare.differences import describe_differences, get_place, list_differences
from platform.compare.folder_names import name_folders
from platform.report.read_run_folder import read_cells, read_folder
from platform.report.runs_table import Design, Runs
from platform.report.tuning import TUNED
from search_spaces.study import STUDIES, Study
from trainables.cell import Cell
from trainables.registry import BadRequest, make_unknown_error
from trainables.setting_texts import flatten_settings
from trainables.storage.store import RunFolder

RUN = "run"
"""the axis of the folders"""


@dataclass(frozen=True)
class RunPart:
    """One of the folders."""

    name: str
    folder: RunFolder
    cells: list[Cell]
    runs: Runs


def read_runs(folders: list[RunFolder], by: str | None, as_condition: bool) -> Runs:
    """Return the trainings of all folders. Raises BadRequest, which says why, for folders that cannot be compared.

    `by` is a setting or an axis whose values are compared; None: the folders are. With `as_condition` the study's own arms stay compared,
    and the folder or the setting is a further condition.
    """
    study, parts = _read_parts(folders)
    for a, b in combinations(parts, 2):
        _check_test_images(a, b, by)
    axis = by or RUN
    columns = [_get_column(part, study, axis, by) for part in parts]
    if by and len({str(value) for column in columns for value in column if value is not None}) < 2:
        differing = dict.fromkeys(name for a, b in combinations(parts, 2) for name in list_differences(a.cells, b.cells))
        rest = f"; they differ in {', '.join(differing)}" if differing else ""
        raise BadRequest(f"--by {by}: it has one value in all of these runs{rest}")
    frames = [part.runs.table.assign(**{axis: column}) for part, column in zip(parts, columns, strict=True)]
    table = pd.concat(frames, ignore_index=True)
    if TUNED in table:  # only runs of found settings have this column
        table[TUNED] = table[TUNED].eq(True)
    results = [result for part in parts for result in part.runs.results or []]
    owners = [part for part in parts for _ in part.cells]
    design = _make_design(parts[0].runs.design, axis, as_condition, study, parts)
    keep, notes = _select_rows(table, design, axis, owners, [cell for part in parts for cell in part.cells])
    return Runs(
        design,
        table.iloc[keep].reset_index(drop=True),
        [*_describe_parts(parts, by), *notes],
        [results[row] for row in keep],
        _join_data(parts),
        list(dict.fromkeys(sentence for part in parts for sentence in part.runs.readings)),
    )


def _read_parts(folders: list[RunFolder]) -> tuple[Study, list[RunPart]]:
    names = name_folders([folder.uri for folder in folders])
    if len(set(names)) < len(names):
        raise BadRequest(f"{folders[0].uri}: a run folder is named twice")
    cells = [read_cells(folder) for folder in folders]
    studies = [part[0].study for part in cells]
    for folder, name in zip(folders, studies, strict=True):
        if name != studies[0]:
            raise BadRequest(f"{folders[0].uri} is a run of {studies[0]} and {folder.uri} one of {name}: one report is of one study")
    study: Study = STUDIES.find(studies[0])(cells[0][0].scale)  # type: ignore[arg-type]
    parts = [RunPart(name, folder, part, read_folder(folder, study)) for name, folder, part in zip(names, folders, cells, strict=True)]
    metric = parts[0].runs.design.metric
    for part in parts:
        done = part.runs.table[part.runs.table["state"] == "done"]
        if not len(done):
            raise BadRequest(f"{part.folder.uri}: none of its {len(part.cells)} trainings is done; python -m platform.grid trains them")
        if not done[metric].notna().any():
            held = ", ".join(str(name) for name in done if str(name).startswith("test/") and done[name].notna().any())
            raise BadRequest(f"{part.folder.uri}: its results hold no {metric}, which is compared; they hold {held or 'no test score'}")
    return study, parts


def _check_test_images(a: RunPart, b: RunPart, by: str | None) -> None:
    """Raise BadRequest if trainings at the same place were tested on other images, or if the data differ and no place is shared."""
    ours, theirs = (
        {get_place(cell, by): (cell, split) for cell, split in zip(part.cells, part.runs.table["split_hash"], strict=True) if split}
        for part in (a, b)
    )
    shared = [place for place in ours if place in theirs]
    other = [place for place in shared if ours[place][1] != theirs[place][1]]
    if not other and shared:
        return
    differing = {
        role for role, data in a.cells[0].data.items() if role in b.cells[0].data and data.fingerprint != b.cells[0].data[role].fingerprint
    }
    if not other and not differing:
        return
    why = f"; the data of {' and '.join(sorted(differing))} differ" if differing else ""
    if not why:
        why = f"; they differ in {describe_differences(list_differences([ours[other[0]][0]], [theirs[other[0]][0]], by)) or 'no setting'}"
    what = f"in {len(other)} of {len(shared)} trainings that both have, such as {ours[other[0]][0].name}" if other else "in all trainings"
    raise BadRequest(f"{a.folder.uri} and {b.folder.uri} have other test images {what}{why}: their scores cannot be compared")


def _get_column(part: RunPart, study: Study, axis: str, by: str | None) -> list[Any]:
    """Return the value that each training has on the axis; None if it has no such setting."""
    if by is None:
        return [part.name] * len(part.cells)
    if by == study.replicated:
        raise BadRequest(f"--by {by}: it tells repetitions apart, which are not compared")
    if by in study.axes:
        return [cell.axes[by] for cell in part.cells]
    settings = [dict(flatten_settings({**cell.task_settings, **cell.method_settings})) for cell in part.cells]
    if not any(by in each for each in settings):
        raise make_unknown_error(f"setting of {study.name}", by, {*study.axes, *(name for each in settings for name in each)})
    return [None if (value := each.get(by)) is None else value if isinstance(value, str | int | float) else str(value) for each in settings]


def _make_design(design: Design, axis: str, as_condition: bool, study: Study, parts: list[RunPart]) -> Design:
    """Return the design of a report in which the folder or setting is compared, or is a further condition of the study's own."""
    heading = f"{design.title}: {', '.join(part.name for part in parts)}"
    further = [name for name in (study.compared, *design.conditions) if name != axis]
    design = replace(design, title=heading, published=(), printed=(), confusions=(), fewer=None, pictured={})
    if as_condition:
        if axis == study.compared:
            raise BadRequest(f"--by {axis}: it is what the study compares, so it cannot be a condition; leave --condition out")
        return replace(design, conditions=(axis, *(name for name in design.conditions if name != axis)))
    claims = design.claims if axis == study.compared else ()
    return replace(
        design,
        compared=axis,
        conditions=tuple(further),
        along=design.along if design.along in further else None,
        claims=claims,
        contrasts=design.contrasts if axis == study.compared else (),
        baseline=design.baseline if axis == study.compared else parts[0].name if axis == RUN else None,
    )


def _select_rows(table: pd.DataFrame, design: Design, axis: str, owners: list[RunPart], cells: list[Cell]) -> tuple[list[int], list[str]]:
    """Return the rows of the report and what was left out: trainings without the setting, and the same training of a second folder."""
    places: dict[tuple[Any, ...], int] = {}
    keep, without, repeated = [], 0, 0
    identity = [design.compared, *design.conditions, design.replicated]
    for row, place in enumerate(table[identity].astype(str).itertuples(index=False, name=None)):
        if pd.isna(table[axis].iloc[row]):
            without += 1
            continue
        if (first := places.setdefault(place, row)) == row:
            keep.append(row)
            continue
        if cells[first].key != cells[row].key:
            differing = describe_differences(list_differences([cells[first]], [cells[row]], axis))
            both = (
                f"{owners[first].folder.uri} and {owners[row].folder.uri} both have {cells[row].name} with {axis}={table[axis].iloc[row]}"
            )
            raise BadRequest(f"{both}, and differ in {differing or 'their data'}: compare by that, or compare the folders without --by")
        if table["state"].iloc[row] == "done" and table["state"].iloc[first] != "done":
            keep[keep.index(first)] = places[place] = row
        repeated += 1
    notes = [f"{without} trainings have no setting {axis}, and are left out"] if without else []
    return keep, notes + ([f"{repeated} trainings are in two of the folders: each counts once"] if repeated else [])


def _describe_parts(parts: list[RunPart], by: str | None) -> list[str]:
    """Return notes on what the folders are, in what they differ, and what is noted in each."""
    notes = [f"{part.name}: {part.folder.uri}, {part.cells[0].scale} scale" for part in parts]
    for a, b in combinations(parts, 2):
        found = list_differences(a.cells, b.cells, by)
        besides = {name: pair for name, pair in found.items() if name != by}
        names = f"{a.name} and {b.name}"
        if by and besides:
            notes.append(f"warning: besides {by}, {names} differ in {describe_differences(besides)}; all of it is compared together")
        elif not by:
            notes.append(
                f"{names} differ in {describe_differences(found) or 'no setting, version or data of the trainings that both have'}"
            )
    for part in parts:
        if part.runs.plan:
            notes.append(f"warning: {part.name} added seeds until its claims were decided; tests here take the number of seeds as fixed")
        notes += [f"{part.name}: {note}" for note in part.runs.notes]
    return notes


def _join_data(parts: list[RunPart]) -> dict[str, dict[str, Any]]:
    """Return the data of each role; a role whose data differ between folders stands once for each folder."""
    joined: dict[str, dict[str, Any]] = {}
    for part in parts:
        for role, data in part.runs.data.items():
            same = role not in joined or joined[role]["fingerprint"] == data["fingerprint"]
            joined.setdefault(role if same else f"{role} ({part.name})", data)
    return joined
