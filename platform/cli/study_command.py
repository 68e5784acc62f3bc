"""A command whose argument is a study: its --help lists the studies, and with a study it describes that one."""

from typing import Any

from platform.cli.application import Command
from platform.cli.study_help import describe_studies, describe_study, list_studies

WORDS = "words"
"""entry of a context's `meta`: the words of the command line"""


def complete_study(incomplete: str) -> list[tuple[str, str]]:
    """Return the studies, with their questions, for the shell's completion."""
    return [(name, question) for name, question in list_studies().items() if name.startswith(incomplete)]


class StudyCommand(Command):
    """A command with the argument `study`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        given = self.make_parser(ctx).parse_args(args=list(ctx.meta[WORDS]))[0]  # --help is handled before arguments are
        if study := given.get("study"):
            print(describe_study(study))
            return
        super().format_help(ctx, formatter)
        print(describe_studies(ctx.command_path))
