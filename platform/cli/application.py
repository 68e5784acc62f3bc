"""The Typer application of a command. Its usage errors are one line. It imports nothing large, so that `doctor` starts anywhere."""

import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from platform.cli.config_file import FILE
from platform.cli.surroundings import prepare_surroundings
from platform.terminal.progress import make_printable
from trainables.registry import BadRequest


def run_standalone(run: Callable[..., Any], *arguments: Any, **settings: Any) -> NoReturn:
    """Run a Typer command and exit. A usage error prints one line on standard error and exits with 2 (Typer's own box has five lines)."""
    prepare_surroundings()
    try:
        code = run(*arguments, **settings | {"standalone_mode": False})
    except BadRequest as error:  # of a file of options
        print(make_printable(str(error)), file=sys.stderr)
        raise SystemExit(2) from None
    except TyperException as error:
        if message := describe_usage_error(error):
            print(f"{message.removesuffix('.')}; see --help", file=sys.stderr)
        raise SystemExit(2) from None
    raise SystemExit(code if isinstance(code, int) else 0)


def describe_usage_error(error: TyperException) -> str:
    """Return the message of a usage error. That of a wrong value begins with the option and the value, after the file that has it."""
    parameter, context, cause = getattr(error, "param", None), getattr(error, "ctx", None), error.__cause__
    if parameter is None or context is None or not isinstance(cause, ValidationError):
        return error.format_message()
    name = next((name for name in parameter.opts if name.startswith("--")), parameter.name)
    source = context.get_parameter_source(parameter.name)
    file = f"{context.meta[FILE]}: " if source and source.name == "DEFAULT_MAP" else ""
    reason = error.message.partition(", unable to parse")[0].replace("Input should be", "must be")
    return make_printable(f"{file}{name.removeprefix('--') if file else name} {cause.errors()[0]['input']}: {reason}")


class Command(TyperCommand):
    """A command whose usage errors are one line."""

    def main(self, *arguments: Any, **settings: Any) -> NoReturn:
        run_standalone(super().main, *arguments, **settings)


class CommandGroup(TyperGroup):
    """A command with subcommands whose usage errors are one line."""

    def main(self, *arguments: Any, **settings: Any) -> NoReturn:
        run_standalone(super().main, *arguments, **settings)


def make_application(main: Callable[..., None], kind: type[Command] = Command) -> typer.Typer:
    """Return the application whose only command, of this kind, has the parameters of `main`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(cls=kind)(main)
    return app
