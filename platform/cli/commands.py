"""The commands, in the order in which they are listed. A command is a package `platform/NAME` with a `__main__`, and one name here."""

import ast
from pathlib import Path

COMMANDS = ("grid", "search", "status", "report", "compare", "explain", "board", "export", "predict", "data", "doctor")
ROOT = Path(__file__).resolve().parents[2]


def list_commands() -> dict[str, str]:
    """Return every command of this checkout, with the first line of its docstring.

    The docstring is parsed, not imported, so that this does not wait for torch.
    """
    files = {name: ROOT / "platform" / name / "__main__.py" for name in COMMANDS}
    return {name: _read_summary(file) for name, file in files.items() if file.exists()}


def _read_summary(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]
