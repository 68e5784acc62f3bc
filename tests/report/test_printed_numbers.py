"""Every number of the papers' tables stands on the page beside what was measured of the same arm, condition and metric.

The runs are whole grids at paper scale with made-up scores, written through the public formats of a run folder.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from search_spaces.study import STUDIES, Study
from tests.report import printed_in_papers as papers
from tests.report.pages import Report, made
from trainables.cell import Cell, Data
from trainables.data.source import Source
from trainables.storage.store import RunFolder

CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise", "anxiety")
TYPED = {
    "adults_as_augmentation": papers.list_adults_as_augmentation(),
    "annealed_label_transfer": papers.list_annealed_label_transfer(),
    "children_cnn": papers.list_children_cnn(),
    "ciao": papers.list_ciao(),
}
NOT_SHOWN = ("pocket", "resnet18")
"""encoders at paper scale that the papers do not have: left out, so that there is less to write"""


class Tables(HTMLParser):
    """The tables of a page: rows of cells, each cell the list of its texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[list[list[list[str]]]] = []
        self.inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self.tables[-1][-1].append([])
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside and data.strip():
            self.tables[-1][-1][-1].append(data.strip())

    def find(self, name: str) -> tuple[list[str], dict[str, list[list[str]]]]:
        """Return the heads of a table and its rows by their first cell."""
        (table,) = [table for table in self.tables if table and table[0] and table[0][0] == [name]]
        return [" ".join(cell) for cell in table[0]], {" ".join(row[0]): row for row in table[1:]}


def write_run(path: Path, name: str) -> tuple[RunFolder, list[dict[str, Any]]]:
    """Write the study's whole grid at paper scale with random scores. Return the folder and every result."""
    study = STUDIES.find(name)("paper")
    if "encoder" in study.axes:
        study = study.narrow_axis("encoder", [value for value in map(str, study.axes["encoder"]) if value not in NOT_SHOWN])
    return write_grid(path, study)


def write_grid(path: Path, study: Study) -> tuple[RunFolder, list[dict[str, Any]]]:
    """Write a study's grid with random scores. Return the folder and every result."""
    cells = study.make_cells({role: Data(Source("faces"), role, f"made up, {role}") for role in study.roles})
    folder = RunFolder(str(path))
    folder.put_grid(study.name, study.scale, cells, steps=[cell.key for cell in cells if study.is_prerequisite(cell)])
    return folder, [write_result(folder, cell) for cell in cells if not study.is_prerequisite(cell)]


def write_result(folder: RunFolder, cell: Cell) -> dict[str, Any]:
    rng = np.random.default_rng(int(cell.key, 16) % 2**32)
    names = ("val/accuracy", "val/score", "test/accuracy", "test/score", "test/balanced_accuracy", "own/accuracy", "test/ccc_arousal")
    metrics = {name: float(rng.uniform(0.1, 0.9)) for name in (*names, "test/ccc_valence", "train/loss")}
    confusion = rng.integers(1, 30, (len(CLASSES), len(CLASSES))).tolist()
    result = {"key": cell.key, "axes": cell.axes, "metrics": metrics, "selected_epoch": 1, "flags": [], "split_hash": "", "seconds": 1.0}
    counts = {"train": [9] * len(CLASSES), "val": [9] * len(CLASSES), "test": [sum(row) for row in confusion]}
    result |= {"classes": list(CLASSES), "counts": counts, "confusion": confusion, "provenance": {"packages": {}}}
    folder.put_cell(cell)
    labels = np.arange(2 * len(CLASSES)) % len(CLASSES)
    folder.put_predictions(cell.key, index=np.arange(len(labels)), subject=labels, label=labels, probabilities=np.eye(len(CLASSES))[labels])
    folder.put_result(cell.key, result)
    return result


def get_score(result: dict[str, Any], metric: str) -> float:
    if metric == "recall of anxiety":
        row = result["confusion"][CLASSES.index("anxiety")]
        return row[CLASSES.index("anxiety")] / sum(row)
    return result["metrics"][metric]


Made = tuple[Report, list[dict[str, Any]]]
every_study = pytest.mark.parametrize("name", list(TYPED))


