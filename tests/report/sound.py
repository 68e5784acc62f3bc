"""Helpers for tests of reports: runs with chosen numbers, and checks that every report must pass."""

import contextlib
import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search_spaces.study import Study
from tests.report.pages import Report, made
from trainables.cell import Cell
from trainables.storage.store import RunFolder

NO_NUMBER = re.compile(r"(?<![A-Za-z])(nan|NaN|inf|Infinity|None)(?![A-Za-z])|\d{25}")
"""text that a failed statistic leaves, or a number that is too long to read"""
TEXT = (".html", ".csv", ".json", ".md", ".tex", ".svg")


def rewrite_metrics(folder: RunFolder, cells: list[Cell], change: Callable[[Cell, dict[str, Any]], dict[str, Any]]) -> None:
    """Replace each result's metrics by what `change` returns for them."""
    for cell in cells:
        result = folder.get_result(cell.key) or {}
        folder.put_result(cell.key, result | {"metrics": change(cell, result["metrics"])})


def write_soundly(folder: RunFolder, study: Study | None = None) -> Report:
    """Write and return the report. Check that there is no warning, no line on standard error, and no unreadable number in its files."""
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr), warnings.catch_warnings(action="error"):
        report = made(folder, study, with_figures=True)
    assert stderr.getvalue() == ""
    root = Path(folder.get_path("report"))
    for path in root.rglob("*.*"):
        if path.suffix in TEXT and path.name != "runs.csv":  # runs.csv holds the unformatted numbers of the trainings
            text = path.read_text(encoding="utf-8")
            assert (match := NO_NUMBER.search(text)) is None, f"{path.name}: {text[match.start() - 60 : match.end() + 20]}"
    return report
