"""Diverged trainings: found where one lies far from all others, never among ordinary scores, and left out of what axes span."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform.report import figure_axes, figures
from platform.report.build_report_files import build_report_files
from platform.report.comparison_families import compare_with_reference
from platform.report.descriptive_statistics import summarise_conditions
from platform.report.findings import compute_findings
from platform.report.inline_svg import render_dot_strip
from platform.report.outliers import FEWEST, describe_outliers, describe_outside, find_outliers, find_score_span, find_typical_sample
from platform.report.read_results_table import read_table
from platform.report.runs_table import Design, Runs
from platform.report.wording import Unit
from tests.report.pages import Page
from tests.report.tables import written

RNG = np.random.default_rng(7)


def runs(scores: list[float], arms: int = 5, conditions: int = 2, **columns: list) -> Runs:
    """Return runs whose trainings cycle through the arms and conditions."""
    n = len(scores)
    table = pd.DataFrame(
        {
            "method": [f"M{i % arms}" for i in range(n)],
            "fold": [i // arms % conditions for i in range(n)],
            "seed": [i // (arms * conditions) for i in range(n)],
            "test": scores,
            "state": "done",
            "reason": "",
            "split_hash": "",
            **columns,
        }
    )
    return Runs(Design("t", "t", "method", "seed", ("fold",), metric="test", selector=None, percent=False), table)


def flagged(scores: list[float] | np.ndarray, **shape: int) -> list[float]:
    return [row.score for row in find_outliers(runs(list(map(float, scores)), **shape))]


BIMODAL = np.where(RNG.random(100) < 0.5, 0.0, 1000.0) + RNG.normal(0, 0.1, 100)
ORDINARY = {
    "normal": RNG.normal(5, 1, 100),
    "skewed": RNG.exponential(1, 100),
    "bimodal": BIMODAL,
    "one mode in five": np.where(np.arange(100) % 5 == 0, 50.0, 0.0) + RNG.normal(0, 0.1, 100),
    "constant": np.full(100, 5.0),
    "constant but one": np.append(np.full(99, 5.0), 6.0),
    "zeros but one": np.append(np.zeros(99), 6.0),
    "accuracies with a collapse": np.append(RNG.normal(0.9, 0.0001, 99), 0.0),
    "two orders of magnitude": 10.0 ** RNG.uniform(-1, 1, 100),
    "too few": [0.6, 0.61, 0.62, 0.6, 1e9],
}


@pytest.mark.parametrize("scores", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_scores_have_no_outliers(scores: list[float]) -> None:
    assert flagged(scores) == []


def test_heavy_tails_have_few() -> None:
    """Student's t with 3 degrees of freedom: of 500 tables of 100 scores, fewer than one in a hundred has one."""
    rng = np.random.default_rng(0)
    assert sum(bool(flagged(rng.standard_t(3, 100))) for _ in range(500)) < 5


