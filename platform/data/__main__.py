"""Check a copy of a data set, write it as a table, or list the kinds."""

if __name__ == "__main__":  # must come first: without the environment it is one line
    from platform.terminal.environment import require_environment

    require_environment()

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from platform.cli.application import CommandGroup
from platform.cli.command import exit_on_error
from platform.data.check import DataFinding, check_data_set
from trainables.data.dataset import readers
from trainables.data.source import parse_role
from trainables.data.spreadsheet_formulas import encode_csv
from trainables.registry import BadRequest

SMALL = 16
"""pixels a side at which a data set is read for its table, which has no pixels"""
app = typer.Typer(cls=CommandGroup, add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__)


@app.command("list")
def list_kinds() -> None:
    """List all kinds, one per line."""
    width = max(map(len, readers()))
    for kind, reader in readers().items():
        print(f"{kind:{width}}  {reader.summary}")


@app.command()
def check(
    source: Annotated[str, typer.Argument(metavar="KIND:PATH[,OPTION=VALUE]", help="a data set, as a grid's --data names it after ROLE=")],
    size: Annotated[int, typer.Option(min=8, help="side in pixels at which images are compared and drawn")] = 48,
    sheets: Annotated[str | None, typer.Option(metavar="DIR", help="folder for the contact sheets; default: in the cache")] = None,
) -> None:
    """Read all images of a copy, count them, find duplicates, draw contact sheets. Exit: 0 no problem, 1 problems, 2 bad request."""
    with exit_on_error(source):
        if ":" not in source and source.partition(",")[0] not in readers() and ("/" in source or os.path.exists(source)):
            raise BadRequest(f"{source}: expected KIND:PATH, e.g. rafdb:{source}; python -m platform.data list names the kinds")
        findings = list(check_data_set(parse_role(f"data={source}")[1], size, Path(sheets) if sheets else None))
    doubts = print_findings(findings)
    raise typer.Exit(int(doubts > 0))


@app.command()
def table(
    source: Annotated[str, typer.Argument(metavar="KIND:PATH[,OPTION=VALUE]", help="a data set, as a grid's --data names it after ROLE=")],
) -> None:
    """Print a data set as a table of file, label and metadata, as the kind `table` reads them. Exit: 0 done, 2 bad request."""
    from trainables.data.readers.table import tabulate_data_set

    with exit_on_error(source):
        parsed = parse_role(f"data={source}")[1]
        faces = parsed.read_faces(SMALL, "grey")
        for note in faces.notes:
            print(note, file=sys.stderr)
        written = tabulate_data_set(faces)
        sys.stdout.flush()
        sys.stdout.buffer.write(encode_csv(written))  # UTF-8 in any locale: it names files
        sys.stdout.buffer.flush()
        root = Path(parsed.path)
        if root.is_dir() and all((root / name).is_file() for name in written["file"]):
            print(f"read it back by table:FILE,root={shlex.quote(parsed.path)}", file=sys.stderr)
        else:
            print("this table cannot be read back: the pictures of this data set are not files of its folder", file=sys.stderr)


def print_findings(found: list[DataFinding]) -> int:
    """Print the findings. Return the number of those that put the copy in doubt."""
    console = Console(highlight=False, soft_wrap=True, no_color="NO_COLOR" in os.environ)
    for finding in found:
        mark = "[red]✗[/]" if finding.doubt else "[dim]·[/]"
        console.print(f"{mark} {escape(finding.text)}")
    doubts = sum(finding.doubt for finding in found)
    console.print(f"[red]{doubts} of these lines report problems.[/]" if doubts else "[green]No problem found in this copy.[/]")
    return doubts


if __name__ == "__main__":
    app()
