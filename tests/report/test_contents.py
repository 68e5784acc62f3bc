"""Reports of incomplete, unusual and differently named runs. A report's files are reproducible."""

import csv
import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import typer
from fake_run import fake_run, finish

from platform.report import __main__ as report
from platform.report.write_report import find_only_run
from search_spaces.claims import Claim, Published
from search_spaces.study import STUDIES, Arm, Study
from tests.report.pages import Report, made
from trainables.cell import Cell
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

FIELDS = """family condition a b selected_by n_a n_b paired test alternative statistic p p_adj m a12 a12_low a12_high
diff diff_low diff_high mde verdict note"""
ROOT = Path(__file__).parents[2]
Run = tuple[RunFolder, list[Cell]]


def at(cells: list[Cell], **axes: Any) -> list[Cell]:
    return [cell for cell in cells if axes.items() <= cell.axes.items()]


def result(folder: RunFolder, cell: Cell) -> dict[str, Any]:
    return folder.get_result(cell.key) or {}


def change(folder: RunFolder, cell: Cell, **what: Any) -> None:
    folder.put_result(cell.key, result(folder, cell) | what)


def test_every_file_is_there(whole: Report) -> None:
    files = {path.split("/report/")[1] for path in whole.folder.files.find(whole.folder.get_path("report"))}
    tables = {f"tables/{name}.tex" for name in ("readings", "ranking", "printed-table-1", "means", "claims", "recall", "completeness")}
    figures = {f"figures/{name}.{kind}" for name in ("means", "forest", "agreement", "confusions", "classes") for kind in ("svg", "pdf")}
    tidy = {f"{name}.csv" for name in ("runs", "cells", "comparisons", "recall", "confusions")}
    data = {"runs.parquet", "report.json", "report.md", "index.html"} | tidy
    assert files == tables | figures | data
    assert all(name in whole.page.text for name in files - {"index.html"})


def test_the_table_holds_every_cell(whole: Report, finished: Run) -> None:
    folder, cells = finished
    assert [row["key"] for row in whole.table] == [cell.key for cell in cells]
    for row, cell in zip(whole.table, cells, strict=True):
        stored = result(folder, cell)
        assert {axis: row[axis] for axis in cell.axes} == {axis: str(value) for axis, value in cell.axes.items()}
        assert {metric: float(row[metric]) for metric in stored["metrics"]} == stored["metrics"]
        assert (row["state"], row["split_hash"]) == ("done", stored["split_hash"])
    parquet = pyarrow.parquet.read_table(folder.get_path("report", "runs.parquet"))
    assert parquet.column_names == list(whole.table[0]) and parquet.num_rows == len(cells)
    comparisons = list(csv.DictReader(io.StringIO(whole.text("comparisons.csv"))))
    assert len(comparisons) == len(whole.data["comparisons"]) + len(whole.data["pairwise"])
    fields = set(re.findall(r"\w+", FIELDS))
    assert all(fields <= set(row) for row in (*whole.data["comparisons"], *whole.data["pairwise"])) and fields <= set(comparisons[0])
    assert len(list(csv.DictReader(io.StringIO(whole.text("cells.csv"))))) == len(whole.data["cells"])


def test_the_same_runs_give_the_same_bytes(finished: Run, whole: Report, tmp_path: Path) -> None:
    """The bytes are the same in another process, with another hash seed, from a copy in another folder."""
    folder, _ = finished
    copy = tmp_path / "elsewhere"
    subprocess.run(["cp", "-r", folder.root, copy], check=True)
    subprocess.run(["rm", "-r", copy / "report"], check=True)
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-m", "platform.report", copy], cwd=ROOT, env=environment, check=True, capture_output=True)
    for path in folder.files.find(folder.get_path("report")):
        name = path.split("/report/")[1]
        assert (copy / "report" / name).read_bytes() == Path(path).read_bytes(), name


def test_the_page_stands_alone_and_says_what_it_shows(whole: Report) -> None:
    page = whole.page
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in page.tags}
    outside = [
        value for _, attributes in page.tags for name, value in attributes.items() if value and "//" in value and name[:5] != "xmlns"
    ]
    assert outside == [] and "@import" not in page.text and "url(http" not in page.text
    assert page.count("h1") == 1
    for words in (
        "Adults as augmentations for children",
        "rendered faces, children",
        "say nothing about real people",
        "128 of 128 trainings done",
        "chance 14.3 14.3",
        "majority class 14.3 14.3 14.3 14.3",
        "split = 0.7 not run in this grid printed in the paper SC(c<-a) 75.8 SC(c) 73.3",
        *whole.data["findings"],
        *whole.data["methods"],
    ):
        assert words in page.text, words


