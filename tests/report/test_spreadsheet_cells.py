"""Texts that a spreadsheet would compute are protected in every CSV that a command writes. Numbers are not, and ferray reads them back."""

import csv
import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform.report.build_report_files import build_report_files
from platform.report.findings import compute_findings
from platform.report.read_results_table import read_table
from platform.report.runs_table import Runs
from tests.report.tables import written
from trainables.data.spreadsheet_formulas import FORMULA, NUMBER, add_apostrophe, encode_csv, remove_apostrophe

TEXT = st.text(st.sampled_from("'=+-@\t\r＝,\"15eE.x "), max_size=6)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("＝1+1", "'＝1+1"),
        ("'=1", "''=1"),
        (" =1+1", "' =1+1"),
        ("\N{NO-BREAK SPACE}@x", "'\N{NO-BREAK SPACE}@x"),
        (" -5 ", " -5 "),
        ("'tis", "'tis"),
        ("SC(c<-a)", "SC(c<-a)"),
        ("", ""),
        *((number, number) for number in ("-5", "+1.5", "-1e-300", "-.5", "0")),
        ("-5 %", "'-5 %"),
        ("-", "'-"),
    ],
)
def test_what_a_spreadsheet_would_compute_gets_an_apostrophe(text: str, safe: str) -> None:
    assert add_apostrophe(text) == safe and remove_apostrophe(safe) == text


@given(TEXT)
def test_the_apostrophe_comes_off_again(text: str) -> None:
    safe = add_apostrophe(text)
    assert remove_apostrophe(safe) == text and (safe == text or safe == f"'{text}")
    assert safe.strip()[:1] not in ("=", "+", "-", "@") or NUMBER.fullmatch(safe.strip())


def test_numbers_of_a_csv_are_untouched() -> None:
    numbers = pd.DataFrame(
        {
            "=a": [-1.5, 1e300, np.nan, -1e-300],
            "b": [-1, 2, 3, 4],
            "-c": pd.Series([-0.5, "=x", "-7", None], dtype=object),
            "d": ["@x", "-1e5", "y", None],
        }
    )
    text = encode_csv(numbers).decode()
    assert text == "'=a,b,'-c,d\n-1.5,-1,-0.5,'@x\n1e+300,2,'=x,-1e5\n,3,-7,y\n-1e-300,4,,\n"
    plain = numbers.drop(columns="d").rename(columns={"=a": "a", "-c": "c"}).replace("=x", "x")
    assert encode_csv(plain) == plain.to_csv(index=False, lineterminator="\n").encode()  # as pandas writes it
    infinite = pd.DataFrame({"a": [-np.inf, -1e-300, np.nan, np.inf, 0.1 + 0.2]})  # "-inf" would be computed
    assert encode_csv(infinite) == b'a\n\'-inf\n-1e-300\n""\ninf\n0.30000000000000004\n'


NAMES = ["=1+1", "+x", "-y", "@z", "'=quoted", "ordinary", "[x]"]


def odd(folder: Path) -> Runs:
    """Return a table whose methods, conditions, reasons and columns begin like formulas."""
    rng = np.random.default_rng(0)
    rows = [
        (name, fold, seed, rng.normal(), rng.normal(), "failed" if seed == 4 else "done", "=BOOM()" if seed == 4 else "", f"@{seed}")
        for name in NAMES
        for fold in ("=A1", "b")
        for seed in range(5)
    ]
    frame = pd.DataFrame(rows, columns=["method", "=fold", "seed", "test", "val", "state", "reason", "split_hash"])
    frame.to_parquet(path := folder / "odd.parquet")
    return read_table(str(path), conditions=["=fold"])


def test_every_csv_of_a_report_is_protected_and_its_runs_are_read_back(tmp_path: Path) -> None:
    runs = odd(tmp_path)
    files = build_report_files(runs, compute_findings(runs), with_figures=False)
    tables = {name: list(csv.reader(io.StringIO(data.decode(), newline=""))) for name, data in files.items() if name.endswith(".csv")}
    assert {"runs.csv", "cells.csv", "comparisons.csv"} <= set(tables)
    for name, rows in tables.items():
        cells = [cell for row in rows for cell in row]
        assert [cell for cell in cells if FORMULA.match(cell) and not cell.startswith("'") and not NUMBER.fullmatch(cell)] == [], name
    assert tables["runs.csv"][0][:3] == ["method", "'=fold", "seed"] and tables["runs.csv"][1][:3] == ["'=1+1", "'=A1", "0"]
    again = read_table(written(tmp_path, files["runs.csv"], "runs.csv"), conditions=["=fold"])
    assert again.arms == NAMES and again.axes == {"=fold": ["=A1", "b"]}
    pd.testing.assert_frame_equal(again.table[runs.table.columns], runs.table, check_dtype=False)


@settings(max_examples=50)
@given(st.lists(st.tuples(TEXT, TEXT, st.floats(-1e300, 1e300)), min_size=1, max_size=8))
def test_any_texts_survive_a_csv(rows: list[tuple[str, str, float]]) -> None:
    """Of texts without white space at their ends, which tables do not keep. A line break is a line feed."""
    rows = [(f"m{number}", first.strip() + "x", score) for number, (first, _, score) in enumerate(rows)]
    frame = pd.DataFrame([(name + "x", text, 0, score) for name, text, score in rows], columns=["method", "kind", "seed", "test"])
    with tempfile.TemporaryDirectory() as folder:
        runs = read_table(written(Path(folder), encode_csv(frame)), conditions=["kind"])
    done = runs.table[runs.table["state"] == "done"]
    assert done["kind"].tolist() == [text.replace("\r", "\n") for text in frame["kind"]]
    assert done["test"].tolist() == frame["test"].tolist()