@pytest.fixture(scope="module")
def get_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """Return a function that gives a study's report and its results."""

    @cache
    def get(name: str) -> Made:
        folder, results = write_run(tmp_path_factory.mktemp(name) / "run", name)
        return made(folder), results

    return get


@every_study
def test_every_printed_number_stands_beside_the_measured_one(name: str, get_run: Callable[[str], Made]) -> None:
    report, results = get_run(name)
    page = Tables(report.text("index.html"))
    compared = STUDIES.find(name)("paper").compared
    by_point: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        axes = {axis: value for axis, value in result["axes"].items() if axis != "seed"}
        by_point[json.dumps(axes, sort_keys=True)].append(result)
    for typed in TYPED[name]:
        heads, rows = page.find(typed.table)
        at = heads.index(typed.column)
        printed, measured = rows[typed.row][at], rows[typed.row][at + 1]
        assert heads[at + 1] == "measured" and printed[0] == typed.number, typed
        if not typed.arm:
            assert measured == ["not measured"], typed
            continue
        trained = by_point[json.dumps({compared: typed.arm, **typed.condition}, sort_keys=True)]
        assert trained, typed
        mean = typed.scale * fmean(get_score(result, typed.metric) for result in trained)
        assert float(measured[0].split(" ± ")[0]) == pytest.approx(mean, abs=0.051 if typed.scale == 100 else 0.0051), typed
        assert measured[1].startswith(f"{typed.arm}, n = {len(trained)}"), typed


@every_study
def test_no_other_number_is_said_to_be_printed(name: str, get_run: Callable[[str], Made]) -> None:
    report, _ = get_run(name)
    stated = {
        (table, row, cell["printed"]["column"])
        for table, rows in report.data["printed"].items()
        for row, cells in rows.items()
        for cell in filter(None, cells)
    }
    typed = {(number.table, number.row, number.column) for number in TYPED[name]}
    p_values = {("Table 1", f"{split}%", "p-val.") for split in (50, 70, 90)} if name == "adults_as_augmentation" else set()
    assert stated == typed | p_values


@every_study
def test_the_tables_are_there_for_latex(name: str, get_run: Callable[[str], Made]) -> None:
    report, _ = get_run(name)
    files = Path(report.folder.get_path("report", "tables")).glob("printed-*.tex")
    text, markdown = "".join(file.read_text() for file in files), report.text("report.md")
    for typed in TYPED[name]:
        assert typed.number in text and typed.number in markdown, typed


def test_the_papers_p_values_stand_beside_those_of_the_same_test(get_run: Callable[[str], Made]) -> None:
    report, results = get_run("adults_as_augmentation")
    heads, rows = Tables(report.text("index.html")).find("Table 1")
    at = heads.index("p-val.")
    for row, numbers in papers.read_lines(papers.TABLE_1):
        place = {"split": int(row[:2]) / 100, "ratio": 20}
        scores = [
            [r["metrics"]["test/accuracy"] for r in results if r["axes"]["method"] == arm and place.items() <= r["axes"].items()]
            for arm in ("SC(c<-a)", papers.RUNNERS_UP[row])
        ]
        p = mannwhitneyu(*scores, alternative="greater", method="exact").pvalue
        assert rows[row][at][0] == numbers[2] and float(rows[row][at + 1][0]) == pytest.approx(p, rel=5e-3)


def test_another_ratio_than_the_papers_is_not_set_beside_its_numbers(tmp_path: Path) -> None:
    study = STUDIES.find("adults_as_augmentation")("pocket").narrow_axis("split", ["0.5"]).with_seeds(2)
    folder, _ = write_grid(tmp_path / "run", study)
    _, rows = Tables(made(folder).text("index.html")).find("Table 1")
    assert [cell[0] for cell in rows["50%"][2::2]] == ["not in this grid"] * 3


def test_a_grid_without_a_paper_condition_says_so(tmp_path: Path) -> None:
    study = STUDIES.find("annealed_label_transfer")("pocket").narrow_axis("scenario", ["wild"])
    folder, _ = write_grid(tmp_path / "run", study)
    _, rows = Tables(made(folder).text("index.html")).find("Table 1a, RAF-DB")
    assert rows["AlexNet + ALT"][2] == ["not in this grid", "ALT"] and rows["FSN"][2] == ["not measured"]
