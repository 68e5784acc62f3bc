"""python -m platform.report [RUN]: a run folder as one page, one table and one file of data. Reads results; trains nothing."""

import csv
import io
import json
import math
import sys
from dataclasses import fields, is_dataclass
from typing import Annotated, Any

import fsspec
import typer

from platform.reporting import page, tables
from platform.reporting.tables import Grid, Outcome
from search_spaces.study import STUDIES, Study
from trainables.cell import Cell
from trainables.registry import BadRequest
from trainables.store import RunFolder


def write(folder: RunFolder, study: Study | None = None) -> str:
    """Write RUN/report/{index.html, runs.csv, report.json}; the path of the page. BadRequest where there is no run to report on."""
    grid = gather(folder, study)
    content = contents(grid)
    folder.put(runs_csv(grid.outcomes).encode(), "report", "runs.csv")
    folder.put((json.dumps(plain(content), indent=1, allow_nan=False) + "\n").encode(), "report", "report.json")
    folder.put(page.render(grid, content).encode(), "report", "index.html")
    return folder.path("report", "index.html")


def gather(folder: RunFolder, study: Study | None = None) -> Grid:
    """What became of every cell of a run's grid.json; the study is found by its name unless it is given."""
    try:
        cells = folder.grid()
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"{folder.path('grid.json')}: is no grid ({error}); the same python -m platform.grid writes it anew") from None
    if not cells:
        raise BadRequest(f"{folder.uri}: no run here (grid.json is missing or names no cell); python -m platform.grid makes one")
    study = study or STUDIES.find(cells[0].study)(cells[0].scale)  # type: ignore[arg-type]
    return Grid(study, [outcome(folder, cell) for cell in cells])


def outcome(folder: RunFolder, cell: Cell) -> Outcome:
    """What became of a cell, from its files alone."""
    if result := folder.result(cell.key):
        return Outcome(cell, "done", "", result)
    if error := folder.error(cell.key):
        return Outcome(cell, "failed", error["reason"], None)
    epochs = len(folder.history(cell.key))
    return Outcome(cell, "missing", f"interrupted after {epochs} epochs" if epochs else "not begun", None)


def contents(grid: Grid) -> dict[str, Any]:
    """Everything the page shows, as data."""
    study, data = grid.study, grid.outcomes[0].cell.data
    results = [outcome.result for outcome in grid.outcomes if outcome.result]
    rows, floors = tables.means(grid), tables.baselines(grid)
    return {
        "study": study.name,
        "title": study.title,
        "scale": study.scale,
        "source": study.source,
        "compared": study.compared,
        "replicated": study.replicated,
        "axes": grid.axes,
        "data": {role: {"title": data.title, "source": data.source.text(), "fingerprint": data.fingerprint} for role, data in data.items()},
        "cells": {state: sum(outcome.state == state for outcome in grid.outcomes) for state in ("done", "failed", "missing")},
        "not_done": [
            {"cell": outcome.cell.name, "key": outcome.cell.key, "state": outcome.state, "reason": outcome.reason}
            for outcome in grid.outcomes
            if outcome.state != "done"
        ],
        "seconds": math.fsum(result["seconds"] for result in results),
        "duels": tables.duels(grid),
        "means": rows,
        "baselines": floors,
        "far_below": tables.far_below(grid, rows, floors),
        "answers": tables.answers(grid),
        "confusions": tables.confusions(grid),
        "flags": tables.flags(grid),
        "origins": tables.origins(grid.outcomes),
    }


def runs_csv(outcomes: list[Outcome]) -> str:
    """One row a cell."""
    axes = list(outcomes[0].cell.axes)
    metrics = sorted({metric for outcome in outcomes for metric in (outcome.result or {}).get("metrics", {})})
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["key", *axes, "state", *metrics, "selected_epoch", "split_hash", "flags", "seconds", "reason"])
    for outcome in outcomes:
        result = outcome.result or {}
        numbers = [result.get("metrics", {}).get(metric, "") for metric in metrics]
        rest = [
            result.get("selected_epoch", ""),
            result.get("split_hash", ""),
            "; ".join(result.get("flags", [])),
            result.get("seconds", ""),
        ]
        writer.writerow([outcome.cell.key, *outcome.cell.axes.values(), outcome.state, *numbers, *rest, outcome.reason])
    return buffer.getvalue()


def plain(value: Any) -> Any:
    """Dataclasses and named tuples as dictionaries, what is no number as None: what JSON can hold."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def only_run(runs: str = "runs") -> str:
    """The one run folder under `runs`. BadRequest where there is none, or where there are several."""
    files, root = fsspec.core.url_to_fs(runs)
    found = sorted(path.rsplit("/", 1)[0] for path in files.glob(f"{root}/*/grid.json"))
    if len(found) != 1:
        names = ", ".join(path.rsplit("/", 1)[1] for path in found)
        raise BadRequest(
            f"which run? {runs} has {names}: python -m platform.report {runs}/NAME" if found else f"no run under {runs}; name one"
        )
    return found[0]


def main(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run folder or its fsspec address; default: the only one in runs.")
    ] = None,
) -> None:
    """Write a run's report and say where it is. Exit 2 with one line where there is no such run."""
    try:
        print(write(RunFolder(run or only_run())))
    except (BadRequest, OSError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
