"""Compare several run folders of a study in one report.

Trainings are paired by split: folder against folder, or by a setting that differs.
"""

if __name__ == "__main__":  # comes first: it forks, which must happen before some imports start threads
    from platform.terminal.interrupt import end_on_interrupt

    end_on_interrupt()
    from platform.terminal.supervisor import supervise_command

    supervise_command()

from typing import Annotated

import typer

from platform.cli.command import exit_on_error, run_command


def main(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="run folders or their fsspec URIs")],
    by: Annotated[
        str | None, typer.Option(metavar="SETTING", help="compare the values of a setting or axis, e.g. encoder; default: the folders")
    ] = None,
    condition: Annotated[
        bool, typer.Option("--condition", help="keep comparing the study's methods; the folder or setting is a further condition")
    ] = False,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="where the report goes; default: compare-RUN-RUN beside the first")] = None,
) -> None:
    """Write a report and print its path. Exit with code 2 and one line if the runs cannot be compared."""
    with exit_on_error(out or runs[0]):
        # imported here, so that --help and usage errors do not wait for large imports
        from platform.compare.write_comparison import write_comparison
        from trainables.registry import BadRequest
        from trainables.storage.store import RunFolder

        if len(runs) < 2:
            raise BadRequest(f"{runs[0]}: two run folders or more are compared; python -m platform.report writes the report of one")
        print(write_comparison([RunFolder(run) for run in runs], by, condition, out))


if __name__ == "__main__":
    run_command(main)
