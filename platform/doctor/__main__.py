"""Check what is installed and found, and say how to fix the rest."""

if __name__ == "__main__":  # must come first: without the environment it is one line
    from platform.terminal.environment import require_environment

    require_environment()

import sys
from typing import Annotated

try:
    import typer
    from rich.console import Console
    from rich.markup import escape

    from platform.cli.application import make_application
    from platform.doctor.checks import check_cluster, run_checks
    from platform.doctor.finding import DoctorFinding
    from platform.terminal.progress import make_printable
except ImportError as error:
    sys.exit(f"{error}; type rm -r .venv && make venv in the checkout (this was {sys.executable})")


def main(
    data: Annotated[
        list[str] | None, typer.Option(metavar="ROLE=KIND:PATH | FILE.yaml", help="data to read and check, as a grid would")
    ] = None,
    runs: Annotated[str, typer.Option(metavar="DIR", help="where results would go: a folder or an fsspec URI")] = "runs",
    cluster: Annotated[str | None, typer.Option(metavar="FILE", help="check every machine of this cluster.yaml, over ssh")] = None,
    start_ray: Annotated[bool, typer.Option("--start-ray", help="also start a local Ray and run one task")] = False,
) -> None:
    """Check whether a grid would run here. Exit 0 if so, 1 if not. Every failed check says how to fix it."""
    console = Console(highlight=False, soft_wrap=True)
    bad = 0
    sections = check_cluster(cluster, runs, data or []) if cluster else run_checks(data or [], runs, start_ray)
    for title, findings in sections:
        console.print(f"\n[bold]{title}[/]")
        for finding in findings:
            console.print(f"  {choose_mark(finding)} {escape(make_printable(finding.text))}")
            if finding.mend:
                console.print(f"    [dim]fix: {escape(make_printable(finding.mend))}[/]")
            bad += finding.bad
    console.print(
        f"\n[red]A grid would not run here: {bad} of the checks above failed.[/]" if bad else "\n[green]A grid would run here.[/]"
    )
    raise typer.Exit(bool(bad))


def choose_mark(finding: DoctorFinding) -> str:
    """Return a cross for a fault, an exclamation mark for advice, a tick for what was checked, and a dot for what was not."""
    if finding.bad:
        return "[red]✗[/]"
    if finding.mend:
        return "[yellow]![/]"
    return "[green]✓[/]" if finding.checked else "[dim]·[/]"


if __name__ == "__main__":
    make_application(main)()
