"""Tests of the tests of named confusions: against scipy and statsmodels, with shares that do not vary and with too few trainings."""

from math import isnan, nan, sqrt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from platform.report import confusions
from platform.report.build_report_files import build_report_files
from platform.report.confusions import ALL, ConfusionTest, tabulate_confusions
from platform.report.findings import compute_findings
from platform.report.runs_table import Design, Runs
from search_spaces.claims import Confusion
from tests.report.pages import Page

NAMES = ["anger", "fear", "joy", "surprise"]


def runs_of(matrices: dict[tuple[str, int], Any], *pairs: tuple[str, str]) -> Runs:
    """Return runs with a confusion matrix for each arm and seed."""
    table = pd.DataFrame(list(matrices), columns=["method", "seed"]).assign(state="done", reason="", split_hash="")
    table["test/accuracy"] = 0.5
    results = [{"classes": NAMES, "confusion": np.asarray(matrix).tolist(), "flags": [], "provenance": {}} for matrix in matrices.values()]
    return Runs(Design("t", "t", "method", "seed", (), confusions=tuple(Confusion(*pair) for pair in pairs)), table, results=results)


def matrix_of(*errors: int, right: int = 5) -> np.ndarray:
    """Return a confusion matrix in which fear is read as anger, joy and surprise so often."""
    matrix = np.diag([20, right, 20, 20])
    matrix[1, [0, 2, 3]] = errors
    return matrix


def rows_of(runs: Runs) -> tuple[list[ConfusionTest], list[ConfusionTest]]:
    """Return the rows over all arms, and those of the arms."""
    rows = confusions.test_confusions(runs)
    return [row for row in rows if row.arm == ALL], [row for row in rows if row.arm != ALL]


@given(st.lists(st.tuples(*[st.integers(0, 12)] * 3).filter(any), min_size=3, max_size=8))
def test_against_scipy(errors: list[tuple[int, int, int]]) -> None:
    """Where the spread is above that of evenly spread errors, p is scipy's; otherwise it is larger."""
    ((whole,), (row,)) = rows_of(runs_of({("A", seed): matrix_of(*each) for seed, each in enumerate(errors)}, ("fear", "surprise")))
    shares, totals = np.array([each[2] / sum(each) for each in errors]), np.array([sum(each) for each in errors])
    floor = sqrt(np.mean(2 / 9 / totals))
    sd = max(np.std(shares, ddof=1), floor)
    assert row.p == pytest.approx(stats.t.sf((shares.mean() - 1 / 3) / (sd / sqrt(len(shares))), len(shares) - 1))
    if sd > floor:
        oracle = stats.ttest_1samp(shares, 1 / 3, alternative="greater")
        assert row.p == pytest.approx(oracle.pvalue)
    assert row.share.mean == pytest.approx(shares.mean()) and row.share.high - row.share.low >= 2 * floor / sqrt(len(shares))
    assert whole.p == pytest.approx(row.p) == row.p_adj and row.m == whole.m == 1  # one arm is all arms


@pytest.mark.parametrize(("seeds", "verdict"), [(1, "not tested"), (2, "not tested"), (3, "not shown"), (5, "more often than chance")])
def test_shares_that_do_not_vary(seeds: int, verdict: str) -> None:
    """Half of the errors in every training: that they agree does not make them certain, nor untestable."""
    ((whole,), (row,)) = rows_of(runs_of({("A", seed): matrix_of(2, 3, 5) for seed in range(seeds)}, ("fear", "surprise")))
    assert row.share.mean == pytest.approx(0.5) and (isnan(row.share.sd) or row.share.sd == 0) and row.verdict == whole.verdict == verdict
    if seeds > 2:
        error = sqrt(2 / 9 / 10 / seeds)
        assert row.p == pytest.approx(stats.t.sf((0.5 - 1 / 3) / error, seeds - 1))
        assert row.share.high - row.share.mean == pytest.approx(stats.t.ppf(0.975, seeds - 1) * error)
    assert row.m == (seeds > 2)


