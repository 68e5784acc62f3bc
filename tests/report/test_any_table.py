"""Tests that any table is reported or refused in one line, with no traceback and no NaN in a picture."""

import re
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from platform.report.build_report_files import build_report_files
from platform.report.findings import compute_findings
from platform.report.read_results_table import read_table
from trainables.registry import BadRequest

SCORE = st.sampled_from([np.nan, 0.5, 0.5, 0.5 + 2**-53, 0.25, 0.75, -1.0, 1e6, 1e300, -1e300, 1e-300])
ROW = st.tuples(st.sampled_from("ABC"), st.sampled_from([0.1, 0.5]), st.integers(0, 3), SCORE, SCORE, st.sampled_from(["", "s", "t"]))
BEST_HAS_NO_VAL = [("A", 0.1, seed, 0.9, np.nan, "") for seed in range(3)] + [("B", 0.1, seed, 0.5, 0.4, "") for seed in range(3)]
ONE_EACH = [("A", split, 0, 0.9, 0.8, "s") for split in (0.1, 0.5)] + [("B", split, 0, 0.5, 0.4, "s") for split in (0.1, 0.5)]


@settings(max_examples=25)
@given(
    st.lists(ROW, min_size=1, max_size=24, unique_by=lambda row: row[:3]), st.booleans(), st.sampled_from([None, 0.1]), st.integers(0, 2)
)
@example(BEST_HAS_NO_VAL, True, None, 0)
@example(ONE_EACH, False, 0.1, 0)
def test_any_table_is_reported_or_refused(rows: list[tuple], higher: bool, rope: float | None, third: int) -> None:
    """A third of the reports have figures, which take most of the time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any.csv")
        pd.DataFrame(rows, columns=["method", "split", "seed", "test", "val", "split_hash"]).to_csv(path, index=False)
        try:
            runs = read_table(str(path), conditions=["split"], higher_is_better=higher, rope=rope)
        except BadRequest:
            return
    with warnings.catch_warnings(action="error"):
        files = build_report_files(runs, compute_findings(runs), with_figures=not third)
    page = files["index.html"].decode()
    assert re.search(r'="[^"]*\bnan\b', page) is None and "Infinity" not in files["report.json"].decode()
    assert not any(re.search(r"\d{25}", data.decode()) for name, data in files.items() if name.endswith((".html", ".md", ".tex", ".svg")))
