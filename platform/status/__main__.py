"""Show what a grid or a search is doing, from any terminal."""

if __name__ == "__main__":  # must come first: without the environment it is one line
    from platform.terminal.environment import require_environment

    require_environment()

import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from platform.cli.command import exit_on_error, run_command
from platform.status.read_status import RunStatus, read_status
from platform.status.show_status import format_short, format_status
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

REDRAW_S, REPEAT_S = 1.0, 10.0
"""seconds between two readings with --watch, on a terminal and elsewhere"""


def main(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="a run folder or its fsspec URI; default: all in runs, a line each")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="show it again and again until the command has ended")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON: a list with one object per run folder")] = False,
) -> None:
    """Show what is done, running, failed and left, and whether the command lives. Ray is not asked. Exit: 0, or 2 if RUN is none."""
    with exit_on_error(run or "runs"):
        form = format_json if as_json else format_all if run else format_list
        if not watch:
            print(form(read_all(run)))
            return
        try:
            watch_runs(run, form, redraw=sys.stdout.isatty() and not as_json)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


def read_all(run: str | None) -> list[RunStatus]:
    return [read_status(folder) for folder in list_folders(run)]


def list_folders(run: str | None, runs: str = "runs") -> list[RunFolder]:
    """Return the run folder and the comparison within it if it is a search's; without a name, all run folders in `runs`."""
    if run is not None:
        folder = RunFolder(run)
        fresh = RunFolder(folder.get_path("fresh")) if folder.local else None
        return [folder, fresh] if fresh and fresh.get_time("grid.json") else [folder]
    paths = sorted({path.parent for name in ("grid.json", "progress.json") for path in Path(runs).glob(f"*/{name}")})
    if not paths:
        raise BadRequest(f"no run in {runs}/ yet: ferray grid")
    return [RunFolder(str(path)) for path in paths]


def format_all(statuses: list[RunStatus]) -> str:
    return "\n\n".join(map(format_status, statuses))


def format_list(statuses: list[RunStatus]) -> str:
    return "\n".join(map(format_short, statuses))


def format_json(statuses: list[RunStatus]) -> str:
    return json.dumps([asdict(status) for status in statuses])


def watch_runs(run: str | None, form: Callable[[list[RunStatus]], str], redraw: bool) -> None:
    """Show the statuses until no driver lives: redrawn in place, or one after another."""
    live = Live(console=Console(file=sys.stdout, highlight=False), auto_refresh=False) if redraw else None
    with live or contextlib.nullcontext():
        while True:
            statuses = read_all(run)
            if live:
                live.update(Text(form(statuses)), refresh=True)
            else:
                print(form(statuses), flush=True)
            if not any(status.alive for status in statuses):
                return
            time.sleep(REDRAW_S if redraw else REPEAT_S)


if __name__ == "__main__":
    run_command(main)
