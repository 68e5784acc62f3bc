"""The progress of a command: shown on its terminal, and kept in RUN/progress.json, which `status` reads from anywhere."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from platform.launch.event_counts import EventCounts
from platform.launch.output_redirection import redirect_output
from platform.terminal.progress import ProgressDisplay
from trainables.storage.lock_holder import FolderLost
from trainables.storage.store import RunFolder
from trainables.workers.worker_messages import Event

PROGRESS = "progress.json"
WRITE_S, WRITE_STORE_S = 2.0, 20.0
"""seconds between two writes of the record, on a disk and on an object store"""


class RunProgress:
    """Counts events, draws the counts, and writes them to the run folder with the id of the command."""

    def __init__(self, folder: RunFolder, counts: EventCounts, stream: TextIO, describe: Callable[[], dict[str, Any]]) -> None:
        """`describe` returns further entries of the record."""
        self.folder, self.counts, self.stream, self._describe = folder, counts, stream, describe
        self._display = ProgressDisplay(stream)
        self._written = 0.0
        self.tick()

    def handle_event(self, event: Event) -> None:
        if line := self.counts.count_event(event):
            self._display.print_line(line)

    def tick(self) -> None:
        """Draw and write what is due. Called several times a second."""
        if self._display.is_due():
            self._draw()
        if time.monotonic() - self._written >= (WRITE_S if self.folder.local else WRITE_STORE_S):
            self._write(ended=False)

    def close(self) -> None:
        self._draw()
        self._display.close()
        with contextlib.suppress(FolderLost):  # whatever ended the command has its own line
            self._write(ended=True)

    def _draw(self) -> None:
        self._display.draw(self.counts.share, self.counts.describe(), self.counts.describe_scores())

    def _write(self, ended: bool) -> None:
        self._written = time.monotonic()
        record = {"claim": self.folder.owner, "time": time.time(), "ended": ended, **self.counts.to_json(), **self._describe()}
        with contextlib.suppress(OSError):  # a full disk is met by the results, and a store that does not answer may do so again
            self.folder.put_json(record, PROGRESS)


@contextlib.contextmanager
def show_progress(folder: RunFolder, counts: EventCounts, describe: Callable[[], dict[str, Any]] = dict) -> Iterator[RunProgress]:
    """Show and keep progress until the end; meanwhile everything that Ray prints goes to a log file of the run folder."""
    with redirect_output(folder) as stream, contextlib.closing(RunProgress(folder, counts, stream, describe)) as progress:
        yield progress


def read_progress(folder: RunFolder) -> dict[str, Any]:
    """Return the record of the last command that trained here; empty if there is none, or if it is damaged."""
    try:
        content = folder.get_json(PROGRESS, signed=True)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
