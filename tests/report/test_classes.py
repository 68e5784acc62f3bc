"""Tests of results by class: recalls and confusions against counted predictions, classes without images, results without a matrix."""

import csv
import io
import re
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import browser, complaints, needs_browser
from fake_run import CLASSES, fake_run
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from platform.report import class_figures, inline_svg, report_tables
from platform.report.build_report_files import build_report_files
from platform.report.classes import (
    adjust_recall_tests,
    compute_class_recalls,
    merge_names,
    select_drawn_matrices,
    summarise_confusions,
    tabulate_class_recalls,
)
from platform.report.descriptive_statistics import ConditionSummary
from platform.report.findings import compute_findings
from platform.report.runs_table import Design, Runs
from search_spaces.study import Study
from tests.report.pages import Report, made
from tests.report.test_contents import Run, at, change, result
from trainables.storage.store import RunFolder

OUTSIDE = """return [...document.querySelectorAll('svg.matrix')].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter(e => { const box = e.getBoundingClientRect();
        return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
    }).map(e => e.textContent); })"""


def rows_of(report: Report, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(report.text(name))))


def counted(folder: RunFolder, key: str) -> list[list[int]]:
    """Return the confusion matrix of a test set, counted image by image from the stored predictions."""
    predictions, matrix = folder.get_predictions(key), [[0] * 7 for _ in range(7)]
    for label, probabilities in zip(predictions["label"].tolist(), predictions["probabilities"].tolist(), strict=True):
        matrix[label][probabilities.index(max(probabilities))] += 1
    return matrix


def test_recalls_and_confusions_are_the_predictions(whole: Report, finished: Run) -> None:
    folder, cells = finished
    recall, entries = rows_of(whole, "recall.csv"), rows_of(whole, "confusions.csv")
    assert len(recall) == 4 * 4 * 7 and len(entries) == 4 * 4 * 7 * 7 and len(whole.data["classes"]) == 4 * 4
    for row in whole.data["classes"]:
        matrices = [counted(folder, cell.key) for cell in at(cells, method=row["arm"], **row["condition"])]
        labels = {"method": row["arm"], **{axis: str(value) for axis, value in row["condition"].items()}}
        recalls, confusion_rows = ([entry for entry in table if labels.items() <= entry.items()] for table in (recall, entries))
        assert [entry["class"] for entry in recalls] == row["classes"] == list(CLASSES) and row["n"] == 8
        for true in range(7):
            shares = [matrix[true][true] / sum(matrix[true]) for matrix in matrices]
            interval = row["recall"][true]
            assert (interval["mean"], interval["sd"], interval["n"]) == pytest.approx((fmean(shares), stdev(shares), 8))
            assert [float(recalls[true][name]) for name in ("recall", "sd", "images")] == pytest.approx([fmean(shares), stdev(shares), 160])
            for answer in range(7):
                entry = confusion_rows[7 * true + answer]
                assert (entry["true"], entry["answered"]) == (CLASSES[true], CLASSES[answer])
                assert int(entry["count"]) == row["counts"][true][answer] == sum(matrix[true][answer] for matrix in matrices)
                share = fmean(matrix[true][answer] / sum(matrix[true]) for matrix in matrices)
                assert row["shares"][true][answer] == pytest.approx(share) and float(entry["share"]) == pytest.approx(share)


def test_average_accuracy_is_what_each_training_measured(whole: Report, finished: Run) -> None:
    folder, cells = finished
    for row in whole.data["classes"]:
        scores = [result(folder, cell)["metrics"]["test/balanced_accuracy"] for cell in at(cells, method=row["arm"], **row["condition"])]
        assert (row["average"]["mean"], row["average"]["sd"]) == pytest.approx((fmean(scores), stdev(scores)))
    name = "average accuracy (mean recall over classes, balanced accuracy)"
    assert f"below it test {name}" in whole.page.text and f"Average: {name}" in whole.page.text
    assert any(sentence.startswith("Average accuracy is the mean over classes of recall") for sentence in whole.data["methods"])
    assert f"After the slash: mean test {name}." in whole.text("tables", "means.tex")
    cell = next(cell for cell in whole.data["cells"] if (cell["arm"], cell["condition"]) == ("SL(c)", {"split": 0.5, "ratio": 1}))
    assert f"{100 * cell['metric']['mean']:.1f} ± {100 * cell['metric']['sd']:.1f} / {100 * cell['secondary']['mean']:.1f}" in whole.text(
        "report.md"
    )