def test_what_is_not_tested_does_not_count() -> None:
    rng = np.random.default_rng(2)
    trainings = {("AB"[seed % 2], seed): matrix_of(*rng.multinomial(12, [0.1, 0.3, 0.6])) for seed in range(10)}
    trainings |= {("C", seed): matrix_of(2, 2, 8) for seed in range(2)}
    pairs = (("fear", "surprise"), ("fear", "joy"), ("anger", "joy"))  # no training errs on anger
    whole, rows = rows_of(runs_of(trainings, *pairs))
    tested, untested = [row for row in rows if row.arm != "C"], [row for row in rows if row.arm == "C"]
    assert {row.m for row in rows} == {4} == {len(tested)} and {row.m for row in whole} == {2}
    assert [row.p_adj for row in tested] == pytest.approx(multipletests([row.p for row in tested], method="holm")[1])
    assert {row.verdict for row in untested} == {"not tested"} and all(isnan(row.p) and isnan(row.p_adj) for row in untested)
    runs = runs_of(trainings, *pairs)
    page = Page(build_report_files(runs, compute_findings(runs), with_figures=False)["index.html"].decode())
    section = page.text.split("The confusions that the paper names")[1]
    assert 'the rows "all" (tests made: 2)' in section and "all other rows (tests made: 4)" in section and "unattainable" not in section
    frame = tabulate_confusions(rows, "method")
    assert frame["m"].tolist() == [4] * 6 and frame["p_adj"].isna().sum() == 2


def test_all_arms_together_have_the_spread_of_their_mean() -> None:
    """Four arms whose errors are spread alike in every seed: the floor of their mean is half of one training's."""
    ((whole,), rows) = rows_of(runs_of({(arm, seed): matrix_of(3, 2, 5) for arm in "ABCD" for seed in range(5)}, ("fear", "surprise")))
    assert whole.p == pytest.approx(stats.t.sf((0.5 - 1 / 3) / sqrt(2 / 9 / 10 / 4 / 5), 4)) and whole.share.n == 5
    assert all(row.p == pytest.approx(stats.t.sf((0.5 - 1 / 3) / sqrt(2 / 9 / 10 / 5), 4)) for row in rows)


def test_a_training_that_predicts_one_class_is_left_out() -> None:
    always = np.zeros((4, 4), int)
    always[:, 3] = 20
    trainings: dict[tuple[str, int], Any] = {("A", seed): matrix_of(4, 4, 4) for seed in range(4)}
    (_, (row,)) = rows_of(runs_of(trainings | {("A", seed): always for seed in range(4, 8)}, ("fear", "surprise")))
    assert row.share.n == 4 and row.share.mean == pytest.approx(1 / 3) and row.p == pytest.approx(0.5)
    assert rows_of(runs_of({("A", seed): always for seed in range(5)}, ("fear", "surprise"))) == ([], [])


def test_with_two_classes_there_is_nothing_to_test() -> None:
    runs = runs_of({("A", seed): [[5, 5], [2, 8]] for seed in range(4)}, ("anger", "fear"))
    runs.results = [{"classes": ["anger", "fear"], "confusion": [[5, 5], [2, 8]]}] * 4
    assert [(row.verdict, row.chance) for row in confusions.test_confusions(runs)] == [("not tested", 1)] * 2


def test_evenly_spread_errors_are_rarely_a_confusion() -> None:
    """Of 60 reports of four arms and two confusions, at most 8: more would have a probability of .01 at an error of .05."""
    rng, found = np.random.default_rng(8), 0
    for _ in range(60):
        trainings = {(arm, seed): matrix_of(*rng.multinomial(rng.integers(4, 15), [1 / 3] * 3)) for arm in "ABCD" for seed in range(5)}
        _, rows = rows_of(runs_of(trainings, ("fear", "surprise"), ("fear", "joy")))
        found += any(row.verdict == "more often than chance" for row in rows)
    assert found <= 8


def test_verdicts() -> None:
    (_, (row,)) = rows_of(runs_of({("A", seed): matrix_of(1, 1, 8) for seed in range(6)}, ("fear", "surprise")))
    said = {p: ConfusionTest(**{**row.__dict__, "p_adj": p}).verdict for p in (0.05, 0.051, nan)}
    assert list(said.values()) == ["more often than chance", "not shown", "not tested"]
