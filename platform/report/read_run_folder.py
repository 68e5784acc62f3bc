"""Reads runs from a run folder of ferray, and what only such runs have: warnings and provenance."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from platform.report.other_classes import describe_other_classes
from platform.report.other_trainings import describe_other_trainings
from platform.report.readings import describe_readings
from platform.report.runs_table import Design, Runs
from platform.report.sequential_plan import read_failures, read_plan
from platform.report.settings_summary import summarise_settings
from platform.report.training_amounts import IMAGES, STEPS
from platform.report.tuning import TUNED, describe_tuning, is_tuned, read_tuned
from search_spaces.study import STUDIES, Study
from trainables.cell import Cell
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder


@dataclass(frozen=True)
class Flag:
    """A kind of warning and, by arm, the trainings that have it."""

    kind: str
    cells: dict[str, list[str]]


@dataclass(frozen=True)
class Origin:
    """An item of provenance, and the number of results that have each of its values."""

    fact: str
    values: dict[str, int]
    suspect: bool
    """it differs between results that are compared, or it indicates uncommitted code"""


PROCESS = ("pid", "trial", "rank", "tried", "slot_pid", "driver_pid")
"""provenance that belongs to a single process"""


def make_design(study: Study) -> Design:
    return Design(
        title=study.title,
        source=study.source,
        compared=study.compared,
        replicated=study.replicated,
        conditions=tuple(study.condition_axes),
        along=study.largest,
        at_largest=study.largest is not None,
        metric=f"test/{study.metric}",
        selector=f"val/{study.metric}" if study.one_validation else None,
        secondary="test/balanced_accuracy" if study.metric == "accuracy" else None,
        rope=study.rope,
        baseline=study.baseline,
        measures=study.measures,
        published=study.published,
        claims=study.claims,
        printed=study.printed,
        confusions=study.confusions,
        fewer=study.fewer,
        contrasts=study.contrasts,
        pictured=study.pictures.condition if study.confusions else {},
        study=study.name,
        scale=study.scale,
    )


def read_folder(folder: RunFolder, study: Study | None = None) -> Runs:
    """Read the state and result of every cell of a run's grid.json. The study is found by its name unless it is given."""
    cells = read_cells(folder)
    study = study or STUDIES.find(cells[0].study)(cells[0].scale)  # type: ignore[arg-type]
    rows, results = [], []
    cache: dict[str, Any] = {}
    found = read_tuned(folder)
    for cell in cells:
        result = folder.get_result(cell.key)
        tuned = {TUNED: is_tuned(found, str(cell.axes[study.compared]), cell)} if found else {}
        rows.append(make_row(folder, cell, result) | tuned)
        results.append(result and _keep_needed_result(result, cache))
    sources = {role: data for cell in reversed(cells) for role, data in cell.data.items()}
    data = {role: asdict(sources[role]) | {"source": sources[role].source.to_text()} for role in study.roles if role in sources}
    plan = read_plan(folder)
    design, notes = make_design(study), describe_other_classes(study, cells)
    if plan:
        seeds, most = f"{design.replicated}s", plan.design.most
        notes.append(
            f"{seeds.capitalize()} are added until each claim is decided, given up, or has {most} {seeds}: only the claims are tested."
        )
        _mark_repeated(rows, read_failures(folder))
    readings = describe_readings(study.readings, cells)
    runs = Runs(design, make_table(design, rows), notes, results, data, readings, summarise_settings(study, cells), plan)
    notes += [*describe_tuning(runs), *filter(None, [describe_other_trainings(folder, cells)])]
    return runs


def _mark_repeated(rows: list[dict[str, Any]], failed: set[str]) -> None:
    """Count the failures that no look has counted as missing: the same command trains them again."""
    for row in rows:
        if row["state"] == "failed" and row["key"] not in failed:
            row |= {"state": "missing", "reason": f"to be trained again: {row['reason']}"}


