"""The Typer application of a command. Its usage errors are one line. It imports only Typer, so that `doctor` starts anywhere."""

import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from platform.cli.surroundings import prepare_surroundings


def run_standalone(run: Callable[..., Any], *arguments: Any, **settings: Any) -> NoReturn:
    """Run a Typer command and exit. A usage error prints one line on standard error and exits with 2 (Typer's own box has five lines)."""
    prepare_surroundings()
    try:
        code = run(*arguments, **settings | {"standalone_mode": False})
    except TyperException as error:
        if message := error.format_message():
            print(f"{message.removesuffix('.')}; see --help", file=sys.stderr)
        raise SystemExit(2) from None
    raise SystemExit(code if isinstance(code, int) else 0)


class Command(TyperCommand):
    """A command whose usage errors are one line."""

    def main(self, *arguments: Any, **settings: Any) -> NoReturn:
        run_standalone(super().main, *arguments, **settings)


class CommandGroup(TyperGroup):
    """A command with subcommands whose usage errors are one line."""

    def main(self, *arguments: Any, **settings: Any) -> NoReturn:
        run_standalone(super().main, *arguments, **settings)


def make_application(main: Callable[..., None]) -> typer.Typer:
    """Return the application whose only command has the parameters of `main`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(cls=Command)(main)
    return app
