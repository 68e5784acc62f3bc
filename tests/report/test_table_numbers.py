"""Numbers of tables: which sizes of scores, seeds and counts of images are read, and which are refused."""

import warnings
from pathlib import Path

import pytest

from platform.report.build_report_files import build_report_files
from platform.report.findings import compute_findings
from platform.report.read_results_table import read_table
from tests.report.tables import refused, written


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("method,seed,test\nA,0,1\nA,1,-1e308\n", "row 3, column test: is -1e+308; a score has a size of at most 1e+300; leave it empty"),
        ("method,seed,test,val\nA,0,1,1.01e300\n", "row 2, column val: is 1.01e+300"),
        ("method,seed,test,test/balanced_accuracy\nA,0,1,1e301\n", "row 2, column test/balanced_accuracy: is 1e+301"),
        ("method,seed,test,n_test\nA,0,1,9\nA,1,1,0\n", "row 3, column n_test: is 0; a number of images is a whole number above 0"),
        ("method,seed,test,n_test\nA,0,1,-5\n", "row 2, column n_test: is -5;"),
        ("method,seed,test,n_train\nA,0,1,0.8\n", "row 2, column n_train: is 0.8;"),
        ("method,seed,test,n_train\nA,0,1,1e999\n", "row 2, column n_train: is inf;"),
        ("method,seed,test,n_train\nA,0,1,many\n", "row 2, column n_train: 'many' is not a number"),
    ],
)
def test_sizes_that_cannot_be_are_named(tmp_path: Path, content: str, says: str) -> None:
    refused(written(tmp_path, content), says)


@pytest.mark.parametrize(
    "seeds, read",
    [
        (["1", "2"], [1, 2]),
        (["1.0", "2"], [1, 2]),
        (["007", "+8"], [7, 8]),
        (["a", "1.0"], ["a", "1"]),
        (["12345678901234567890", "12345678901234567891"], [12345678901234567890, 12345678901234567891]),
        (["9" * 5000, "1"], ["9" * 5000, "1"]),
        (["9" * 20, "1"], ["9" * 20, "1"]),  # over 64 bits
        (["12345678901234567890", "-1"], ["12345678901234567890", "-1"]),
        (["0.5", "9007199254740993"], ["0.5", "9007199254740993"]),
        (["1e300", "2.50"], [1e300, 2.5]),
    ],
)
def test_seeds(tmp_path: Path, seeds: list[str], read: list[object]) -> None:
    runs = read_table(written(tmp_path, "method,seed,test\n" + "".join(f"A,{seed},1\n" for seed in seeds)))
    assert runs.replicates == read
    runs.table.to_parquet(tmp_path / "runs.parquet")


def test_counts_are_kept_and_may_be_conditions(tmp_path: Path) -> None:
    file = written(tmp_path, "method,seed,test,n_train,n_test\nA,0,1,100,50\nA,0,2,200,50\n")
    runs = read_table(file, conditions=["n_train"])
    assert runs.axes == {"n_train": [100, 200]} and runs.table["n_test"].tolist() == [50, 50]


def test_counts_that_are_conditions_are_counts_and_those_of_a_failed_training_are_not_read(tmp_path: Path) -> None:
    for value, says in (("0", "is 0;"), ("few", "'few' is not a number")):
        refused(written(tmp_path, f"method,seed,test,n_train\nA,0,1,{value}\n"), f"row 2, column n_train: {says}", conditions=["n_train"])
    runs = read_table(written(tmp_path, "method,seed,test,n_test\nA,0,1,10\nA,1,,0\nA,2,1,\n"))
    assert runs.table["state"].tolist() == ["done", "failed", "done"]


@pytest.mark.parametrize("score", ["1e160", "-1e300", "1e-300"])
def test_scores_of_any_size_that_can_be_squared_or_not_are_reported(tmp_path: Path, score: str) -> None:
    rows = "".join(f"{arm},{fold},{seed},{number}\n" for arm, number in (("A", score), ("B", ".5")) for fold in (1, 2) for seed in range(3))
    runs = read_table(written(tmp_path, "method,fold,seed,test\n" + rows + "C,1,0,.7\n"), conditions=["fold"], rope=0.1)
    with warnings.catch_warnings(action="error"):
        assert "index.html" in build_report_files(runs, compute_findings(runs))
