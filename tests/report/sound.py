"""Runs with numbers of a test's own, and what holds of every report, for tests to ask."""

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
"""what stands where a statistic failed; and a number too long to read"""
TEXT = (".html", ".csv", ".json", ".md", ".tex", ".svg")


def rewrite_metrics(folder: RunFolder, cells: list[Cell], change: Callable[[Cell, dict[str, Any]], dict[str, Any]]) -> None:
    """Put `change` of each result's metrics in their place."""
    for cell in cells:
        result = folder.get_result(cell.key) or {}
        folder.put_result(cell.key, result | {"metrics": change(cell, result["metrics"])})


def write_soundly(folder: RunFolder, study: Study | None = None) -> Report:
    """The report, made without a warning or a line on standard error, in whose files every number can be read."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), warnings.catch_warnings(action="error"):
        report = made(folder, study, with_figures=True)
    assert said.getvalue() == ""
    root = Path(folder.get_path("report"))
    for path in root.rglob("*.*"):
        if path.suffix in TEXT and path.name != "runs.csv":  # that one holds what was trained, as it is
            text = path.read_text(encoding="utf-8")
            assert (found := NO_NUMBER.search(text)) is None, f"{path.name}: {text[found.start() - 60 : found.end() + 20]}"
    return report
