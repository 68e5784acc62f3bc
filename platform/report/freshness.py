"""Whether a run's report still says what its folder holds: at ten thousand cells nobody wants to wait for the same pages again."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from trainables.storage.store import RunFolder

MARK = "reported.txt"
"""in the run folder: the state that its report was made from, and that it was left in"""
CODE = Path(__file__).resolve().parents[2]


def is_current(folder: RunFolder, drawn: str) -> bool:
    """`drawn` tells of all results, as `Board.complete_runs` gives it; empty where something is unfinished, or the
    folder not on a disk: then nothing is current.
    """
    return bool(drawn) and folder.get(MARK) == _hash_state(folder, drawn)


def mark_report_current(folder: RunFolder, drawn: str) -> None:
    """The report was just made from this."""
    if drawn:
        folder.put(_hash_state(folder, drawn), MARK)


def unmark_report(folder: RunFolder) -> None:
    """It is about to be made, perhaps with other options."""
    folder.remove(MARK)


def _hash_state(folder: RunFolder, drawn: str) -> bytes:
    """Of the results, the grid, the code that makes reports, and the files of the report and of what it shows besides."""
    seen = hashlib.sha256(drawn.encode())
    seen.update(folder.get("grid.json") or b"")
    for place in (CODE / "platform", CODE / "search_spaces", Path(folder.get_path("report")), Path(folder.get_path("explain"))):
        for path, about in sorted(_hash_files(place)):
            seen.update(f"{path} {about.st_mtime_ns} {about.st_size}\n".encode())
    return seen.hexdigest().encode()


def _hash_files(place: Path) -> Iterator[tuple[str, os.stat_result]]:
    for folder, _, names in os.walk(place):
        if not folder.endswith("__pycache__"):
            yield from ((f"{folder}/{name}", os.stat(f"{folder}/{name}")) for name in names)
