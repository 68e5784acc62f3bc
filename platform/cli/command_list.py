"""`ferray` without a command: its help, its version, and the completion of commands and options in the shell, which Typer brings along."""

import importlib
import tomllib
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from platform.cli.application import CommandGroup, make_application
from platform.cli.commands import ROOT, list_commands


class CommandList(CommandGroup):
    """The group of all commands. A command is imported only where the shell completes its options."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, help=summary) for name, summary in list_commands().items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, import_command(name) if name and ctx.resilient_parsing else command, rest


def import_command(name: str) -> Any:
    """Return the command of `platform/NAME/__main__.py`: its `app` if it has subcommands, else that of its `main`."""
    module = importlib.import_module(f"platform.{name}.__main__")
    return typer.main.get_command(module.app if hasattr(module, "app") else make_application(module.main))


def make_command_list() -> typer.Typer:
    app = typer.Typer(cls=CommandList, pretty_exceptions_enable=False)

    @app.callback(invoke_without_command=True)
    def start(
        context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Show the version and the checkout.")] = False
    ) -> None:
        """Studies of facial expression recognition: run them, see what runs, report on them. Each command has --help."""
        print(f"ferray {read_version()} ({ROOT})" if version else context.get_help())

    return app


def read_version() -> str:
    """Return the version that pyproject.toml states."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    version: str = content["project"]["version"]
    return version
