"""Code that the commands share: running an application of one function, and ending it with one line and an exit code."""

import atexit
import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

import typer

from platform.cli.application import Command, make_application
from platform.launch.cluster import Fatal, abandon_ray, must_abandon_ray
from platform.terminal.console import open_descriptors, open_stream, print_last, silence_output
from platform.terminal.progress import make_printable
from platform.terminal.supervisor import GOES_ON, exit_process, ignore_signals, report_begun
from trainables.registry import BadRequest

_own_process = False
"""whether this process runs one command and ends with it"""


def run_command(main: Callable[..., None], kind: type[Command] = Command) -> NoReturn:
    """Run this process's command line, of a command of this kind, and end the process with its exit code. Nothing is printed afterwards."""
    global _own_process
    _own_process = True
    open_descriptors()
    sys.stdout, sys.stderr = open_stream(os.dup(1)), open_stream(os.dup(2))
    code = 0
    try:
        make_application(main, kind)()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    ignore_signals()
    if not must_abandon_ray():
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    exit_process(code)


@contextlib.contextmanager
def exit_on_error(where: str, resumable: bool = False) -> Iterator[None]:
    """End the command with one line and an exit code where the code inside fails for the user.

    The exit code is 2 for a bad request, a file error or a failure of Ray, and 130 for Ctrl-C. `where` is named for a file error without a
    file name. `resumable`: finished results are kept, and the line says so. After resumable code ends, signals are ignored, because all
    work is done.
    """
    hint = f"; what was finished is kept: {GOES_ON}" if resumable else ""
    if resumable:
        report_begun()
    try:
        yield
        if resumable:
            ignore_signals()
    except BadRequest as error:
        raise exit_with(2, str(error)) from None
    except KeyboardInterrupt:
        raise exit_with(130, f"stopped; {GOES_ON} from here" if resumable else "stopped before anything was started") from None
    except Fatal as error:
        raise exit_with(2, f"{error}{hint}") from None
    except OSError as error:
        raise exit_with(2, f"{error.filename or where}: {error.strerror or error}{hint}") from None


def exit_with(code: int, line: str) -> typer.Exit:
    """Return an exit with this code, after printing one line on standard error."""
    line = make_printable(line)
    if must_abandon_ray():  # the rest of Ray in this process would end it a minute later, with another exit code
        abandon_ray()
        print_last(2, line)
        exit_process(code)
    if _own_process:
        silence_output(1, 2)  # Ray's C++ code prints on these from threads that it does not end
    print(line, file=sys.stderr, flush=True)
    return typer.Exit(code)
