"""Conditions that are numbers are all in the report, whatever their order. A study that names its largest reads the paper's table there."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from platform.report.build_report_files import build_report_files
from platform.report.comparisons import Comparison
from platform.report.findings import Findings, compute_findings
from platform.report.read_results_table import read_table
from platform.report.read_run_folder import make_design
from platform.report.runs_table import Design, Runs
from search_spaces.study import STUDIES
from tests.report.tables import written


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write 3 methods under 2 splits and 3 folds, with 6 paired seeds and differences that some tests find."""
    rng, rows = np.random.default_rng(5), []
    for split in (0.5, 0.9):
        for fold in (0, 1, 2):
            for seed in range(6):
                shared = rng.normal(0, 0.02)
                for number, method in enumerate("ABC"):
                    scores = 0.6 + 0.03 * number * (fold + 1) / 2 + shared + rng.normal(0, 0.01, 2)
                    rows.append((method, split, fold, seed, *scores, f"{split}-{fold}-{seed}"))
    frame = pd.DataFrame(rows, columns=["method", "split", "fold", "seed", "val", "test", "split_hash"])
    return written(tmp_path_factory.mktemp("order"), frame.to_csv(index=False))


def found(table: str, *conditions: str) -> tuple[Runs, Findings]:
    runs = read_table(table, conditions=conditions, rope=0.01)
    return runs, compute_findings(runs)


def told(rows: list[Comparison]) -> set[tuple[Any, ...]]:
    """Return what comparisons say, whatever the order of their conditions."""
    return {
        (row.family, *sorted(row.condition.items()), row.a, row.b, row.verdict, row.m, f"{row.p:.9g}", f"{row.p_adj:.9g}") for row in rows
    }


def test_a_numeric_condition_is_not_reduced_to_its_largest(table: str) -> None:
    runs, findings = found(table, "split", "fold")
    assert len(runs.table_conditions) == len(runs.conditions) == 6 and not runs.at_largest
    for rows in (findings.published, findings.confirmatory):
        assert [row.condition for row in rows] == runs.conditions
    page = build_report_files(runs, findings, with_figures=False)["index.html"].decode()
    assert ", at fold = 2<" not in page and ", at split = 0.9<" not in page
    alone = read_table(table, conditions=["split", "fold"])
    assert alone.along == "fold" and alone.points == [0, 1, 2]


def test_both_orders_of_conditions_say_the_same(table: str) -> None:
    (runs, one), (other_runs, other) = found(table, "split", "fold"), found(table, "fold", "split")
    assert (runs.along, other_runs.along) == ("fold", "split")  # only what figures are drawn along differs
    for name in ("winner", "overall", "published", "confirmatory", "against", "pairwise"):
        assert told(getattr(one, name)) == told(getattr(other, name)) and getattr(one, name)
    assert {row.verdict for row in one.confirmatory} > {"better"}  # verdicts that a wrong reading could confuse
    assert one.reference == other.reference


def test_a_study_that_names_its_largest_reads_its_table_there() -> None:
    study = STUDIES.find("adults_as_augmentation")("pocket")
    assert study.largest == "ratio" and make_design(study).at_largest
    rows = [("A", ratio, seed, 0.5) for ratio in (1, 5) for seed in range(3)]
    trainings = pd.DataFrame(rows, columns=["method", "ratio", "seed", "test"]).assign(state="done", reason="", split_hash="")
    design = Design("t", "t", "method", "seed", ("ratio",), along="ratio", at_largest=True, metric="test", selector=None)
    assert Runs(design, trainings).table_conditions == [{"ratio": 5}]
    named = trainings.assign(ratio=trainings["ratio"].map({1: "few", 5: "many"}))
    assert Runs(design, named).table_conditions == [{"ratio": "few"}, {"ratio": "many"}]
    assert Runs(Design("t", "t", "method", "seed", (), along="ratio", at_largest=True, metric="test"), trainings).table_conditions == [{}]


def test_orders_of_conditions_have_the_same_runs(table: str, tmp_path: Path) -> None:
    one, other = read_table(table, conditions=["split", "fold"]), read_table(table, conditions=["fold", "split"])
    assert {tuple(sorted(condition.items())) for condition in one.conditions} == {
        tuple(sorted(condition.items())) for condition in other.conditions
    }
    for condition in one.conditions:
        flipped = {"fold": condition["fold"], "split": condition["split"]}
        assert one.get_sample("B", condition) == other.get_sample("B", flipped)
