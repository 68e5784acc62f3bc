"""Lines that show progress: redrawn in place on a terminal, printed at intervals elsewhere; and how lines write numbers and names."""

import os
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

REDRAW_S, REPEAT_S = 0.25, 10.0
"""seconds between two drawings on a terminal, and between two lines elsewhere"""


class ProgressDisplay:
    """Progress on a stream: a bar with a line of facts under it on a terminal, else one line. Other lines are printed above it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._live: Any = _start_live(stream) if stream.isatty() else None
        self._drawn = 0.0

    def print_line(self, text: str) -> None:
        text = make_printable(text)
        if self._live:
            self._live.console.print(text, markup=False, soft_wrap=True)
        else:
            self.stream.write(text + "\n")
            self.stream.flush()

    def is_due(self) -> bool:
        """Return whether it is time to draw again."""
        return time.monotonic() - self._drawn >= (REDRAW_S if self._live else REPEAT_S)

    def draw(self, share: float, text: str, facts: str) -> None:
        """Show how much is done, a share from 0 to 1, as a text, and facts beside it; empty: none."""
        self._drawn = time.monotonic()
        if not self._live:
            self.print_line(f"{text}; {facts}" if facts else text)
            return
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        self._live.console.width = os.get_terminal_size(self.stream.fileno()).columns or 80  # standard error itself is redirected
        line = Table.grid(padding=(0, 1))
        line.add_row(ProgressBar(total=1.0, completed=share, width=20), Text(text, overflow="ellipsis", no_wrap=True))
        below = [Text(make_printable(facts), style="dim", overflow="ellipsis", no_wrap=True)] if facts else []
        self._live.update(Group(line, *below), refresh=True)

    def close(self) -> None:
        if self._live:
            self._live.stop()


def _start_live(stream: TextIO) -> Any:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream, highlight=False)
    live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    live.start()
    console.show_cursor(True)  # a killed command could not show it again
    return live


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