@pytest.mark.parametrize("score", [1e9, -1e300, 1e300, 100.0])
@pytest.mark.parametrize("n", [FEWEST, 20, 100])
def test_one_diverged_training_is_found(score: float, n: int) -> None:
    scores = np.random.default_rng(3).normal(0.6, 0.05, n)
    scores[n // 2] = score
    (row,) = find_outliers(runs(scores.tolist()))
    rest = np.delete(scores, n // 2)
    assert (row.score, row.low, row.high) == (score, rest.min(), rest.max())
    assert (row.training, row.arm, row.condition) == (
        f"{row.arm}/fold={row.condition['fold']}/seed={row.replicate}",
        f"M{n // 2 % 5}",
        {"fold": n // 2 // 5 % 2},
    )


def test_several_of_a_sample_are_found_up_to_half_of_it() -> None:
    """5 arms x 2 folds x 4 seeds, of which the first sample has two trainings of 1e9 and more."""
    scores = np.random.default_rng(3).normal(0.6, 0.05, 40)
    scores[[0, 10]] = 1e9, 3e9
    assert flagged(scores) == [1e9, 3e9]
    scores[20] = 2e9
    assert flagged(scores) == []  # three of four: this is how the arm scores here


def test_an_arm_or_a_condition_that_lies_apart_has_no_outliers() -> None:
    scores = np.random.default_rng(3).normal(0.6, 0.05, 400)
    apart = scores.copy()
    apart[np.arange(400) % 20 == 0] = 1e6 + np.arange(20)  # one arm of 20
    assert flagged(apart, arms=20) == []
    assert flagged(apart, arms=20, conditions=20) == []  # one seed: its arm stands for its sample
    of_condition = scores.copy()
    of_condition[np.arange(400) // 5 % 20 == 0] = 1e6 + np.arange(20)  # one condition of 20
    assert flagged(of_condition, conditions=20) == []
    assert flagged(of_condition, conditions=80) == []
    alone = scores.copy()
    alone[7] = 1e6
    assert flagged(alone, arms=20, conditions=20) == [1e6]  # one seed, and neither its arm nor its condition is like it


def test_trainings_without_a_finite_score_are_found_if_they_are_done() -> None:
    table = runs([0.5, math.nan, math.inf, 0.7], state=["done", "done", "done", "done"])
    assert [row.training for row in find_outliers(table)] == ["M1/fold=0/seed=0", "M2/fold=0/seed=0"]
    failed = runs([0.5, math.nan, -math.inf, 0.7], state=["done", "failed", "failed", "done"])
    assert find_outliers(failed) == [] and find_outliers(runs([math.nan] * 8)) == [] and find_outliers(runs([1.0] * 8), "val") == []


def test_what_is_said_of_outliers() -> None:
    unit, ordinary = Unit(False, 3), [0.5, 0.6, 0.7, 0.55, 0.65, 0.62]
    assert describe_outliers([], unit) == describe_outside([]) == ""
    one = find_outliers(runs([*ordinary, 1e9]))
    assert describe_outliers(one, unit) == (
        "1 training scored far from all others: M1/fold=1/seed=0 (1e+09); means and intervals include it"
    )
    assert describe_outliers(one, Unit(True)).count("(1e+11 %)") == 1 and describe_outside(one) == "1 training lies outside the axes"
    scores = [*(ordinary * 15), *(-1e12 - i for i in range(7)), math.inf]
    many = find_outliers(runs(scores, arms=50, conditions=1))
    text = describe_outliers(many, unit)
    assert text.startswith("7 trainings scored far from all others: M40/fold=0/seed=1 (−1e+12), ") and " and 2 more; " in text
    assert text.endswith("include them. 1 training ended without a finite score: M47/fold=0/seed=1; means and intervals leave it out")
    assert describe_outside(many) == "7 trainings lie outside the axes" and "\n" not in text


def test_a_typical_sample_and_span_leave_them_out() -> None:
    table = runs([0.5, 0.6, 0.7, 0.55, 0.65, 0.62, 1e9, 0.1], arms=2, conditions=1)
    (row,) = rows = find_outliers(table)
    assert find_typical_sample(table, row.arm, row.condition, rows).values == {0: 0.5, 1: 0.7, 2: 0.65}
    assert len(find_typical_sample(table, "M1", row.condition, rows).values) == 4
    assert find_score_span(table, rows) == (0.1, 0.7) and find_score_span(table, []) == (0.1, 1e9)
    assert find_score_span(runs([math.nan]), []) == (0.0, 1.0)


@settings(max_examples=200)
@given(
    st.lists(st.floats(-1e300, 1e300) | st.sampled_from([0.5, 0.6, 0.7, math.nan, math.inf]), min_size=1, max_size=40),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_any_scores_are_judged(scores: list[float], arms: int, conditions: int) -> None:
    """No warning, no outlier inside the others' span, and no more than one in ten on each side of them."""
    rows = find_outliers(runs(scores, arms=arms, conditions=conditions))
    far = [row for row in rows if math.isfinite(row.score)]
    assert all(not row.low <= row.score <= row.high for row in far)
    n = sum(map(math.isfinite, scores))
    for side in (-1, 1):
        assert sum(side * row.score > 0 for row in far) <= math.ceil(n / 10) + sum(side * row.low > 0 for row in far)


def diverged(folder: Path) -> Runs:
    """Return 4 methods under 4 folds with 5 paired seeds and validation scores, one of which ended at 1e9."""
    rng, rows = np.random.default_rng(1), []
    for fold in (1, 2, 5, 10):
        for number, method in enumerate("ABCD"):
            for seed in range(5):
                test = 3 + 0.1 * number + rng.normal(0, 0.1)
                if (method, fold, seed) == ("B", 5, 3):
                    test = 1e9
                rows.append((method, fold, seed, test * 1.01, test, f"{fold}-{seed}"))
    frame = pd.DataFrame(rows, columns=["method", "fold", "seed", "val", "test", "split_hash"])
    return read_table(written(folder, frame.to_csv(index=False)), conditions=["fold"], rope=0.05)


def test_a_diverged_training_does_not_erase_the_page(tmp_path: Path) -> None:
    """With digits from the spread of all trainings, every difference reads "-0 [-0 to -0]"."""
    table = diverged(tmp_path)
    unit = Unit.from_runs(table)
    assert unit.digits in (2, 3)  # of scores with a standard deviation of .1
    page = Page(build_report_files(table, compute_findings(table), with_figures=False)["index.html"].decode()).text
    assert "1 training scored far from all others: B/fold=5/seed=3 (1e+09); means and intervals include it" in page
    assert not re.search(r"(?<![\d.])[+−]?0(\.0+)? \[", page) and not re.search(r"−0(\.0+)?(?![\d.])", page)
    for method in "ACD":
        for fold in (1, 2, 5, 10):
            scores = list(table.get_sample(method, {"fold": fold}).values.values())
            mean, sd = unit.format_value(float(np.mean(scores))), unit.format_value(float(np.std(scores, ddof=1)))
            assert re.search(rf" {mean}( †)? ± {sd} ", page), (method, fold)


def test_axes_span_what_the_others_show(tmp_path: Path) -> None:
    table = diverged(tmp_path)
    cells = summarise_conditions(table)
    places = [(row.arm, row.condition) for row in cells]
    low, high = figure_axes.find_score_span(figure_axes.find_typical_scores(table, places, "metric"), 1, False)
    assert 2 < low < 2.9 and 3.4 < high < 4
    named = cells[0].metric
    assert named and figure_axes.find_typical_scores(table, places, "metric")[0] == named
    low, high = figure_axes.find_mean_span(figure_axes.find_typical_scores(table, places, "selector"), 1)
    assert 2.8 < low < high < 3.5


def test_axes_of_differences_span_what_the_others_show(tmp_path: Path) -> None:
    table = diverged(tmp_path)
    rows = compare_with_reference(table, "A")
    (changed,) = [row for row in rows if abs(row.diff) > 1]
    assert (changed.a, changed.condition) == ("B", {"fold": 5})
    ends = figure_axes.list_typical_ends(table, rows)
    assert len(ends) == 3 * len(rows) and max(map(abs, ends)) < 1
    a, b = ([score for score in table.get_sample(arm, {"fold": 5}).values.values()] for arm in "BA")
    assert pytest.approx(np.mean(np.delete(a, 3) - np.delete(b, 3))) in ends  # the seed that diverged is the fourth
    pooled = replace(changed, condition={})
    assert figure_axes.list_typical_ends(table, [pooled]) == []
    low, high = figure_axes.find_difference_span(table, rows, 1)
    assert low < min(ends) and high > max(0.05, *ends) and high - low < 2
    assert figure_axes.find_difference_span(table, [], 100) == pytest.approx((-5.4, 5.4))  # the margin alone, in percent


def test_figures_of_a_diverged_training_mark_it_at_the_edge(tmp_path: Path) -> None:
    table = diverged(tmp_path)
    cells = summarise_conditions(table)
    forest = figures.draw_forest(table, compare_with_reference(table, "A"), "A")
    for drawn in (figures.draw_means(table, cells), figures.draw_agreement(table, cells), forest):
        svg = drawn["svg"].decode()
        assert "1 training lies outside the axes" in svg and "2e+08" in svg
        assert max(abs(float(number)) for number in re.findall(r"[-+]?\d+\.\d+", svg)) < 2000
    panel = figures.draw_page_panel(table, cells, {}, "metric", [])
    assert "2e+08" in panel and len(re.findall(r">3\.\d<", panel.replace("−", "-"))) >= 2  # ticks between 3 and 4
    whole = table.table.assign(test=table.table["test"].where(table.table["test"] < 10, 3.2), val=3.0)
    calm = Runs(table.design, whole)
    assert "outside" not in figures.draw_means(calm, summarise_conditions(calm))["svg"].decode()


def test_a_replicate_outside_a_strip_is_an_arrow_at_its_edge() -> None:
    strip = render_dot_strip([("<0>", 0.5), (1, 0.6), (2, 1e9), (3, -1e300)], 0.5, 0.7, "#000")
    assert strip.count("<circle") == 2 and strip.count("<title>2: 1e+09</title></path>") == 1
    assert strip.count("<title>3: -1e+300</title></path>") == 1 and "<title>&lt;0&gt;: 0.5</title></circle>" in strip
    assert all(0 <= float(x) <= 200 for x in re.findall(r'(?:cx="|d="M)([-\d.e+]+)', strip))