@pytest.mark.parametrize("name", ["annealed_label_transfer", "children_cnn", "ciao"])
def test_what_a_text_did_not_print_is_a_dash(name: str, tmp_path: Path) -> None:
    """The page of a study shows no Python value such as None or nan."""
    study = STUDIES.find(name)("pocket").with_seeds(2)
    folder, _ = fake_run(tmp_path, study)
    written = made(folder, study, with_figures=True)
    assert not re.search(r"\b(None|nan|NaN|inf)\b", written.page.text), name
    assert len(written.data["readings"]) == 11 or name != "annealed_label_transfer"
    assert all(sentence in written.page.text for sentence in written.data["readings"])


def test_other_data_carry_no_banner(tmp_path: Path, study: Study) -> None:
    folder, _ = fake_run(tmp_path / "run", study.with_seeds(1).narrow_axis("split", ["0.5"]), title="FER2013, {role}")
    text = made(folder).page.text
    assert "FER2013, children" in text and "Rendered" not in text


def test_failed_and_missing_are_counted_first_and_never_filled(run: Run) -> None:
    folder, cells = run
    failed, interrupted, fresh = at(cells, method="SC(c)", split=0.9, ratio=5)[:3]
    for cell in (failed, interrupted, fresh):
        folder.remove("cells", cell.key, "result.json")
    folder.put_error(failed.key, {"reason": "the loss of phase fit is nan in epoch 3: a lower lr may help"})
    folder.remove("cells", fresh.key, "history.jsonl")
    written = made(folder)
    assert written.data["runs"] == {"done": 125, "failed": 1, "missing": 2}
    reasons = {row["key"]: row["reason"] for row in written.table if row["state"] != "done"}
    assert reasons == {
        failed.key: "the loss of phase fit is nan in epoch 3: a lower lr may help",
        interrupted.key: "interrupted after 10 epochs",
        fresh.key: "not begun",
    }
    assert all(reason in written.page.text for reason in reasons.values()) and "5/8, 1 failed, 2 missing" in written.page.text
    assert written.page.text.index("5/8, 1 failed") < written.page.text.index("What was found")
    (cell,) = [row for row in written.data["cells"] if row["arm"] == "SC(c)" and row["condition"] == {"split": 0.9, "ratio": 5}]
    assert (cell["done"], cell["failed"], cell["missing"], cell["metric"]["n"]) == (5, 1, 2, 5)
    paired = [
        row for row in written.data["pairwise"] if row["condition"] == cell["condition"] and {row["a"], row["b"]} == {"SC(c)", "SL(c)"}
    ]
    assert {(row["n_a"], row["n_b"], row["paired"], row["note"]) for row in paired} == {(5, 5, True, "3 without a partner left out")}
    assert "5/8 1f 2m" in written.text("tables", "completeness.tex") and "(5/8)" in written.text("tables", "means.tex")


def test_a_missing_cell_changes_no_other_conditions_p(run: Run, whole: Report) -> None:
    folder, cells = run
    folder.remove("cells", at(cells, method="SC(c)", split=0.9, ratio=5)[0].key, "result.json")
    written = made(folder)
    for row, reference in zip(written.data["pairwise"], whole.data["pairwise"], strict=True):
        if row["condition"] != {"split": 0.9, "ratio": 5}:
            assert row == reference
    assert written.rows("published")[0] == whole.rows("published")[0]


def test_other_splits_are_not_paired(run: Run) -> None:
    folder, cells = run
    for cell in at(cells, method="SL(c)"):
        change(folder, cell, split_hash=f"of its own {cell.axes['seed']}")
    rows = [row for row in made(folder).data["pairwise"] if "SL(c)" in (row["a"], row["b"])]
    assert not any(row["paired"] for row in rows) and {row["test"] for row in rows} == {"Welch t"}
    assert all(row["note"] == "no shared data splits: unpaired" for row in rows)


def test_nothing_done_yet(run: Run) -> None:
    folder, cells = run
    for cell in cells:
        folder.remove("cells", cell.key, "result.json")
    written = made(folder, with_figures=True)
    assert written.data["runs"]["missing"] == len(written.table) == 128 and "No training is done yet" in written.page.text


