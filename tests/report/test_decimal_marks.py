"""Numbers of files with semicolons: a comma is a decimal mark there, and a point may be one or may separate thousands."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from platform.report.read_results_table import read_table
from tests.report.tables import refused, written
from trainables.data.table_file import open_table
from trainables.registry import BadRequest

TODO = "write all numbers of the file with one decimal mark, and no separator of thousands"
HEAD = "method;seed;ratio;test;seconds\n"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("A;0;1;0,5;1\nA;1;1;0.6;1\n", f"row 3, column test: '0.6' has a point, '0,5' in row 2 a comma; {TODO}"),
        ("A;0;1;0.5;1\n\nA;1;1;0,6;1\n", "row 4, column test: '0,6' has a comma, '0.5' in row 2 a point;"),
        (
            "A;0;1;1.234;0,5\nA;1;1;2.100;0,7\n",
            f"row 2, column test: '1.234' may mean 1234, because column seconds has '0,5'; {TODO}",
        ),
        ("A;0;1;1,234;0.5\nA;1;1;;0.7\n", "row 2, column test: '1,234' may mean 1234, because column seconds has '0.5';"),
        ("A;0;1;500;0,5\nA;1;1;-1.234;0,7\n", "row 3, column test: '-1.234' may mean -1234,"),
        ("A;0;0,5;1.234;1\n", "row 2, column test: '1.234' may mean 1234, because column ratio has '0,5';"),
        ("A;0;1.250;0,5;1\nA;1;1.250;0,6;1\n", "row 2, column ratio: '1.250' may mean 1250, because column test has '0,5';"),
        ("A;0;1,5;0,5;1\nA;1;2.5;0,6;1\n", "row 3, column ratio: '2.5' has a point, '1,5' in row 2 a comma;"),
        ("A;1.000;1;0,5;1\nA;2.000;1;0,6;1\n", "row 2, column seed: '1.000' may mean 1000,"),
        ("A;0;1;1.234;1.000,5\n", "row 2, column test: '1.234' may mean 1234, because column seconds has '1.000,5';"),
        ("A;0;1;1.234;1.000.500\n", "row 2, column test: '1.234' may mean 1234, because column seconds has '1.000.500';"),
        ("A;0;1;1.234.567;0,5\n", "row 2, column test: '1.234.567' is not a number"),
    ],
)
def test_an_open_decimal_mark_is_refused(tmp_path: Path, rows: str, says: str) -> None:
    refused(written(tmp_path, HEAD + rows), says, conditions=["ratio"])


@pytest.mark.parametrize(
    ("rows", "scores"),
    [
        ("A;0;1;1.234;5\nA;1;1;2.100;7\n", [1.234, 2.1]),  # points only in the whole file
        ("A;0;1;1,234;5\nA;1;1;2,100;7\n", [1.234, 2.1]),  # commas only
        ("A;0;1;0.234;0,5\nA;1;1;1.100;0,7\n", [0.234, 1.1]),  # no thousands begin with 0
        ("A;0;1;1.234;0,5\nA;1;1;2.1;0,7\n", [1.234, 2.1]),  # nor do they have one digit
        ("A;0;1;1.234;fast, 0,5\nA;1;1;2.100;-\n", [1.234, 2.1]),  # a column with text has no decimal mark
        ("A;0;1;1234;0,5\nA;1;1;2100;0,7\n", [1234, 2100]),
    ],
)
def test_a_decimal_mark_that_is_known_is_read(tmp_path: Path, rows: str, scores: list[float]) -> None:
    assert read_table(written(tmp_path, HEAD + rows), conditions=["ratio"]).table["test"].tolist() == scores


def test_text_that_looks_like_numbers_is_text(tmp_path: Path) -> None:
    runs = read_table(written(tmp_path, "method;seed;kind;test\nA;0;1,5;0,5\nA;0;1.5;0,6\nA;0;none;0,7\n"), conditions=["kind"])
    assert runs.axes["kind"] == ["1,5", "1.5", "none"]
    comma = read_table(written(tmp_path, "method,seed,test,seconds\nA,0,1.234,5\n"))  # no other separator, no other decimal mark
    assert comma.table["test"].tolist() == [1.234]


def write_number(number: float, decimals: int, mark: str, thousands: str) -> str:
    whole, _, rest = f"{number:,.{decimals}f}".replace(",", "T").partition(".")
    return whole.replace("T", thousands) + (mark + rest if rest else "")


NUMBERS = st.lists(st.integers(-(10**7), 10**7), min_size=1, max_size=6)


@settings(max_examples=300)
@given(NUMBERS, NUMBERS, st.integers(0, 4), st.integers(0, 4), st.sampled_from([",", "."]), st.booleans())
@example([1234], [1], 0, 1, ",", True)
@example([1234], [1], 3, 0, ",", True)
def test_a_number_is_read_as_it_was_meant_or_refused(first: list[int], second: list[int], a: int, b: int, mark: str, grouped: bool) -> None:
    """Two columns as a German or an English program writes them, with their own numbers of decimals, grouped or not.

    Where neither column shows its decimal mark, grouped thousands are read as decimals: nothing in the file tells them apart.
    """
    thousands = ({",": ".", ".": ","}[mark]) if grouped else ""
    n = min(len(first), len(second))
    columns = {"x": [number / 10**a for number in first[:n]], "y": [number / 10**b for number in second[:n]]}
    text = {name: [write_number(number, digits, mark, thousands) for number in columns[name]] for name, digits in (("x", a), ("y", b))}
    with tempfile.TemporaryDirectory() as folder:
        table = open_table(written(Path(folder), "x;y\n" + "".join(f"{p};{q}\n" for p, q in zip(*text.values(), strict=True)), "any.csv"))
        shown = any(mark in number or number.count(thousands or "T") > 1 for column in text.values() for number in column)
        for name, numbers in columns.items():
            try:
                read = table.read_number_column(name).tolist()
            except BadRequest as error:
                assert grouped and "\n" not in str(error) and f"column {name}" in str(error)
                continue
            assert read == pytest.approx(numbers) or (grouped and not shown)
