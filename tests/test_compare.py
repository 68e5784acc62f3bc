"""One report over several run folders: what is compared and paired, which numbers it holds, and what it refuses."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_run import fake_run, finish
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner, Result

from platform.cli.application import make_application
from platform.compare.__main__ import main
from platform.compare.folder_names import name_folders
from search_spaces.study import STUDIES, Study
from trainables.cell import Cell
from trainables.storage.store import RunFolder


def make_study(**settings: Any) -> Study:
    study = STUDIES.find("adults_as_augmentation")("pocket").narrow_axis("method", ["SC(c)", "SC(c<-a)"]).with_seeds(4)
    for name, value in settings.items():
        study = study.with_setting(name, value)
    return study


def compare(*words: object) -> Result:
    return CliRunner().invoke(make_application(main), [*map(str, words)])


def read_report(result: Result) -> tuple[dict[str, Any], pd.DataFrame]:
    assert result.exit_code == 0, result.output
    page = Path(result.stdout.strip())
    assert page.name == "index.html" and "<html" in page.read_text()
    return json.loads((page.parent / "report.json").read_text()), pd.read_csv(page.parent / "runs.csv")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two runs that differ in the learning rate and in the precision."""
    place = tmp_path_factory.mktemp("compared")
    fake_run(place / "a" / "adults-pocket", make_study())
    fake_run(place / "b" / "adults-pocket", make_study(lr=0.01, precision="bf16"))
    return place


@pytest.fixture
def pair(runs: Path) -> tuple[Path, Path]:
    return runs / "a" / "adults-pocket", runs / "b" / "adults-pocket"


def test_folders_are_compared_paired_by_split(pair: tuple[Path, Path], tmp_path: Path) -> None:
    report, table = read_report(compare(*pair, "--out", tmp_path))
    assert report["compared"] == "run" and report["axes"]["run"] == ["a", "b"] and report["baseline"] == "a"
    assert set(report["axes"]) == {"run", "method", "split", "ratio", "seed"} and len(table) == 2 * 2 * 2 * 2 * 4
    assert report["claims"] == [] and report["published"] == []
    rows = [row for row in report["comparisons"] if {row["a"], row["b"]} == {"a", "b"} and row["family"] != "published"]
    assert rows and all(row["paired"] for row in rows)  # the published analysis is a Mann-Whitney test, which pairs nothing
    whole = next(row for row in rows if not row["condition"] and row["test"])
    means = table.groupby(["run", "seed"])["test/accuracy"].mean()
    expected = stats.ttest_rel(means[whole["a"]], means[whole["b"]])  # the unit is a seed, averaged over the conditions
    assert math.isclose(whole["p"], expected.pvalue, rel_tol=1e-9) and math.isclose(
        whole["diff"], (means[whole["a"]] - means[whole["b"]]).mean()
    )
    assert any("a and b differ in" in note and "lr (0.05, 0.01)" in note and "precision (auto, bf16)" in note for note in report["notes"])


def test_every_row_is_that_of_its_folder(pair: tuple[Path, Path], tmp_path: Path) -> None:
    _, table = read_report(compare(*pair, "--out", tmp_path))
    for name, place in zip("ab", pair, strict=True):
        folder = RunFolder(str(place))
        rows = table[table["run"] == name]
        assert rows["key"].tolist() == [cell.key for cell in folder.get_cells()]
        scores = [folder.get_result(key)["metrics"]["test/accuracy"] for key in rows["key"]]  # type: ignore[index]
        assert rows["test/accuracy"].tolist() == pytest.approx(scores, abs=1e-15)


def test_a_setting_is_compared_and_what_else_differs_is_said(pair: tuple[Path, Path], tmp_path: Path) -> None:
    report, table = read_report(compare(*pair, "--by", "lr", "--out", tmp_path))
    assert report["compared"] == "lr" and report["axes"]["lr"] == ["0.05", "0.01"] and set(table["lr"]) == {0.05, 0.01}
    assert any(note.startswith("warning: besides lr, a and b differ in precision (auto, bf16)") for note in report["notes"])


@pytest.mark.parametrize(("options", "axis", "values"), [((), "run", ["a", "b"]), (("--by", "lr"), "lr", [0.01, 0.05])])
def test_the_folder_or_a_setting_as_a_further_condition(
    pair: tuple[Path, Path], tmp_path: Path, options: tuple[str, ...], axis: str, values: list[Any]
) -> None:
    report, _ = read_report(compare(*pair, *options, "--condition", "--out", tmp_path))
    assert report["compared"] == "method" and report["axes"][axis] == values and report["axes"]["method"] == ["SC(c)", "SC(c<-a)"]
    assert {row["condition"][axis] for row in report["comparisons"] if row["condition"]} == set(values)


def test_an_axis_is_compared_over_folders_that_hold_a_value_each(tmp_path: Path) -> None:
    for split in ("0.5", "0.9"):
        fake_run(tmp_path / split, make_study().narrow_axis("split", [split]))
    result = compare(tmp_path / "0.5", tmp_path / "0.9", "--by", "ratio", "--out", tmp_path / "out")
    report, table = read_report(result)
    assert report["compared"] == "ratio" and report["axes"]["ratio"] == ["1", "5"] and len(table) == 32


def test_another_comparison_has_another_folder(pair: tuple[Path, Path]) -> None:
    places = {compare(*pair, *options).stdout.strip() for options in ((), ("--by", "lr"), ("--condition",))}
    assert len(places) == 3 and all(Path(place).parent.parent == pair[0].parent for place in places)
    assert str(pair[0].parent / "compare-a-b" / "index.html") in places


