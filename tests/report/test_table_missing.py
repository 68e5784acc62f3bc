"""Trainings that a table lacks. The expected trainings follow from the seeds that its methods and conditions share."""

from pathlib import Path

import numpy as np
import pandas as pd

from platform.report.read_results_table import read_table
from platform.report.runs_table import Runs
from tests.report.tables import sample, written


def grid(folder: Path, rows: list[tuple[object, ...]], conditions: tuple[str, ...] = ("ratio",)) -> Runs:
    frame = pd.DataFrame(rows, columns=["method", *conditions, "seed"]).assign(test=np.arange(len(rows)))
    return read_table(written(folder, frame.to_csv(index=False)), conditions=conditions)


def missing(runs: Runs) -> set[tuple[object, ...]]:
    absent = runs.table[runs.table["state"] == "missing"]
    assert set(absent["reason"]) <= {"not in the table"}
    return {tuple(row) for row in absent[["method", *runs.design.conditions, "seed"]].itertuples(index=False)}


def test_what_is_not_there_is_missing(tmp_path):
    full = [(arm, ratio, seed) for arm in "ABC" for ratio in (0.5, 5) for seed in range(4)]
    assert grid(tmp_path, full).notes == []
    gone = {("A", 0.5, 3), ("B", 5, 0), *(("C", 5, seed) for seed in range(4))}
    runs = grid(tmp_path, [row for row in full if row not in gone])
    assert missing(runs) == gone and len(runs.table) == 24
    assert "6 of 24 expected trainings are not in the table: they count as missing" in runs.notes
    assert len(runs.find_rows("C", {"ratio": 5})) == 4 and sample(runs, "C", ratio=5) == {}


def test_few_seeds_of_the_many_are_missing_the_rest(tmp_path):
    runs = grid(tmp_path, [("A", seed) for seed in range(10)] + [("B", seed) for seed in range(2)], ())
    assert missing(runs) == {("B", seed) for seed in range(2, 10)}


def test_methods_with_seeds_of_their_own_miss_only_their_own(tmp_path):
    assert missing(grid(tmp_path, [("A", seed) for seed in range(10)] + [("B", seed) for seed in range(100, 110)], ())) == set()
    rows = [(arm, ratio, first + seed) for arm, first in (("A", 0), ("B", 100)) for ratio in (1, 5) for seed in range(4)]
    assert missing(grid(tmp_path, [row for row in rows if row != ("B", 5, 102)])) == {("B", 5, 102)}


def test_conditions_with_seeds_of_their_own_miss_only_their_own(tmp_path):
    rows = [(arm, ratio, 10 * ratio + seed) for arm in "AB" for ratio in (1, 5) for seed in range(4)]
    assert missing(grid(tmp_path, [row for row in rows if row != ("B", 5, 52)])) == {("B", 5, 52)}


def test_seeds_of_each_training_expect_nothing(tmp_path):
    rows = [(arm, ratio, 8 * "AB".index(arm) + ratio * 100 + seed) for arm in "AB" for ratio in (1, 5) for seed in range(4)]
    runs = grid(tmp_path, rows[1:])
    assert missing(runs) == set() and any("seeds of its own" in note for note in runs.notes)
    assert "unequal numbers of replicates: from 3 to 4 of a method under a condition" in runs.notes


def test_methods_with_conditions_of_their_own_are_no_grid(tmp_path):
    runs = grid(tmp_path, [(f"M{number}", number, seed) for number in range(60) for seed in range(2)])
    assert missing(runs) == set() and any("over three times the rows" in note for note in runs.notes)


def test_each_study_expects_its_own(tmp_path):
    rows = [("A", "X", 0), ("A", "X", 1), ("B", "X", 0), ("C", "Y", 7), ("C", "Y", 8), ("D", "Y", 8)]
    assert missing(grid(tmp_path, rows, ("study",))) == {("B", "X", 1), ("D", "Y", 7)}
