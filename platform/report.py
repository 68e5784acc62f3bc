"""python -m platform.report [RUN]: what a grid, or any table of runs, shows and how sure that is. Reads results; trains nothing."""

if __name__ == "__main__":  # as in grid.py
    from platform.supervisor import supervise_command

    supervise_command()


import os
import sys
from dataclasses import replace
from typing import Annotated

import fsspec
import typer

from platform.command import exit_on_error, run_command
from platform.progress import make_printable
from platform.reporting.files import build_report_files
from platform.reporting.findings import compute_findings
from platform.reporting.folder import read_folder
from platform.reporting.freshness import unmark_report
from platform.reporting.table import read_table
from search_spaces.study import Study
from trainables.registry import BadRequest, make_unknown_error
from trainables.store import RunFolder


def write_report(folder: RunFolder, study: Study | None = None, baseline: str | None = None, rope: float | None = None) -> str:
    """Write RUN/report; the path of its page. BadRequest where there is no run to report on.

    `baseline` and `rope` stand in for the study's own. What is damaged and can be left out is, with a line on standard error.
    """
    unmark_report(folder)
    runs = read_folder(folder, study)
    if baseline is not None and baseline not in runs.arms:
        raise make_unknown_error(runs.design.compared, baseline, runs.arms)
    runs.design = replace(runs.design, baseline=baseline or runs.design.baseline, rope=rope or runs.design.rope)
    found = compute_findings(runs, folder)
    for name, data in build_report_files(runs, found).items():
        folder.put(data, "report", name)
    for line in found.damaged:
        print(make_printable(line), file=sys.stderr)
    return folder.get_path("report", "index.html")


def find_only_run(runs: str = "runs") -> str:
    """The one run folder under `runs`. BadRequest where there is none, or where there are several."""
    found_in, root = fsspec.core.url_to_fs(runs)
    found = sorted(path.rsplit("/", 1)[0] for path in found_in.glob(f"{root}/*/grid.json"))
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
    table: Annotated[str | None, typer.Option(metavar="FILE", help="Report any tidy table (method, seed, a metric) instead.")] = None,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Where a table's report goes.")] = None,
    metric: Annotated[str, typer.Option(help="The table's column that is compared.")] = "test",
    baseline: Annotated[str | None, typer.Option(metavar="METHOD", help="Hold the winner against this one, not its runner-up.")] = None,
    condition: Annotated[str, typer.Option(metavar="COLUMN,COLUMN", help="The table's columns under which methods are compared.")] = "",
    higher_is_better: Annotated[bool, typer.Option("--higher-is-better/--lower-is-better")] = True,
    rope: Annotated[float | None, typer.Option(metavar="X", help="A difference too small to matter, in the metric's unit.")] = None,
) -> None:
    """Write a report and say where it is. Exit 2 with one line where there is nothing to report on."""
    with exit_on_error(out or run or "runs"):
        if rope is not None and not rope > 0:
            raise BadRequest(f"--rope {rope:g}: a difference too small to matter is above 0")
        if table is None:
            if out or condition or metric != "test" or not higher_is_better:
                raise BadRequest("--out, --metric, --condition and --lower-is-better go with --table FILE; a run's study says its own")
            print(write_report(RunFolder(run or find_only_run()), baseline=baseline, rope=rope))
            return
        if run is not None or out is None:
            raise BadRequest("--table FILE needs --out DIR for its report" + (", and no RUN" if run else ""))
        conditions = [name.strip() for name in condition.split(",") if name.strip()]
        runs = read_table(table, metric, conditions, baseline, higher_is_better, rope)
        folder = RunFolder(out)
        for name, data in build_report_files(runs, compute_findings(runs)).items():
            folder.put(data, name)
        print(os.path.join(out, "index.html"))


if __name__ == "__main__":
    run_command(main)