@pytest.mark.parametrize("seeds", [1, 2, 3, 5, 6])
def test_too_few_seeds_are_called_so_and_three_are_tested(tmp_path: Path, study: Study, seeds: int) -> None:
    folder, _ = fake_run(tmp_path / "run", study.with_seeds(seeds))
    written = made(folder, with_figures=seeds < 3)
    rows = [*written.rows("winner"), *written.rows("confirmatory"), *written.rows("claims"), *written.rows("overall")]
    assert all((row["verdict"] == "not tested") == (row["p"] is None) == (seeds < 3) for row in rows)
    assert all((row["diff_low"] is None) == (seeds == 1) for row in rows)
    assert ("are not tested (over 4 conditions; fewer than 3 seeds: no test)" in written.page.text) == (seeds < 3)
    assert "unattainable" not in written.page.text and "could tell" not in written.page.text


def test_enough_seeds_and_a_clear_difference(run: Run, study: Study) -> None:
    folder, cells = run
    for cell in at(cells, method="SC(c<-a)"):
        metrics = result(folder, cell)["metrics"]
        change(folder, cell, metrics=metrics | {"test/accuracy": 0.9 + 0.001 * int(cell.axes["seed"]), "val/accuracy": 0.95})  # type: ignore[arg-type]
    written = made(folder)
    for row in written.rows("confirmatory"):
        assert (row["a"], row["verdict"], row["a12"], row["a12_high"]) == ("SC(c<-a)", "better", 1, 1)
        assert row["a12_low"] == pytest.approx(0.025 ** (1 / 8))
        assert row["p_adj"] < 1e-4 and row["p_flip"] == pytest.approx(2 / 2**8)
    assert written.page.text.count("Over all conditions: SC(c<-a) (best on validation) is better than") == 1


def test_what_does_not_differ_is_equivalent_only_where_that_is_shown(run: Run) -> None:
    folder, cells = run
    for arm in ("SC(c)", "SC(c<-a)"):
        for cell in at(cells, method=arm):
            score = 0.8 + 0.0001 * (int(cell.axes["seed"]) * 7 % 5) + (0.0001 if arm == "SC(c)" else 0.0)  # type: ignore[arg-type]
            change(folder, cell, metrics=result(folder, cell)["metrics"] | {"test/accuracy": score, "val/accuracy": score})
    written = made(folder)
    assert {row["verdict"] for row in written.rows("confirmatory")} <= {"better", "equivalent"}
    for row in written.rows("confirmatory"):
        assert (row["verdict"] == "better" and "too small to matter" in row["note"]) or row["verdict"] == "equivalent"


def test_a_claim_speaks_of_its_places_only(run: Run, study: Study) -> None:
    folder, _ = run
    claim = Claim("at small splits", {"method": "SC(c<-a)", "split": 0.5}, {"method": "SC(c)", "split": 0.5})
    rows = made(folder, replace(study, claims=(claim,))).rows("claim: at small splits")
    assert [row["condition"] for row in rows] == [{"ratio": 1}, {"ratio": 5}]


def test_a_baseline_is_everybodys_opponent(run: Run, study: Study) -> None:
    folder, _ = run
    written = made(folder, replace(study, baseline="SL(c)"))
    assert {row["b"] for row in written.rows("confirmatory")} == {"SL(c)"} and {row["b"] for row in written.rows("against")} == {"SL(c)"}
    assert "against SL(c)" in written.page.text


def test_what_is_far_below_is_left_out_of_the_second_row(run: Run, whole: Report) -> None:
    folder, cells = run
    assert whole.data["far_below"] == [] and "Without UC(c)" not in whole.page.text and whole.page.count("figure") == 2
    for cell in at(cells, method="UC(c)"):
        change(folder, cell, metrics=result(folder, cell)["metrics"] | {"test/accuracy": 0.2})
    written = made(folder)
    assert written.data["far_below"] == ["UC(c)"] and "Without UC(c)" in written.page.text and written.page.count("figure") == 2
    assert not any("do not vary" in row["note"] for row in written.data["pairwise"])  # the other arm varies


def test_floors_of_an_unbalanced_test_set(run: Run) -> None:
    folder, cells = run
    for cell in cells:
        change(folder, cell, counts=result(folder, cell)["counts"] | {"test": [50, 25, 25, 0, 0, 0, 0]})
    for floor in made(folder).data["floors"]:
        assert (floor["chance"], floor["majority"], floor["majority_balanced"]) == pytest.approx((1 / 7, 0.5, 1 / 3))