def make_table(design: Design, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a table of runs, one row for each training, with all columns of metrics that a design needs."""
    table = pd.DataFrame(rows)
    return table.assign(**{name: np.nan for name in (design.metric, design.selector, design.secondary) if name and name not in table})


def read_cells(folder: RunFolder) -> list[Cell]:
    """Return the cells that a run shows. Raises BadRequest if grid.json is missing or damaged."""
    try:
        cells = folder.get_shown_cells()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadRequest(
            f"{folder.get_path('grid.json')}: is not a grid ({error}); the same python -m platform.grid writes it again"
        ) from None
    if not cells:
        raise BadRequest(f"{folder.uri}: no run here (grid.json is missing or names no cell); python -m platform.grid makes one")
    return cells


def make_row(folder: RunFolder, cell: Cell, result: dict[str, Any] | None) -> dict[str, Any]:
    """Return a training's row of a table of runs. `result` is its result, if it has one."""
    row: dict[str, Any] = {"key": cell.key, **cell.axes, "state": "done", "reason": "", "split_hash": ""}
    if result:
        counts = {f"n_{part}": sum(numbers) for part, numbers in result.get("counts", {}).items()}
        trained = {
            f"{kind}{phase}": numbers[name]
            for phase, numbers in result.get("trained", {}).items()
            for kind, name in ((STEPS, "steps"), (IMAGES, "images"))
        }
        other = {"flags": "; ".join(result["flags"]), "seconds": result["seconds"]}
        selected = {name: result[name] for name in ("split_hash", "selected_epoch")}
        return {**row, **selected, **result["metrics"], **counts, **trained, **other}
    if error := folder.get_error(cell.key):
        return row | {"state": "failed", "reason": error["reason"]}
    epochs = len(folder.get_history(cell.key))
    return row | {"state": "missing", "reason": f"interrupted after {epochs} epochs" if epochs else "not begun"}


def _keep_needed_result(result: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a result that a report reads beside the table's row. Equal parts of results are one object in memory."""
    own = {name: result[name] for name in ("confusion", "updated_parameters") if name in result}
    provenance = {fact: value for fact, value in result["provenance"].items() if fact not in PROCESS}
    shared = {name: result[name] for name in ("classes", "counts", "flags", "copies", "split") if name in result} | {
        "provenance": provenance
    }
    return own | {name: known.setdefault(repr(value), value) for name, value in shared.items()}


def list_flags(runs: Runs) -> list[Flag]:
    kinds: dict[str, dict[str, list[str]]] = {}
    for row, result in enumerate(runs.results or []):
        for flag in (result or {}).get("flags", []):
            kind, _, text = flag.partition(": ")
            arm = str(runs.table[runs.design.compared].iloc[row])
            kinds.setdefault(kind, {}).setdefault(arm, []).append(f"{runs.get_training_name(row)}: {text}")
    return [Flag(kind, cells) for kind, cells in sorted(kinds.items())]


ORIGIN_NAMES: dict[str, str] = {"dirty": "uncommitted changes", "world_size": "workers", "arithmetic": "execution"}
"""what a page calls a field of provenance; the last is that of results before 0.1.0"""


def list_origins(runs: Runs) -> list[Origin]:
    """Return where and with what the results were computed. Provenance of a single process stays in its result file."""
    counts: dict[str, Counter[str]] = {}
    for result in filter(None, runs.results or []):
        provenance = dict(result["provenance"])
        packages = {f"package {name}": version for name, version in provenance.pop("packages", {}).items()}
        for fact, value in {**provenance, **packages}.items():
            text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
            counts.setdefault(ORIGIN_NAMES.get(fact, fact), Counter())[text] += 1
    return [
        Origin(
            fact,
            dict(values.most_common()),
            (len(values) > 1 and fact != "host") or (fact == ORIGIN_NAMES["dirty"] and "yes" in values),
        )
        for fact, values in counts.items()
    ]
