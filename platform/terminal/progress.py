"""One line that shows a grid's progress. On a terminal it is redrawn; elsewhere a new line is printed at intervals."""

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from trainables.cell import Cell
from trainables.workers.worker_messages import Event


class Progress:
    """Count events and show cells done, cells failed, seconds per cell and the remaining time."""

    def __init__(self, cells: list[Cell], done: int, stream: TextIO = sys.stderr, total: int | None = None) -> None:
        """`total` is given where `add_cells` adds more cells later."""
        self.stream, self.total, self.done, self.failed = stream, total or len(cells), done, 0
        self.names: dict[str, str] = {}
        self.add_cells(cells)
        self.began = time.monotonic()
        self.first: float | None = None
        """time of the first event of an epoch; the time before it is start-up, not training"""
        self._ended: set[str] = set()
        self._dropped: set[str] = set()
        self._drawn = 0.0

    def add_cells(self, cells: list[Cell]) -> None:
        self.names |= {cell.key: cell.name for cell in cells}

    def drop_cells(self, keys: Iterable[str]) -> None:
        """Count no longer on the cells that have not ended: they were stopped for good."""
        self._dropped.update(keys)

    def handle_event(self, event: Event) -> None:
        """Count one event. A failure and a note are printed on a line of their own."""
        if event["kind"] == "note":
            self._print_line(event["text"])
            return
        if self.first is None:
            self.first = time.monotonic()
            self._print_line(f"first epoch {self.first - self.began:.0f} s after the start")
        if event["kind"] == "row" or event.get("stopped") or event["key"] in self._ended:
            return
        self._ended.add(event["key"])
        self.done += event["kind"] == "done"
        if event["kind"] == "failed":
            self.failed += 1
            self._print_line(f"failed: {self.names[event['key']]}: {event['reason']}")

    def refresh_line(self) -> None:
        """Redraw the line, at most four times a second on a terminal and every ten seconds elsewhere."""
        interval = 0.25 if self.stream.isatty() else 10.0
        if time.monotonic() - self._drawn >= interval:
            self._drawn = time.monotonic()
            self._draw_line()

    def close(self) -> None:
        self._draw_line()
        if self.stream.isatty():
            self.stream.write("\n")

    def _draw_line(self) -> None:
        total = self.total - len(self._dropped - self._ended)
        text = f"{self.done}/{total} trainings done, {self.failed} failed"
        if self._ended and self.first is not None:
            pace = (time.monotonic() - self.first) / len(self._ended)
            remaining = total - self.done - self.failed
            text += f", {pace:.2f} s per training" + (f", {format_duration(pace * remaining)} left" if remaining else "")
        elif self.first is None:
            text += ", starting the workers"
        self.stream.write(f"\r\x1b[2K{text}" if self.stream.isatty() else text + "\n")
        self.stream.flush()

    def _print_line(self, text: str) -> None:
        text = make_printable(text)
        self.stream.write(f"\r\x1b[2K{text}\n" if self.stream.isatty() else text + "\n")
        self.stream.flush()


def make_printable(text: str) -> str:
    """Return a line with its unprintable characters escaped, such as a terminal's control codes.

    File names and labels may contain any character.
    """
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode() for letter in text)


def format_duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 129600 else f"{seconds / 86400:.1f} days"


def format_range(values: Iterable[Any], format_value: Callable[[Any], str] = "{:,}".format) -> str:
    """Return `100 to 400`, or `200` if the least and the greatest value read the same."""
    values = list(values)
    low, high = format_value(min(values)), format_value(max(values))
    return low if low == high else f"{low} to {high}"


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Return `1 suggestion`, `2 suggestions`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