@st.composite
def confusions(draw: st.DrawFn) -> np.ndarray:
    """Draw counts [trainings, classes, classes] in which many classes have no image."""
    trainings, size = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    line = st.one_of(st.just([0] * size), st.lists(st.integers(0, 6), min_size=size, max_size=size))
    return np.array([[draw(line) for _ in range(size)] for _ in range(trainings)])


@given(confusions())
def test_any_matrices(counts: np.ndarray) -> None:
    trainings, size, _ = counts.shape
    names = [f"class {k}" for k in range(size)]
    (row,) = adjust_recall_tests([summarise_confusions("A", {}, names, counts, 1 / size)])
    averages: list[float] = []
    for training in counts.tolist():
        shares = [line[k] / sum(line) for k, line in enumerate(training) if sum(line)]
        averages += [fmean(shares)] if shares else []
    assert row.average.mean == pytest.approx(fmean(averages)) if row.average else averages == []
    for k in range(size):
        lines = [training[k] for training in counts.tolist() if sum(training[k])]
        recall = row.recall[k]
        assert row.images[k] == (counts[:, k].sum(1).min(), counts[:, k].sum(1).max())
        if recall is None:
            assert lines == [] and names[k] not in row.low and np.isnan(row.shares[k]).all()
            continue
        assert (recall.mean, recall.n) == pytest.approx((fmean(line[k] / sum(line) for line in lines), len(lines)))
        assert row.shares[k] == pytest.approx([fmean(line[answer] / sum(line) for line in lines) for answer in range(size)])
        tested = row.tested[k]
        assert names[k] not in row.low or (tested and tested.mean < row.chance and (row.p_adj[k] or 0) <= 0.05)
    texts = said_of(Runs(Design("t", "t", "method", "seed", (), percent=False), frame(trainings)), row)
    assert texts[:-1] == ["no images" if recall is None else texts[k] for k, recall in enumerate(row.recall)]
    assert not any("nan" in text for text in texts) and "nan" not in inline_svg.render_confusion_matrix(row, "seeds")


def frame(trainings: int) -> pd.DataFrame:
    return pd.DataFrame({"method": "A", "seed": range(trainings), "state": "done", "reason": "", "split_hash": "", "test/accuracy": 0.5})


def said_of(runs: Runs, row: Any) -> list[str]:
    """Return the entries of the row's line in the table."""
    cell = ConditionSummary("A", {}, row.n, 0, 0, None, None, None, np.nan, np.nan, np.nan)
    (line, _) = report_tables.build_recall_table(runs, [row], [cell]).rows
    assert line[0].text == "A"
    return [entry.text for entry in line[1:]]


def with_confusion(folder: RunFolder, cell: Any, matrix: np.ndarray, classes: list[str] | None = None) -> None:
    change(folder, cell, confusion=matrix.tolist(), **({"classes": classes} if classes else {}))


def test_classes_that_are_hardly_ever_recognised_are_a_finding(run: Run, whole: Report) -> None:
    folder, cells = run
    assert not any("below chance" in finding for finding in whole.data["findings"])
    for cell in at(cells, split=0.9, ratio=5):
        matrix = np.diag([100] * 7)
        matrix[2] = [0, 0, 5, 0, 0, 0, 95] if cell.axes["method"] == "SL(c)" else matrix[2]
        matrix[1] = [100, 0, 0, 0, 0, 0, 0]
        if cell.axes["method"] == "UC(c)" and int(cell.axes["seed"]) < 2:  # type: ignore[arg-type]
            matrix = np.eye(7, dtype=int)[[1] * 7] * 100
        with_confusion(folder, cell, matrix)
    report = made(folder)
    finding = (
        "At split = 0.9, ratio = 5, recall is below chance (14.3 %; one-sided t tests, adjusted p ≤ .05 over 112): "
        "disgust by all 4 (0.0 %); fear by SL(c) (5.0 %). "
        "Left out, as they predict the same class for every image: UC(c), 2 of 8 trainings."
    )
    assert report.data["findings"][-1] == finding and finding in report.page.text
    assert "recall is below chance" in report.text("report.md")
    assert "UC(c): 2 of 8 trainings predict the same class for every image." in report.page.text
    assert "p ≤ .05, adjusted by Holm's method over 112 tests: every method, class and condition" in report.page.text
    assert sum(attributes.get("class") == "n low" for _, attributes in report.page.tags) == 5
    low = {(row["method"], row["class"]) for row in rows_of(report, "recall.csv") if float(row["p_adj"]) <= 0.05}
    assert low == {(arm, "disgust") for arm in ("SL(c)", "UC(c)", "SC(c)", "SC(c<-a)")} | {("SL(c)", "fear")}


