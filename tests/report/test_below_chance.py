"""Tests of the test that a recall lies below chance: against scipy and statsmodels, and its family-wise error in simulated reports."""

from collections.abc import Callable
from math import isnan, sqrt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from platform.report.classes import ClassRecalls, adjust_recall_tests, compare_with_chance, compute_class_recalls, summarise_confusions
from platform.report.runs_table import Design, Runs
from platform.report.wording import describe_unread_classes

CLASSES = [f"class {k}" for k in range(7)]
Predict = Callable[[np.random.Generator, str, np.ndarray], np.ndarray]
"""the predictions [n] of a training of an arm for the labels [n]"""


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=3, max_size=12),
    st.sampled_from([1 / 2, 1 / 3, 1 / 7]),
    st.sampled_from(["less", "greater"]),
)
def test_against_scipy(pairs: list[tuple[int, int]], chance: float, alternative: str) -> None:
    """p and interval are scipy's where the spread is above the floor; else they are those of numbers with the floor as spread."""
    shares, items = np.array([min(hits, n) / n for hits, n in pairs]), np.array([n for _, n in pairs])
    interval, p = compare_with_chance(shares, items, chance, alternative)  # type: ignore[arg-type]
    floor = sqrt(np.mean([chance * (1 - chance) / n for n in items]))
    oracle = stats.ttest_1samp(shares, chance, alternative=alternative) if np.ptp(shares) else None
    plain = stats.ttest_1samp(shares, chance).confidence_interval() if oracle else None
    assert (interval.mean, interval.sd, interval.n) == pytest.approx((shares.mean(), np.std(shares, ddof=1), len(shares)), abs=1e-12)
    if oracle and plain and np.std(shares, ddof=1) >= floor:
        assert p == pytest.approx(oracle.pvalue) and interval[1:3] == pytest.approx(plain)
        return
    direction = np.resize([1.0, -1.0], len(shares) // 2 * 2)  # numbers of mean 0, made to have the same mean and the floor as spread
    direction = np.append(direction, [0.0] * (len(shares) % 2))
    numbers = shares.mean() + direction / np.std(direction, ddof=1) * floor
    same = stats.ttest_1samp(numbers, chance, alternative=alternative)
    assert p == pytest.approx(same.pvalue)
    assert interval[1:3] == pytest.approx(stats.ttest_1samp(numbers, chance).confidence_interval())
    if plain and oracle:
        assert interval.low <= plain.low and interval.high >= plain.high and (p >= oracle.pvalue - 1e-12 or p > 0.5)


@given(st.lists(st.integers(0, 20), min_size=3, max_size=8))
def test_interval_and_p_are_one_procedure(hits: list[int]) -> None:
    interval, p = compare_with_chance(np.array(hits) / 20, np.full(len(hits), 20), 1 / 7, "less")
    assert (interval.high < 1 / 7) == (p < 0.025)


def test_recalls_of_zero_have_an_interval_and_a_p() -> None:
    for n in (5, 20):
        counts = np.zeros((n, 2, 2), int) + np.array([[0, 25], [5, 20]])
        row = summarise_confusions("A", {}, ["x", "y"], counts, 0.5)
        floor = sqrt(0.25 / 25)
        interval = row.recall[0]
        assert interval and (interval.mean, interval.sd) == (0, 0) and interval == row.tested[0]
        assert interval.high == pytest.approx(stats.t.ppf(0.975, n - 1) * floor / sqrt(n)) and interval.low == -interval.high
        assert row.p[0] == pytest.approx(stats.t.cdf(-0.5 / (floor / sqrt(n)), n - 1))


def test_holm_runs_over_arms_classes_and_conditions() -> None:
    rng = np.random.default_rng(5)
    rows = []
    for arm in "AB":
        for split in (0.5, 0.9):
            counts = rng.multinomial(60, [0.2, 0.3, 0.5], (4, 3))
            counts[:, 0] = rng.multinomial(60, [0.02, 0.3, 0.68], 4)
            rows.append(summarise_confusions(arm, {"split": split}, ["x", "y", "z"], counts, 1 / 3))
    rows[1] = summarise_confusions("A", {"split": 0.9}, ["x", "y", "z"], counts[:2], 1 / 3)  # too few trainings: no tests
    adjusted = adjust_recall_tests(rows)
    raw = [p for row in rows for p in row.p if p is not None]
    _, oracle, *_ = multipletests(raw, method="holm")
    assert [p for row in adjusted for p in row.p_adj if p is not None] == pytest.approx(oracle) and len(raw) == 9
    assert adjusted[1].p_adj == [None] * 3 and {row.m for row in adjusted} == {9}
    assert [row.low for row in adjusted] == [
        [name for name, p in zip(row.classes, row.p_adj, strict=True) if p is not None and p <= 0.05] for row in adjusted
    ]
    assert any(row.low for row in adjusted)


def test_constant_predictions_are_left_out_and_counted() -> None:
    """Where they are not, one class is never recognised, whatever the arm has learnt."""
    learnt, always = np.array([[1, 19, 0], [0, 20, 0], [5, 5, 10]]), np.array([[20, 0, 0]] * 3)
    mixed = summarise_confusions("A", {}, ["x", "y", "z"], np.array([learnt] * 6 + [always] * 2), 1 / 3)
    pure = summarise_confusions("A", {}, ["x", "y", "z"], np.array([learnt] * 6), 1 / 3)
    assert (mixed.constant, mixed.n, pure.constant) == (2, 8, 0) and mixed.p == pure.p and mixed.tested == pure.tested
    recall = mixed.recall[0]
    assert recall and recall.mean == pytest.approx((6 * 0.05 + 2) / 8) and recall.n == 8
    two_left = summarise_confusions("A", {}, ["x", "y", "z"], np.array([learnt] * 2 + [always] * 4), 1 / 3)
    assert two_left.p == [None] * 3 and two_left.tested == [None] * 3 and two_left.recall[0]


def guess(rng: np.random.Generator, _arm: str, labels: np.ndarray) -> np.ndarray:
    return rng.integers(0, 7, len(labels))


def guess_or_collapse(rng: np.random.Generator, arm: str, labels: np.ndarray) -> np.ndarray:
    """Return guesses; in one training of ten, a single random class for every image."""
    return np.full(len(labels), rng.integers(0, 7)) if rng.random() < 0.1 else guess(rng, arm, labels)


def predict_one_class(_rng: np.random.Generator, arm: str, labels: np.ndarray) -> np.ndarray:
    """Return the arm's own class for every image."""
    return np.full(len(labels), int(arm[-1]))


def simulate_report(predict: Predict, rng: np.random.Generator, seeds: int = 5) -> tuple[Runs, list[ClassRecalls]]:
    """Return runs of seven arms under four conditions, on one test set of 20 to 30 images a class, and their recalls."""
    labels = np.repeat(np.arange(7), rng.integers(20, 31, 7))
    suffixes = rng.integers(0, 7, 7) if predict is predict_one_class else range(7)
    arms = [f"{k}: arm {suffix}" for k, suffix in enumerate(suffixes)]
    axes = [(arm, split, seed) for arm in arms for split in range(4) for seed in range(seeds)]
    results = []
    for arm, *_ in axes:
        counts = np.zeros((7, 7), int)
        np.add.at(counts, (labels, predict(rng, arm, labels)), 1)
        results.append({"classes": CLASSES, "confusion": counts.tolist()})
    table = pd.DataFrame(axes, columns=["method", "split", "seed"]).assign(state="done", reason="", split_hash="")
    table["test/accuracy"] = 0.5
    runs = Runs(Design("t", "t", "method", "seed", ("split",)), table, results=results)
    return runs, compute_class_recalls(runs)


@pytest.mark.parametrize(("predict", "seeds"), [(guess, 5), (guess, 12), (guess_or_collapse, 5), (guess_or_collapse, 12)])
def test_arms_at_chance_are_rarely_called_below_it(predict: Predict, seeds: int) -> None:
    """Of 25 reports, at most 4 may have such a class: more would have a probability of .007 at a family-wise error of .05."""
    rng = np.random.default_rng(seeds)
    reports = [simulate_report(predict, rng, seeds)[1] for _ in range(25)]
    assert all(row.m == 7 * 4 * 7 for report in reports for row in report) or predict is guess_or_collapse
    assert sum(any(row.low for row in report) for report in reports) <= 4
    assert any(row.detectable for row in reports[0]) == (seeds == 12)


def test_arms_that_predict_one_class_give_no_headline() -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        _, rows = simulate_report(predict_one_class, rng)
        assert all(row.low == [] and row.m == 0 and row.constant == row.n == 5 and not row.detectable for row in rows)


def test_a_class_that_is_never_read_is_found() -> None:
    """The test can fail the other way too: with twelve seeds, a class that one arm never predicts is found, and it alone."""

    def never_fear(rng: np.random.Generator, arm: str, labels: np.ndarray) -> np.ndarray:
        predictions = guess(rng, arm, labels)
        return np.where(predictions == 2, 1, predictions) if arm[-1] == "3" else predictions

    runs, rows = simulate_report(never_fear, np.random.default_rng(1), 12)
    assert {(row.arm, name) for row in rows for name in row.low} == {("3: arm 3", "class 2")}
    sentences = describe_unread_classes(runs, rows)
    test = "14.3 %; one-sided t tests, adjusted p ≤ .05 over 196"
    assert f"At split = 3, recall is below chance ({test}): class 2 by 3: arm 3 (0.0 %)." in sentences


def test_a_single_number_has_no_interval() -> None:
    interval, p = compare_with_chance([0.0], [20], 1 / 7, "less")
    assert interval.mean == 0 and isnan(interval.low) and isnan(p)
    interval, p = compare_with_chance([0.0, 0.0], [20, 20], 1 / 7, "less")
    assert interval.high == pytest.approx(stats.t.ppf(0.975, 1) * sqrt(6 / 49 / 20 / 2)) and isnan(p)
