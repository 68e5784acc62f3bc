"""Tells whether a run's report still matches its folder. With ten thousand cells, making the same pages again takes too long."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from platform.report import tuning
from trainables.storage.store import RunFolder

MARK = "reported.txt"
"""in the run folder: a hash of the state that its report was made from, and of the report as it was left"""
CODE = Path(__file__).resolve().parents[2]


def is_current(folder: RunFolder, drawn: str) -> bool:
    """Return whether the report is current.

    `drawn` describes all results, as `Board.complete_runs` returns it. It is empty if something is unfinished or the folder is not on a
    disk; nothing is current then.
    """
    return bool(drawn) and folder.get(MARK) == _hash_state(folder, drawn)


def mark_report_current(folder: RunFolder, drawn: str) -> None:
    """Record that the report was just made from this state."""
    if drawn:
        folder.put(_hash_state(folder, drawn), MARK)


def unmark_report(folder: RunFolder) -> None:
    """Remove the mark, because the report is about to be made, perhaps with other options."""
    folder.remove(MARK)


def _hash_state(folder: RunFolder, drawn: str) -> bytes:
    """Hash the results, the grid, the code that makes reports, and the files of the report and of the explanations that it shows."""
    digest = hashlib.sha256(drawn.encode())
    for name in ("grid.json", tuning.FILE):
        digest.update(folder.get(name) or b"")
    for root in (
        CODE / "platform",
        CODE / "search_spaces",
        CODE / "trainables",
        Path(folder.get_path("report")),
        Path(folder.get_path("explain")),
    ):
        for path, stat in sorted(_list_files(root)):
            digest.update(f"{path} {stat.st_mtime_ns} {stat.st_size}\n".encode())
    return digest.hexdigest().encode()


def _list_files(place: Path) -> Iterator[tuple[str, os.stat_result]]:
    for folder, _, names in os.walk(place):
        if not folder.endswith("__pycache__"):
            yield from ((f"{folder}/{name}", os.stat(f"{folder}/{name}")) for name in names)
