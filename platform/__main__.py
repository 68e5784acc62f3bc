"""`python -m platform`: print the platform string, as the standard library does, then the commands of this package."""

import ast
import contextlib
import sys
from pathlib import Path

import platform


def list_commands() -> dict[str, str]:
    """Return every package here that can be run, with the first line of its docstring.

    The docstring is parsed, not imported, so that this does not wait for torch.
    """
    files = sorted(Path(__file__).parent.glob("*/__main__.py"))
    return {file.parent.name: (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0] for file in files}


def main() -> None:
    try:
        exec(platform._standard_code, {"__name__": "__main__"})
    except SystemExit as stop:
        if stop.code:
            raise
    lines = [f"  {Path(sys.executable).name} -m platform.{name:10}{summary}" for name, summary in list_commands().items()]
    with contextlib.suppress(BrokenPipeError):  # `python -m platform | head -1` closes the pipe after one line
        print("\n".join(["", "ferray, run from its folder:", *lines]), flush=True)


if __name__ == "__main__":
    main()
