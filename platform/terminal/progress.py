"""One line that says how far a grid is: redrawn on a terminal, a new line now and then anywhere else."""

import sys
import time
from typing import TextIO

from trainables.cell import Cell


class Progress:
    """Counts events and says: done, failed, under way, seconds a cell, time to go."""

    def __init__(self, cells: list[Cell], done: int, stream: TextIO = sys.stderr, total: int | None = None) -> None:
        """`total` where more cells than these are to come, which `add_cells` brings."""
        self.stream, self.total, self.done, self.failed = stream, total or len(cells), done, 0
        self.names: dict[str, str] = {}
        self.add_cells(cells)
        self.began = time.monotonic()
        self.first: float | None = None
        """when the first epoch was heard of: what lies before is start-up, not training"""
        self._ended: set[str] = set()
        self._cleared = True
        self._drawn = 0.0

    def add_cells(self, cells: list[Cell]) -> None:
        self.names |= {cell.key: cell.name for cell in cells}

    def handle_event(self, event: dict) -> None:
        """Take in one event; a failure gets a line of its own, and so does a note."""
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
        """Redraw; four times a second on a terminal, every ten seconds elsewhere."""
        pause = 0.25 if self.stream.isatty() else 10.0
        if time.monotonic() - self._drawn >= pause:
            self._drawn = time.monotonic()
            self._draw_line()

    def close(self) -> None:
        self._draw_line()
        if self.stream.isatty():
            self.stream.write("\n")

    def _draw_line(self) -> None:
        text = f"{self.done}/{self.total} cells done, {self.failed} failed"
        if self._ended and self.first is not None:
            pace = (time.monotonic() - self.first) / len(self._ended)
            left = self.total - self.done - self.failed
            text += f", {pace:.2f} s a cell" + (f", {format_duration(pace * left)} to go" if left else "")
        elif self.first is None:
            text += ", starting the workers"
        self.stream.write(f"\r\x1b[2K{text}" if self.stream.isatty() else text + "\n")
        self.stream.flush()

    def _print_line(self, text: str) -> None:
        text = make_printable(text)
        self.stream.write(f"\r\x1b[2K{text}\n" if self.stream.isatty() else text + "\n")
        self.stream.flush()


def make_printable(text: str) -> str:
    """A line in which what a terminal would obey, or could not show, is written out: names of files and labels may hold anything."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode() for letter in text)


def format_duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 129600 else f"{seconds / 86400:.1f} days"
