"""Reports random tables, and counts those that are refused in one line and those that end in a traceback, a warning or an unsound file.

.venv/bin/python -m benchmarks.fuzz_tables --tables 2000 --seed 0 draws each table from the seed and its number: --first NUMBER --tables 1
draws one of them again. Reports are made in this process and without figures, which take most of the time; each 20th has them.
"""

import csv
import io
import json
import re
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.common import last_line, machine
from benchmarks.random_tables import RandomTable, draw_table
from platform.report.build_report_files import build_report_files
from platform.report.findings import compute_findings
from platform.report.read_results_table import read_table
from trainables.data.spreadsheet_formulas import FORMULA, NUMBER
from trainables.registry import BadRequest

SHOWN = 10
"""the most faults that are printed"""


def main(
    tables: Annotated[int, typer.Option(min=1)] = 2000,
    seed: int = 0,
    first: Annotated[int, typer.Option(min=0, help="number of the first table")] = 0,
    minutes: Annotated[float, typer.Option(min=0, help="end earlier, after so many minutes")] = 10,
) -> None:
    """Print each fault, and end with one line of JSON: tables, reported, refused, faults and their numbers. Exit with code 1 if any."""
    began, outcomes, faults = time.monotonic(), Counter[str](), {}
    for number in range(first, first + tables):
        if time.monotonic() - began > 60 * minutes:
            break
        outcome, details = try_table(draw_table(np.random.default_rng([seed, number])), with_figures=number % 20 == 0)
        outcomes[outcome] += 1
        if outcome == "fault":
            faults[number] = details
            if len(faults) <= SHOWN:
                print(f"table {number}: {details}\n", flush=True)
    figures = {"tables": outcomes.total(), **{name: outcomes[name] for name in ("reported", "refused", "fault")}}
    last_line({**figures, "seed": seed, "first": first, "seconds": time.monotonic() - began, "faulty": list(faults)}, machine())
    raise typer.Exit(bool(faults))


def try_table(table: RandomTable, with_figures: bool = False) -> tuple[str, str]:
    """Return "reported", "refused" or "fault", and the message of the refusal or the fault. A warning counts as a fault."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="error"):
        path = Path(folder, table.name)
        path.write_bytes(table.content)
        try:
            runs = read_table(str(path), **table.options)
            files = build_report_files(runs, compute_findings(runs), with_figures)
        except BadRequest as error:
            return ("refused", str(error)) if "\n" not in str(error) else ("fault", f"a refusal of several lines: {error}")
        except Exception:
            return "fault", traceback.format_exc()
    unsound = find_unsound_files(files)
    return ("fault", unsound) if unsound else ("reported", "")


def find_unsound_files(files: dict[str, bytes]) -> str:
    """Return what is wrong with a report's files: unreadable numbers, formulas in a CSV, rows that LaTeX misreads. Empty if nothing is."""
    for name, data in files.items():
        text = data.decode(errors="replace")
        patterns = {
            (".html", ".md", ".tex", ".svg"): r".{0,80}\d{25}",
            (".html", ".svg"): r"<(circle|path|rect|line|text|g)\b[^>]*\b(nan|inf)\b[^>]*>",
            (".tex",): r"^ *[\[*].*",
        }
        for kinds, pattern in patterns.items():
            if name.endswith(kinds) and (match := re.search(pattern, text, re.MULTILINE)):
                return f"{name}: {match[0][:200]}"
        rows = csv.reader(io.StringIO(text, newline="")) if name.endswith(".csv") else []
        for cell in (cell for row in rows for cell in row):
            if FORMULA.match(cell) and not cell.startswith("'") and not NUMBER.fullmatch(cell):
                return f"{name}: {cell[:200]!r}"
    json.loads(files["report.json"])
    return ""


if __name__ == "__main__":
    typer.run(main)