def test_what_cannot_be_significant_is_said_once(run: Run) -> None:
    """20 images in each of 8 seeds have p .00065 if none is recognised: times 112 tests, that is .073."""
    folder, cells = run
    matrix = np.diag([0, *[20] * 6])
    matrix[0, 1] = 20
    for cell in at(cells, split=0.9, ratio=5):
        with_confusion(folder, cell, matrix)
    report = made(folder)
    assert report.page.text.count("Even a recall of 0 in every training would not be significant") == 1
    assert not any("below chance" in finding for finding in report.data["findings"])
    (entry, *_) = (row for row in rows_of(report, "recall.csv") if (row["split"], row["ratio"], row["class"]) == ("0.9", "5", "anger"))
    assert float(entry["p_adj"]) == pytest.approx(112 * stats.t.cdf(-(8**0.5) / (6 / 20) ** 0.5, 7)) and float(entry["recall"]) == 0


def test_a_single_training_has_no_verdict() -> None:
    counts = np.array([[[0, 50, 0], [10, 10, 10], [0, 1, 0]]])
    for trainings in (1, 2):
        row = summarise_confusions("A", {}, ["many", "some", "few"], np.repeat(counts, trainings, 0), 1 / 3)
        (row,) = adjust_recall_tests([row])
        assert (row.low, row.p, row.p_adj, row.tested, row.m) == ([], [None] * 3, [None] * 3, [None] * 3, 0)
    (several,) = adjust_recall_tests([summarise_confusions("A", {}, ["many", "some", "few"], np.repeat(counts, 3, 0), 1 / 3)])
    assert several.low == ["many"] and several.m == 3


def test_a_recall_of_just_chance_is_not_below_it() -> None:
    """The mean of fifteen values of 1/3 may be rounded to a digit below 1/3."""
    (row,) = adjust_recall_tests([summarise_confusions("A", {}, ["x", "y", "z"], np.array([[[1, 1, 1]] * 3] * 15), 1 / 3)])
    assert (
        row.low == []
        and row.p == pytest.approx([0.5] * 3)
        and all(recall and (recall.mean, recall.sd) == (pytest.approx(1 / 3), 0) for recall in row.recall)
    )


def test_results_without_a_confusion_matrix_are_counted(run: Run) -> None:
    folder, cells = run
    for cell in at(cells, method="SC(c)", split=0.9, ratio=5)[:3] + at(cells, method="UC(c)", split=0.9, ratio=5):
        folder.put_result(cell.key, {name: value for name, value in result(folder, cell).items() if name != "confusion"})
    report = made(folder)
    assert "117 of 128 trainings wrote a confusion matrix : the others are not in this section" in report.page.text
    trainings = {row["arm"]: row["n"] for row in report.data["classes"] if row["condition"] == {"split": 0.9, "ratio": 5}}
    assert trainings == {"SL(c)": 8, "SC(c)": 5, "SC(c<-a)": 8} and "SC(c) (5/8)" in report.text("tables", "recall.tex")


def test_without_any_the_section_is_absent(run: Run) -> None:
    folder, cells = run
    for cell in cells:
        folder.put_result(cell.key, {name: value for name, value in result(folder, cell).items() if name != "confusion"})
    report = made(folder)
    names = ("recall.csv", "confusions.csv", "tables/recall.tex", "figures/confusions.svg")
    assert report.data["classes"] == [] and not any(words in report.page.text for words in ("Class by class", *names))
    runs = Runs(Design("t", "t", "method", "seed", ()), frame(3))
    assert compute_class_recalls(runs) == select_drawn_matrices(runs, []) == [] and not {*names} & {
        *build_report_files(runs, compute_findings(runs))
    }


