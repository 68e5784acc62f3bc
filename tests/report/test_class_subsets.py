"""Tests of the comparison of fewer classes with all: against scipy and statsmodels, with and without a margin, with too little to test."""

from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from platform.report.build_report_files import build_report_files
from platform.report.class_subset_gain import (
    ClassSubsetGain,
    _adjust_rows,
    _summarise_pairs,
    compare_class_subsets,
    tabulate_class_subsets,
)
from platform.report.findings import compute_findings
from platform.report.runs_table import Design, Runs
from tests.report.pages import Page
from trainables.storage.store import RunFolder

ALL, FEWER = ["anger", "fear", "joy"], ["anger", "joy"]
IMAGES = 200
"""of each class"""
ARMS: dict[str, list[int]] = {
    "gains": [30, 36, 28, 33, 31],
    "loses": [-30, -36, -28, -33, -31],
    "equal": [1, -1, 0, 2, -2],
    "unclear": [30, -20, 4, -8, 12],
    "barely": [2, 8, 5, 1, 4],
    "two pairs": [30, 31],
    "constant": [20, 20, 20, 20, 20],
}
"""by arm, how many more of the 400 images a training with two classes gets right, by seed"""


def put(folder: RunFolder, key: str, names: list[str], right: int) -> dict[str, Any]:
    """Write a training's predictions, and return its result. Images of fear come last, and are read as anger.

    Of the other images the first `right` are recognised, and each of the rest is read as the other one of the two classes.
    """
    labels = np.repeat([names.index(name) for name in ("anger", "joy", "fear") if name in names], IMAGES)
    index, last = np.arange(len(labels)), len(names) - 1
    guesses = np.where(index < right, labels, last - labels)
    guesses[2 * IMAGES :] = 0
    folder.put_predictions(key, index=index, subject=index, label=labels, probabilities=np.eye(len(names))[guesses])
    return {"classes": names, "metrics": {}, "split_hash": "s", "provenance": {}, "flags": []}


def runs_of(folder: RunFolder, arms: dict[str, list[int]], rope: float | None) -> Runs:
    """Return trainings on three and on two classes. With three, half of the images of the two are right."""
    rows, results = [], []
    for arm, more in arms.items():
        for seed, difference in enumerate(more):
            for names, right in ((ALL, IMAGES), (FEWER, IMAGES + difference)):
                key = f"{len(rows):016x}"
                results.append(put(folder, key, names, right))
                rows.append({"method": arm, "classes": len(names), "seed": seed, "key": key, "test/accuracy": right / 400})
    table = pd.DataFrame(rows).assign(state="done", reason="", split_hash="s", seconds=1.0)
    design = Design("t", "t", "method", "seed", ("classes",), selector=None, fewer="classes", rope=rope)
    return Runs(design, table, results=results)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path / "run"))


def by_arm(rows: list[ClassSubsetGain]) -> dict[str, ClassSubsetGain]:
    return {row.arm: row for row in rows}


def test_verdicts_and_p_against_scipy_and_statsmodels(folder: RunFolder) -> None:
    rows = by_arm(compare_class_subsets(runs_of(folder, ARMS, 0.015), folder))
    tested = [arm for arm in ARMS if arm not in ("two pairs", "constant")]
    raw, equivalent = [], []
    for arm in tested:
        fewer, restricted = (IMAGES + np.array(ARMS[arm])) / 400, np.full(5, 0.5)
        test = stats.ttest_rel(fewer, restricted)
        raw.append(test.pvalue)
        equivalent.append(ttost_paired(fewer, restricted, -0.015, 0.015)[0])
        interval = test.confidence_interval()
        assert (rows[arm].same_images.low, rows[arm].same_images.high) == pytest.approx((interval.low, interval.high))
    assert [rows[arm].p for arm in tested] == pytest.approx(raw)
    assert [rows[arm].p_equivalence for arm in tested] == pytest.approx(equivalent)
    assert [rows[arm].p_adj for arm in tested] == pytest.approx(multipletests(raw, method="holm")[1])
    assert [rows[arm].p_equivalence_adj for arm in tested] == pytest.approx(multipletests(equivalent, method="holm")[1])
    assert {arm: row.verdict for arm, row in rows.items()} == {
        "gains": "a gain",
        "loses": "a loss",
        "equal": "no gain",
        "unclear": "no gain shown",
        "barely": "no gain shown",
        "two pairs": "not tested",
        "constant": "not tested",
    }
    assert rows["barely"].p < 0.05 and rows["barely"].same_images.low > 0  # its own interval excludes 0, the family's p does not
    assert {row.m for row in rows.values()} == {5}


def test_without_a_spread_nothing_is_certain(folder: RunFolder) -> None:
    """Differences of exactly 0 in five seeds, and of .0025 and 0 in two, are neither a gain nor shown to be none."""
    rows = by_arm(compare_class_subsets(runs_of(folder, {"same": [0] * 5, "two": [1, 0]}, 0.2), folder))
    assert {row.verdict for row in rows.values()} == {"not tested"} and {row.m for row in rows.values()} == {0}
    assert rows["same"].same_images.mean == 0 and isnan(rows["same"].same_images.low) and isnan(rows["same"].p_equivalence)
    assert rows["two"].same_images.high > 0.0025 and isnan(rows["two"].p)


@pytest.mark.parametrize("rope", [0.015, None])
def test_the_margin_is_on_the_page(folder: RunFolder, rope: float | None) -> None:
    runs = runs_of(folder, ARMS, rope)
    rows = compare_class_subsets(runs, folder)
    assert (by_arm(rows)["equal"].verdict == "no gain") == bool(rope)
    files = build_report_files(runs, compute_findings(runs, folder), with_figures=False)
    page, csv = Page(files["index.html"].decode()), files["fewer.csv"].decode()
    assert "adjusted by Holm's method over the rows that are tested (5 of 7)" in page.text
    margin = '"No gain": two one-sided t tests put the difference within ± 1.5 points'
    without = 'No margin of equivalence was given, so "no gain" is never the verdict.'
    assert (margin in page.text, without in page.text) == (bool(rope), not rope)
    section = page.text.split("2 classes instead of 3")[1]
    assert "a real gain" not in page.text and "unattainable" not in section and "surely" not in page.text
    assert "nan" not in section and csv.splitlines()[0].endswith("p,p_adj,p_equivalence,p_equivalence_adj,m")
    table = tabulate_class_subsets(rows, "method")
    assert table["p_adj"].isna().tolist() == [False] * 5 + [True] * 2 and table["p_equivalence_adj"].isna().all() == (rope is None)


@pytest.mark.parametrize("rope", [None, 0.01])
def test_rows_without_a_difference_are_rarely_a_gain(rope: float | None) -> None:
    """Of 200 reports of six arms, at most 17 may name a gain or a loss: more would have a probability of .01 at an error of .05."""
    rng, found = np.random.default_rng(4), 0
    for _ in range(200):
        rows = []
        for arm in "ABCDEF":
            hits = rng.binomial(210, np.clip(rng.normal(0.6, 0.03, (3, 5)), 0, 1)) / 210
            pairs = np.stack([*hits, np.full(5, 1 / 3), np.full(5, 1 / 2)], axis=1)
            rows.append(_summarise_pairs(arm, {}, 3, 2, pairs, rope))
        found += any(row.verdict in ("a gain", "a loss") for row in _adjust_rows(rows))
    assert found <= 17