def test_warnings_and_differing_origins(run: Run, study: Study) -> None:
    folder, cells = run
    flagged = at(cells, method="UC(c)", split=0.5, ratio=1)
    for cell in flagged[:3]:
        finish(folder, study, cell, flags=("collapsed: spread 0.02, loss 3.40 of ln(b-1) = 3.43", "probe not converged: 9%"))
    finish(folder, study, cells[0], provenance={"dirty": True, "packages": {"torch": "2.14.0", "ray": "2.60.0"}})
    written = made(folder)
    assert [(flag["kind"], {arm: len(names) for arm, names in flag["cells"].items()}) for flag in written.data["flags"]] == [
        ("collapsed", {"UC(c)": 3}),
        ("probe not converged", {"UC(c)": 3}),
    ]
    assert "UC(c): 3 of 32" in written.page.text and f"{flagged[0].name}: spread 0.02" in written.page.text
    assert {origin["fact"] for origin in written.data["origins"] if origin["suspect"]} == {"uncommitted changes", "package torch"}
    assert "2.15.0 (127), 2.14.0 (1) differs: compare with care" in written.page.text


def other(study: Study) -> Study:
    """Return a study whose axes have other names."""
    axes = {"network": ("a$x$", "<b>"), "encoder": ("wild", "posed"), "epochs": (3, 1), "draw": (0, 1, 2)}
    arms = {name: Arm("supervised") for name in ("a$x$", "<b>")}
    claim = Claim("& so on", {"network": "<b>"}, {"network": "a$x$"})
    named = replace(study, axes=axes, compared="network", replicated="draw", arms=arms, claims=(claim,))
    return replace(named, largest=None, published=(Published({"encoder": "wild"}, "<b>", 50.0, "a$x$", 40.0, 0.02),))


def test_axes_have_no_special_names(tmp_path: Path, study: Study) -> None:
    strange = other(study)
    folder, _ = fake_run(tmp_path / "run", strange)
    written = made(folder, strange, with_figures=True)
    conditions = [row["condition"] for row in written.rows("published")]
    assert conditions == [{"encoder": encoder, "epochs": epochs} for encoder in ("wild", "posed") for epochs in (1, 3)]
    assert "over encoder" in written.page.text and written.page.count("b") < 60 and "& so on" in written.page.text
    assert r"\textless{}b\textgreater{}" in written.text("tables", "means.tex") and r"a\$x\$" in written.text("tables", "means.tex")


def test_numbers_along_an_axis_are_in_order_and_the_largest_is_last(tmp_path: Path, study: Study) -> None:
    strange = replace(other(study), largest="epochs")
    folder, _ = fake_run(tmp_path / "run", strange)
    written = made(folder, strange)
    assert [row["condition"] for row in written.rows("published")] == [{"encoder": "wild", "epochs": 3}, {"encoder": "posed", "epochs": 3}]
    assert written.page.text.count("printed in the paper") == 1


def test_no_condition_and_nothing_to_compare_with(tmp_path: Path, study: Study) -> None:
    lone = replace(other(study), axes={"network": ("<b>",), "draw": (0, 1, 2)})
    folder, _ = fake_run(tmp_path / "run", lone)
    written = made(folder, lone, with_figures=True)
    assert written.data["comparisons"] == written.data["pairwise"] == [] and "only one network is done" in written.page.text


def test_only_what_the_grid_holds_is_reported(tmp_path: Path, study: Study) -> None:
    folder, _ = fake_run(tmp_path / "run", study.narrow_axis("ratio", ["5"]).narrow_axis("method", ["SC(c)", "SC(c<-a)"]))
    assert made(folder).data["axes"] == {
        "method": ["SC(c)", "SC(c<-a)"],
        "split": [0.5, 0.9],
        "ratio": [5],
        "seed": list(range(8)),
    }


@pytest.mark.parametrize("there", [None, "", "{}", "[1]", '{"cells": [{}]}'])
def test_what_is_no_run_is_one_line(there: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run"
    if there is not None:
        path.mkdir()
        (path / "grid.json").write_text(there) if there else None
    with pytest.raises(typer.Exit) as stop:
        report.main(str(path))
    assert stop.value.exit_code == 2
    assert capsys.readouterr().err.startswith(f"{path}") and not (path / "report").exists()


def test_several_runs_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadRequest, match=r"^no run in runs/ yet: python -m platform\.grid$"):
        find_only_run()
    for name in ("one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "grid.json").write_text("{}")
    with pytest.raises(BadRequest, match=r"^runs has several run folders \(one, two\); name one: runs/NAME$"):
        find_only_run()