def test_conditions_may_have_other_classes(run: Run) -> None:
    folder, cells = run
    eight = ["anger", "contempt", *CLASSES[1:]]
    for cell in at(cells, split=0.9):
        counts = np.insert(np.insert(np.diag([20] * 7), 1, 0, 0), 1, 0, 1)
        counts[1, 2] = 0 if cell.axes["ratio"] == 5 else 9
        with_confusion(folder, cell, counts, eight)
    report = made(folder, with_figures=True)
    assert {len(row["classes"]) for row in report.data["classes"]} == {7, 8}
    head, *lines = [row.strip("| ").split(" | ") for row in report.text("report.md").split("## Recall")[1].split("##")[0].splitlines()[4:]]
    assert [name.strip() for name in head] == ["method", *eight, "average"]
    by_arm = {(number > 5, line[0]): line for number, line in enumerate(lines) if line[0]}
    assert by_arm[False, "SC(c)"][2] == "–" and by_arm[True, "SC(c)"][2] == "no images" and by_arm[True, "images"][2] == "0"
    assert "contempt read as" not in report.text("index.html") and report.page.text.count("no images") >= 8


@pytest.mark.parametrize(
    ("lists", "order"),
    [
        (["abc", "abc"], "abc"),
        (["acd", "abcd"], "abcd"),
        (["abde", "ace", "f"], "abdcef"),
        ([], ""),
    ],
)
def test_class_lists_are_merged_in_their_order(lists: list[str], order: str) -> None:
    assert "".join(merge_names(lists)) == order


def test_matrices_are_drawn_where_tables_are_read(run: Run) -> None:
    folder, cells = run
    for cell in at(cells, split=0.9, ratio=5):
        folder.remove("cells", cell.key, "result.json")
    assert "Class by class, at split = 0.5, ratio = 5" in made(folder).page.text
    for cell in at(cells, split=0.5, ratio=5):
        folder.remove("cells", cell.key, "result.json")
    report = made(folder, with_figures=True)
    assert "Class by class, at split = 0.9, ratio = 1" in report.page.text
    assert "split = 0.9, ratio = 1: percent of each true class, mean over seeds" in report.text("figures", "confusions.svg")


def test_as_data_what_is_not_known_is_empty() -> None:
    row = summarise_confusions("A", {"split": 0.5}, ["x", "y"], np.array([[[3, 1], [0, 0]]]), 0.5)
    tables = tabulate_class_recalls([row], "method")
    assert tables["recall"].columns.tolist() == [
        *("method", "split", "class", "trainings", "images", "recall", "low", "high", "sd", "chance"),
        *("tested", "p", "p_adj"),
    ]
    assert tables["recall"]["recall"].isna().tolist() == [False, True] and tables["recall"]["images"].tolist() == [4, 0]
    assert tables["confusions"]["share"].dropna().tolist() == [0.75, 0.25]


def test_the_figure_says_what_has_no_images() -> None:
    row = summarise_confusions("A$x$", {}, ["anger", "<b>", "fear"], np.array([[[3, 1, 0], [0, 0, 0], [0, 0, 1]]]), 1 / 3)
    for arms, lines in ((1, 1), (4, 1), (6, 2)):
        text = class_figures.draw_confusions([row] * arms, "seed")["svg"].decode()
        assert text.count("no images") == arms == text.count(">A$x$<") and "nan" not in text
        assert text.count(">anger<") == lines + min(arms, 4)
    assert class_figures.draw_confusions([], "seed") == {}


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_a_person_reads_the_matrices(study: Study, tmp_path: Path, width: int) -> None:
    """The class names include a long one and one with markup characters, whose class has no images."""
    folder, cells = fake_run(tmp_path / "run", study.with_seeds(3).narrow_axis("split", ["0.9"]))
    names = ["anger", "<b>&contempt", "a very long name of a class", *CLASSES[2:]]
    for cell in cells:
        counts = np.insert(np.insert(np.array(result(folder, cell)["confusion"]), 1, 0, 0), 1, 0, 1)
        with_confusion(folder, cell, counts, names)
    address = Path(made(folder).folder.get_path("report", "index.html")).as_uri()
    with browser(width) as driver:
        driver.get(address)
        assert complaints(driver) == [] and driver.execute_script(OUTSIDE) == []
        texts = driver.execute_script("return [...document.querySelectorAll('svg.matrix')].map(e => e.textContent)")
        assert len(texts) == 4 and all("no images" in text and text.count("<b>&contempt") >= 2 for text in texts)
        sizes = driver.execute_script(
            "return [...document.querySelectorAll('svg.matrix g text')].map(e => e.getBoundingClientRect().height)"
        )
        assert len(sizes) == 4 * 7 * 8 and min(sizes) > 8.5
        titles = driver.execute_script("return [...document.querySelectorAll('svg.matrix title')].map(e => e.textContent)")
        assert re.fullmatch(r"anger read as anger: [\d.]+ %, \d+ images in 3 seeds", titles[0])
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