def test_the_same_runs_give_the_same_bytes(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert compare(*pair, "--out", tmp_path / name).exit_code == 0
    for file in (tmp_path / "one").rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()


def test_unfinished_trainings_are_missing_and_three_folders_are_compared(pair: tuple[Path, Path], tmp_path: Path) -> None:
    study = make_study(lr=0.1)
    folder, cells = fake_run(tmp_path / "c", study)
    folder.remove("cells", cells[0].key, "result.json")
    folder.put_error(cells[1].key, {"reason": "the loss is nan"})
    folder.remove("cells", cells[1].key, "result.json")
    report, table = read_report(compare(*pair, folder.root, "--out", tmp_path / "out"))
    assert report["runs"] == {"done": 3 * 32 - 2, "failed": 1, "missing": 1} and set(table["run"]) == set(report["axes"]["run"])
    assert len(report["axes"]["run"]) == 3


def change_split(folder: RunFolder, cell: Cell) -> None:
    folder.put_result(cell.key, (folder.get_result(cell.key) or {}) | {"split_hash": "another"})


def refuse(tmp_path: Path, pair: tuple[Path, Path], other: Callable[[Path], Any], *options: str) -> str:
    other(tmp_path / "other")
    result = compare(pair[0], tmp_path / "other", *options, "--out", tmp_path / "out")
    assert result.exit_code == 2 and result.output.count("\n") == 1 and not (tmp_path / "out").exists(), result.output
    return result.output


def test_runs_of_different_studies_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    said = refuse(tmp_path, pair, lambda place: fake_run(place, STUDIES.find("children_cnn")("pocket").with_seeds(1)))
    assert f"{pair[0]} is a run of adults_as_augmentation and {tmp_path / 'other'} one of children_cnn" in said


def test_runs_with_another_metric_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    def make(place: Path) -> None:
        folder, cells = fake_run(place, make_study(lr=0.01))
        for cell in cells:
            result = folder.get_result(cell.key) or {}
            folder.put_result(cell.key, result | {"metrics": {"val/f1": 0.5, "test/f1": 0.5}})

    assert "its results hold no test/accuracy, which is compared; they hold test/f1" in refuse(tmp_path, pair, make)


def test_runs_with_other_test_images_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    def make(place: Path) -> None:
        folder, cells = fake_run(place, make_study(lr=0.01, per_class=60))
        change_split(folder, cells[3])

    said = refuse(tmp_path, pair, make)
    assert "have other test images in 1 of 32 trainings that both have, such as " in said and "per_class (120, 60)" in said


def test_runs_of_other_data_without_a_common_seed_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    def make(place: Path, fingerprint: str = "another") -> None:
        study = make_study()
        folder, cells = fake_run(place, replace(study, axes=study.axes | {"seed": (7, 8, 9)}))
        changed = [replace(cell, data=cell.data | {"children": replace(cell.data["children"], fingerprint=fingerprint)}) for cell in cells]
        folder.put_grid(study.name, study.scale, changed)
        for cell in changed:
            finish(folder, study, cell)

    assert "have other test images in all trainings; the data of children differ" in refuse(tmp_path, pair, make)
    make(tmp_path / "same", "fingerprint-children")  # the same data, other seeds: nothing is paired, and the scores can be compared
    report, _ = read_report(compare(pair[0], tmp_path / "same", "--out", tmp_path / "out"))
    assert not any(row["paired"] for row in report["comparisons"] if {row["a"], row["b"]} == set(report["axes"]["run"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--by", "lrr"), "unknown setting of adults_as_augmentation 'lrr'; did you mean lr?"),
        (("--by", "momentum"), "--by momentum: it has one value in all of these runs; they differ in precision, lr"),
        (("--by", "seed"), "--by seed: it tells repetitions apart"),
        (("--by", "method", "--condition"), "--by method: it is what the study compares"),
    ],
)
def test_a_wrong_by_is_one_line(pair: tuple[Path, Path], tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    result = compare(*pair, *options, "--out", tmp_path / "out")
    assert result.exit_code == 2 and message in result.output and result.output.count("\n") == 1, result.output


def test_two_trainings_at_one_place_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    said = refuse(tmp_path, pair, lambda place: fake_run(place, make_study(momentum=0.5)), "--by", "method")
    assert "both have SC(c)" in said and "differ in momentum (0.9, 0.5)" in said


def test_too_few_folders_no_run_and_a_folder_twice_are_one_line(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for words, message in (
        ((pair[0],), "two run folders or more are compared"),
        ((pair[0], pair[0]), "a run folder is named twice"),
        ((pair[0], tmp_path), "no run here"),
    ):
        result = compare(*words)
        assert result.exit_code == 2 and message in result.output and result.output.count("\n") == 1, result.output


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/x/one", "/x/two"], ["one", "two"]),
        (["/x/a/run", "/x/b/run"], ["a", "b"]),
        (["s3://b/a/run/", "/x/b/run"], ["s3://b/a", "/x/b"]),
        (["/x/run", "/x/y/run"], [".", "y"]),
        (["/a/run", "/b/c/run", "/b/d/run"], ["a", "b/c", "b/d"]),
    ],
)
def test_names_tell_folders_apart(paths: list[str], names: list[str]) -> None:
    assert name_folders(paths) == names


@given(st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts)), unique=True, min_size=2))
def test_different_folders_have_different_names(paths: list[str]) -> None:
    names = name_folders(paths)
    assert len(set(names)) == len(paths) and all(names)


def test_numbers_are_finite(pair: tuple[Path, Path], tmp_path: Path) -> None:
    _, table = read_report(compare(*pair, "--out", tmp_path))
    assert np.isfinite(table["test/accuracy"]).all()
