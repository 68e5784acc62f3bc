"""Says in one line what to type where Python lacks the environment. It runs on any Python 3 and imports only the standard library."""

import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NEEDED = ("typer", "ray", "torch")
"""packages that every environment of ferray has, and that other Pythons seldom all have"""


def require_environment() -> None:
    """End the process with one line and exit code 2 if a package is missing. Nothing is imported for this."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        command = " ".join([os.path.join(ROOT, "ferray"), find_command_name(), *sys.argv[1:]])
        sys.stderr.write(f"this Python ({sys.executable}) has no {missing[0]}: {describe_remedy(command)}\n")
        sys.exit(2)


def find_command_name() -> str:
    """Return the command that this process was started as: `grid` of `python -m platform.grid` and of `ferray grid`."""
    folder, name = os.path.split(sys.argv[0])
    return os.path.basename(folder) if name == "__main__.py" else name.partition(" ")[2]


def describe_remedy(command: str) -> str:
    """Return what to type instead."""
    own = os.path.join(ROOT, ".venv")
    if os.path.realpath(sys.prefix) == os.path.realpath(own):
        return f"its environment is incomplete; type rm -r {own} && make -C {ROOT} venv"
    return f"type {command}" if os.path.exists(own) else f"type make -C {ROOT} venv, then {command}"
