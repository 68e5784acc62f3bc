"""Write the report of a run folder."""

import sys
from dataclasses import replace

import fsspec

from platform.report.files import build_report_files
from platform.report.findings import compute_findings
from platform.report.folder import read_folder
from platform.report.freshness import unmark_report
from platform.terminal.progress import make_printable
from search_spaces.study import Study
from trainables.registry import BadRequest, make_unknown_error
from trainables.storage.store import RunFolder


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
