"""Writes the report of a run folder."""

import sys
from dataclasses import replace

import fsspec

from platform.report.build_report_files import build_report_files
from platform.report.findings import compute_findings
from platform.report.freshness import unmark_report
from platform.report.read_run_folder import read_folder
from platform.terminal.progress import make_printable
from search_spaces.study import Study
from trainables.registry import BadRequest, make_unknown_error
from trainables.storage.store import RunFolder


def write_report(
    folder: RunFolder, study: Study | None = None, baseline: str | None = None, rope: float | None = None, anonymous: bool = True
) -> str:
    """Write RUN/report and return the path of its page. Raises BadRequest if there is no run to report on.

    `baseline` and `rope` replace the study's own. Damaged files that can be left out are, each with a line on standard error. An
    `anonymous` report tells neither paths nor names of machines.
    """
    unmark_report(folder)
    runs = read_folder(folder, study, anonymous)
    if baseline is not None and baseline not in runs.arms:
        raise make_unknown_error(runs.design.compared, baseline, runs.arms)
    if rope is not None and runs.plan:
        raise BadRequest(f"--rope {rope:g}: the margin of {folder.uri} was fixed before its first training (sequential.json)")
    runs.design = replace(runs.design, baseline=baseline or runs.design.baseline, rope=rope or runs.design.rope)
    findings = compute_findings(runs, folder)
    folder.put_described("report", build_report_files(runs, findings), replace=True)
    for line in findings.damaged:
        print(make_printable(line), file=sys.stderr)
    return folder.get_path("report", "index.html")


def find_only_run(runs: str = "runs") -> str:
    """Return the one run folder under `runs`. Raises BadRequest if there is none, or if there are several."""
    filesystem, root = fsspec.core.url_to_fs(runs)
    paths: list[str] = sorted(path.rsplit("/", 1)[0] for path in filesystem.glob(f"{root}/*/grid.json"))
    if len(paths) != 1:
        names = ", ".join(path.rsplit("/", 1)[1] for path in paths)
        if not paths:
            raise BadRequest(f"no run in {runs}/ yet: python -m platform.grid")
        raise BadRequest(f"{runs} has several run folders ({names}); name one: {runs}/NAME")
    return paths[0]
