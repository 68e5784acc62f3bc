"""Watch: a worker that makes no step for too long ends itself, and one that dies of a fault says where."""

import contextlib
import faulthandler
import os
import time
import traceback
from typing import BinaryIO, NoReturn

HANG_S = 1800.0
"""longer than any step, validation or reading of data should take; a cell whose worker died of it is tried again like any other"""


class Watchdog:
    """Over the cells of one process. The clock is the C runtime's own: it strikes whatever hangs, Python included.

    What a fault or the clock has to say, the traceback of every thread, goes to the file of the cell that was begun last; a cell that
    ends takes its file along. Only what runs in the process itself is caught: of SIGKILL nothing is left.
    """

    def __init__(self, hang_s: float = HANG_S) -> None:
        self.hang_s = hang_s
        self._file: BinaryIO | None = None
        self._set = 0.0

    def start_cell(self, path: str, join: bool = False) -> None:
        """In a folder that is there. `join`: the file is another worker's, who trains the same cell."""
        before, self._file = self._file, open(path, "ab" if join else "wb", buffering=0)  # noqa: SIM115  open for as long as a fault may write to it
        faulthandler.enable(self._file)
        self._set = 0.0
        self.reset_timer()
        if before:
            before.close()

    def reset_timer(self) -> None:
        """A step was made. Setting the clock costs some microseconds: once a second will do."""
        if self._file and time.monotonic() - self._set > min(1.0, self.hang_s / 4):
            faulthandler.dump_traceback_later(self.hang_s, exit=True, file=self._file)
            self._set = time.monotonic()

    def end_process(self, error: Exception) -> NoReturn:
        """End the process at once: its last words are the error's."""
        if self._file:
            with contextlib.suppress(OSError):
                self._file.write("".join([f"{_format_error(error)}\n", *traceback.format_exception(error)]).encode(errors="replace"))
        os._exit(1)

    def end_cell(self, path: str, join: bool = False) -> None:
        """The cell of this file has ended; whatever else goes on in the process sets the clock again."""
        faulthandler.cancel_dump_traceback_later()
        self._set = 0.0
        if not join:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _format_error(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
