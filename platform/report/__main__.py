"""Write the report of a run folder or of any table of results."""

if __name__ == "__main__":  # comes first: it forks, which must happen before some imports start threads
    from platform.terminal.supervisor import supervise_command

    supervise_command()

import os
from typing import Annotated

import typer

from platform.cli.command import exit_on_error, run_command


def main(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run folder or its fsspec URI; default: the only one in runs.")
    ] = None,
    table: Annotated[str | None, typer.Option(metavar="FILE", help="Table to report: columns method, seed and a metric.")] = None,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Where a table's report goes.")] = None,
    metric: Annotated[str, typer.Option(help="The table's column that is compared.")] = "test",
    baseline: Annotated[str | None, typer.Option(metavar="METHOD", help="Compare the winner with this method, not the runner-up.")] = None,
    condition: Annotated[str, typer.Option(metavar="COLUMN,COLUMN", help="The table's columns that define conditions.")] = "",
    higher_is_better: Annotated[bool, typer.Option("--higher-is-better/--lower-is-better", help="Direction of the metric.")] = True,
    rope: Annotated[float | None, typer.Option(metavar="X", help="Equivalence margin, in the metric's unit.")] = None,
) -> None:
    """Write a report and print its path. Exit with code 2 and one line if there is nothing to report on."""
    with exit_on_error(out or run or "runs"):
        # imported here, so that --help and usage errors do not wait for large imports
        from platform.report.build_report_files import build_report_files
        from platform.report.findings import compute_findings
        from platform.report.read_results_table import read_table
        from platform.report.write_report import find_only_run, write_report
        from trainables.registry import BadRequest
        from trainables.storage.store import RunFolder

        if rope is not None and not 0 < rope <= 1e100:
            raise BadRequest(f"--rope {rope:g}: the equivalence margin is a number above 0, in the metric's unit")
        if table is None:
            if out or condition or metric != "test" or not higher_is_better:
                raise BadRequest("--out, --metric, --condition and --lower-is-better need --table FILE; a run has those of its study")
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
