"""`ferray`: the commands of this checkout, from any folder. The file `ferray` beside the folder `platform` starts this one."""

import os
import sys

if __name__ == "__main__":  # must come first: with the checkout ahead of the standard library, `platform` is the package
    _HERE = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [os.path.dirname(os.path.dirname(_HERE)), *(folder for folder in sys.path if folder != _HERE)]
    sys.modules.pop("platform", None)

import runpy
from typing import NoReturn

from platform.terminal.environment import ROOT, require_environment

ON_RAY = ("grid", "search")
"""commands that start Ray's workers, which look for `trainables` in the current folder first"""


def main() -> NoReturn:
    """Run the command that the first argument names, exactly as `python -m platform.NAME` does. Without one, list the commands."""
    require_environment()
    from platform.cli.commands import list_commands

    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in list_commands():
        if name in ON_RAY:
            require_own_modules()
        # Ray puts the folder of argv[0] on its workers' path, where they find `trainables`; usage lines show its last part
        sys.argv[:2] = [f"{ROOT}/ferray {name}"]
        runpy.run_module(f"platform.{name}", run_name="__main__")
        raise SystemExit(0)
    sys.argv[0] = f"{ROOT}/ferray"
    from platform.cli.command_list import make_command_list

    make_command_list()()
    raise SystemExit(0)


def require_own_modules(name: str = "trainables") -> None:
    """End the process with one line where the current folder has another `trainables`, such as another checkout's."""
    here = os.path.realpath(os.getcwd())
    if here != os.path.realpath(ROOT) and os.path.isdir(os.path.join(here, name)):
        print(f"{here} has a folder {name} of its own, which workers would take for that of {ROOT}: go to another folder", file=sys.stderr)
        raise SystemExit(2)


if __name__ == "__main__":
    main()
