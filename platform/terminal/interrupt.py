"""Ctrl-C while a command still imports its modules, or where it has nothing to save: one line, and exit code 130."""

import os
import signal


def end_on_interrupt() -> None:
    """End this process at Ctrl-C from now on. Call it before any large import: Python's own handler prints a traceback of the imports."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # `COMMAND &` in a script ignores it
        signal.signal(signal.SIGINT, _end_process)


def _end_process(number: int, frame: object) -> None:
    os.write(2, b"\nstopped\n")
    os._exit(130)
