"""Watchdog: a worker that makes no step for too long ends itself, and one that dies of a fault logs where."""

import contextlib
import faulthandler
import os
import time
import traceback
from typing import BinaryIO, NoReturn

HANG_S = 1800.0
"""In seconds, longer than any step, validation or reading of data should take. A cell whose worker died of it is retried like any other."""


class Watchdog:
    """Watches the cells of one process. faulthandler's C timer fires even if Python hangs.

    On a fault or a timeout, the tracebacks of all threads go to the file of the cell that was started last. A cell that ends removes its
    file. Only faults inside the process are caught: SIGKILL leaves no trace.
    """

    def __init__(self, hang_s: float = HANG_S) -> None:
        self.hang_s = hang_s
        self._file: BinaryIO | None = None
        self._set = 0.0

    def start_cell(self, path: str, join: bool = False) -> None:
        """Open the cell's file in an existing folder. With `join` the file belongs to another worker that trains the same cell."""
        previous, self._file = self._file, open(path, "ab" if join else "wb", buffering=0)  # noqa: SIM115  a fault may write to it later
        faulthandler.enable(self._file)
        self._set = 0.0
        self.reset_timer()
        if previous:
            previous.close()

    def reset_timer(self) -> None:
        """Record that a step was made. Setting the timer costs some microseconds, so once a second is enough."""
        if self._file and time.monotonic() - self._set > min(1.0, self.hang_s / 4):
            faulthandler.dump_traceback_later(self.hang_s, exit=True, file=self._file)
            self._set = time.monotonic()

    def end_process(self, error: Exception) -> NoReturn:
        """End the process at once. The last entry in its file is the error."""
        if self._file:
            with contextlib.suppress(OSError):
                self._file.write("".join([f"{_format_error(error)}\n", *traceback.format_exception(error)]).encode(errors="replace"))
        os._exit(1)

    def end_cell(self, path: str, join: bool = False) -> None:
        """Stop the timer, because the cell of this file has ended. Other trainings in the process set it again."""
        faulthandler.cancel_dump_traceback_later()
        self._set = 0.0
        if not join:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _format_error(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
