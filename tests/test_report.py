"""The report from run folders made by hand: numbers against the standard library and scipy, the page as a reader's browser gets it."""

import csv
import io
import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from browser import dom, needs_browser
from fake_run import fake_run, finish
from scipy import stats

from platform import report
from search_spaces.study import STUDIES, Arm, Claim, Published, Study
from trainables.cell import Cell
from trainables.registry import BadRequest
from trainables.store import RunFolder

ROOT = Path(__file__).parents[1]
Run = tuple[RunFolder, list[Cell]]


@pytest.fixture(scope="module")
def study() -> Study:
    pocket = STUDIES.find("adults_as_augmentation")("pocket")
    return pocket.narrowed("method", ["SL(c)", "UC(c)", "SC(c)", "SC(c<-a)"]).with_seeds(4)


@pytest.fixture(scope="module")
def finished(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fake_run(tmp_path_factory.mktemp("finished") / "run", study)


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    return RunFolder(str(shutil.copytree(finished[0].root, tmp_path / "run"))), finished[1]


class Page(HTMLParser):
    """What a page holds: its tags with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def made(folder: RunFolder, study: Study | None = None) -> tuple[Page, dict[str, Any], list[dict[str, str]]]:
    """Write the report; its page, data and table."""
    html = folder.files.cat_file(report.write(folder, study)).decode()
    table = list(csv.DictReader(io.StringIO((folder.get("report", "runs.csv") or b"").decode())))
    return Page(html), folder.get_json("report", "report.json"), table


def numbers(folder: RunFolder, study: Study | None = None) -> dict[str, Any]:
    """What report.json will hold."""
    return json.loads(json.dumps(report.plain(report.contents(report.gather(folder, study)))))


def result(folder: RunFolder, cell: Cell) -> dict[str, Any]:
    return folder.result(cell.key) or {}


def at(cells: list[Cell], **axes: Any) -> list[Cell]:
    return [cell for cell in cells if axes.items() <= cell.axes.items()]


def lose(folder: RunFolder, cell: Cell) -> None:
    folder.remove("cells", cell.key, "result.json")


def test_the_table_holds_every_cell(run: Run) -> None:
    folder, cells = run
    _, _, table = made(folder)
    assert [row["key"] for row in table] == [cell.key for cell in cells]
    for row, cell in zip(table, cells, strict=True):
        found = result(folder, cell)
        assert {axis: row[axis] for axis in cell.axes} == {axis: str(value) for axis, value in cell.axes.items()}
        assert {metric: float(row[metric]) for metric in found["metrics"]} == found["metrics"]
        assert (row["state"], row["split_hash"], row["selected_epoch"]) == ("done", found["split_hash"], str(found["selected_epoch"]))


def test_the_means_are_the_tables(run: Run, study: Study) -> None:
    folder, _ = run
    _, data, table = made(folder)
    assert len(data["means"]) == 4 * 2 * 2
    for mean in data["means"]:
        mine = [row for row in table if row["method"] == mean["arm"] and float(row["ratio"]) == mean["point"]]
        mine = [row for row in mine if float(row["split"]) == mean["panel"]["split"]]
        assert mean["done"] == mean["planned"] == len(mine) == 4
        for metric, score in mean["scores"].items():
            sample = [float(row[metric]) for row in mine]
            low, high = stats.t.interval(0.95, 3, statistics.fmean(sample), stats.sem(sample))
            assert (score["mean"], score["sd"]) == pytest.approx((statistics.fmean(sample), statistics.stdev(sample)))
            assert (score["low"], score["high"]) == pytest.approx((low, high))


def test_best_against_runner_up_at_the_largest_value(run: Run, study: Study) -> None:
    folder, cells = run
    page, data, _ = made(folder)
    measured = [row for row in data["duels"] if row["best"]]
    assert [row["condition"] for row in measured] == [{"split": 0.5, "ratio": 5}, {"split": 0.9, "ratio": 5}]
    for row in measured:
        scores = {
            arm: [result(folder, cell)["metrics"]["test/accuracy"] for cell in at(cells, method=arm, **row["condition"])]
            for arm in study.axes["method"]
        }
        second, best = sorted(scores, key=lambda arm: statistics.fmean(scores[arm]))[-2:]
        assert (row["best"], row["runner_up"]) == (best, second)
        exact = stats.PermutationMethod(n_resamples=np.inf)  # type: ignore[arg-type]
        oracle = stats.mannwhitneyu(scores[best], scores[second], alternative="greater", method=exact)
        assert (row["test"]["u"], row["test"]["p"]) == pytest.approx((oracle.statistic, oracle.pvalue))
    assert [row["published"]["best_accuracy"] for row in data["duels"]] == [70.7, 77.0, 75.8]
    assert "split = 0.7 measured not run in this grid published SC(c<-a) 75.8 SC(c) 73.3 0.007" in page.text


def test_the_page_stands_alone_and_says_what_it_shows(run: Run) -> None:
    folder, _ = run
    page, _, _ = made(folder)
    assert not {"script", "link", "iframe", "img", "a"} & {tag for tag, _ in page.tags}
    outside = [
        value for _, attributes in page.tags for name, value in attributes.items() if value and "//" in value and name[:5] != "xmlns"
    ]
    assert outside == []
    assert "@import" not in page.text and "url(http" not in page.text
    assert page.count("h1") == 1 and page.count("title") >= 1
    for words in (
        "Adults as augmentations for children",
        "rendered faces, children",
        "say nothing about real people",
        "64 of 64 trainings done",
    ):
        assert words in page.text
    assert "chance 14.3 14.3" in page.text and "majority class 14.3 14.3 14.3 14.3" in page.text


def test_other_data_carry_no_banner(tmp_path: Path, study: Study) -> None:
    folder, _ = fake_run(tmp_path / "run", study.with_seeds(1).narrowed("split", ["0.5"]), title="FER2013, {role}")
    page, _, _ = made(folder)
    assert "FER2013, children" in page.text and "Rendered" not in page.text


def test_failed_and_missing_cells_are_shown_with_their_reasons(run: Run) -> None:
    folder, cells = run
    failed, interrupted, fresh = at(cells, method="SC(c)", split=0.9, ratio=5)[:3]
    for cell in (failed, interrupted, fresh):
        lose(folder, cell)
    folder.put_error(failed.key, {"reason": "the loss of phase fit is nan in epoch 3: a lower lr may help"})
    folder.remove("cells", fresh.key, "history.jsonl")
    page, data, table = made(folder)
    assert data["cells"] == {"done": 61, "failed": 1, "missing": 2}
    reasons = {row["key"]: row["reason"] for row in table if row["state"] != "done"}
    assert reasons == {
        failed.key: "the loss of phase fit is nan in epoch 3: a lower lr may help",
        interrupted.key: "interrupted after 10 epochs",
        fresh.key: "not begun",
    }
    assert all(reason in page.text for reason in reasons.values()) and "1 of 4" in page.text
    (mean,) = [row for row in data["means"] if row["arm"] == "SC(c)" and row["panel"] == {"split": 0.9} and row["point"] == 5]
    assert (mean["done"], mean["planned"]) == (1, 4)
    assert mean["scores"]["test/accuracy"]["low"] is None and mean["scores"]["test/accuracy"]["sd"] is None


def test_nothing_done_yet(run: Run) -> None:
    folder, cells = run
    for cell in cells:
        lose(folder, cell)
    page, data, table = made(folder)
    assert data["cells"]["missing"] == len(table) == 64
    assert "No training is done yet" in page.text


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_for_a_test(tmp_path: Path, study: Study, seeds: int) -> None:
    folder, _ = fake_run(tmp_path / "run", study.with_seeds(seeds).narrowed("split", ["0.5"]))
    page, data, _ = made(folder)
    assert data["duels"][0]["test"] is None and all(row["test"] is None for row in data["answers"])
    assert "too few" in page.text
    assert (data["answers"][0]["difference"]["low"] is None) == (seeds == 1)


def test_a_claim_is_the_difference_of_two_means(run: Run, study: Study) -> None:
    folder, cells = run
    page, data, _ = made(folder)
    whole = [claim for claim in study.claims if {claim.better, claim.worse} <= set(study.axes["method"])]
    assert len(data["answers"]) == len(whole) * 4
    for row in data["answers"]:
        better, worse = (
            [result(folder, cell)["metrics"]["test/accuracy"] for cell in at(cells, method=row["claim"][side], **row["condition"])]
            for side in ("better", "worse")
        )
        oracle = stats.ttest_ind(better, worse, equal_var=False).confidence_interval()
        assert row["difference"]["mean"] == pytest.approx(statistics.fmean(better) - statistics.fmean(worse))
        assert (row["difference"]["low"], row["difference"]["high"]) == pytest.approx(tuple(oracle))
    assert page.text.count("not in this grid") == len(study.claims) - len(whole)
    assert "not corrected for multiplicity" in page.text


def test_a_claim_speaks_of_its_condition_only(run: Run, study: Study) -> None:
    folder, _ = run
    claim = Claim("at small splits", "SC(c<-a)", "SC(c)", {"split": 0.5})
    data = numbers(folder, replace(study, claims=(claim,)))
    assert [row["condition"] for row in data["answers"]] == [{"split": 0.5, "ratio": 1}, {"split": 0.5, "ratio": 5}]


def test_what_is_far_below_is_left_out_of_the_second_row(run: Run) -> None:
    folder, cells = run
    page, data, _ = made(folder)
    assert data["far_below"] == [] and "Without" not in page.text and page.count("figure") == 1
    for cell in at(cells, method="UC(c)"):
        found = result(folder, cell)
        folder.put_result(cell.key, found | {"metrics": found["metrics"] | {"test/accuracy": 0.2}})
    page, data, _ = made(folder)
    assert data["far_below"] == ["UC(c)"] and "Without UC(c)" in page.text
    assert page.count("figure") == 2


def test_baselines_of_an_unbalanced_test_set(run: Run, study: Study) -> None:
    folder, cells = run
    for cell in cells:
        found = result(folder, cell)
        folder.put_result(cell.key, found | {"counts": found["counts"] | {"test": [50, 25, 25, 0, 0, 0, 0]}})
    data = numbers(folder)
    for floor in data["baselines"]:
        assert (floor["chance"], floor["majority"], floor["majority_balanced"]) == pytest.approx((1 / 7, 0.5, 1 / 3))


def test_warnings_and_differing_origins(run: Run, study: Study) -> None:
    folder, cells = run
    flagged = at(cells, method="UC(c)", split=0.5, ratio=1)
    for cell in flagged[:3]:
        finish(folder, study, cell, flags=("collapsed: spread 0.02, loss 3.40 of ln(b-1) = 3.43", "probe not converged: 9%"))
    finish(folder, study, cells[0], provenance={"dirty": True, "packages": {"torch": "2.14.0", "ray": "2.60.0"}})
    page, data, _ = made(folder)
    assert [(flag["kind"], {arm: len(names) for arm, names in flag["cells"].items()}) for flag in data["flags"]] == [
        ("collapsed", {"UC(c)": 3}),
        ("probe not converged", {"UC(c)": 3}),
    ]
    assert "UC(c): 3 of 16" in page.text and f"{flagged[0].name}: spread 0.02" in page.text
    assert {origin["fact"] for origin in data["origins"] if origin["suspect"]} == {"dirty", "package torch"}
    assert "2.15.0 (63), 2.14.0 (1) differs: compare with care" in page.text


def test_confusions_are_pooled_shares_of_the_true_class(run: Run) -> None:
    folder, cells = run
    data = numbers(folder)
    assert [matrix["arm"] for matrix in data["confusions"]] == ["SL(c)", "UC(c)", "SC(c)", "SC(c<-a)"]
    for matrix in data["confusions"]:
        mine = at(cells, method=matrix["arm"], split=0.9, ratio=5)
        for true in range(7):
            rows = [result(folder, cell)["confusion"][true] for cell in mine]
            for answered in range(7):
                share = sum(row[answered] for row in rows) / sum(map(sum, rows))
                assert matrix["shares"][true][answered] == pytest.approx(share)


def other(study: Study) -> Study:
    """A study whose axes bear other names."""
    axes = {"network": ("a$x$", "<b>"), "encoder": ("wild", "posed"), "epochs": (3, 1), "draw": (0, 1, 2)}
    arms = {name: Arm("supervised") for name in ("a$x$", "<b>")}
    named = replace(study, axes=axes, compared="network", replicated="draw", arms=arms, claims=(Claim("& so on", "<b>", "a$x$"),))
    printed = (Published({"encoder": "wild"}, "<b>", 50.0, "a$x$", 40.0, 0.02),)
    return replace(named, largest=None, published=printed)


def test_axes_have_no_special_names(tmp_path: Path, study: Study) -> None:
    strange = other(study)
    folder, _ = fake_run(tmp_path / "run", strange)
    page, data, _ = made(folder, strange)
    assert [row["condition"] for row in data["duels"] if row["best"]] == [
        {"epochs": 3, "encoder": "posed"},
        {"epochs": 1, "encoder": "posed"},
    ]
    assert "Accuracy over encoder" in page.text and page.count("b") < 40
    assert "<b> above a$x$: & so on" in page.text


def test_numbers_along_an_axis_are_in_order_and_the_largest_is_last(tmp_path: Path, study: Study) -> None:
    strange = replace(other(study), largest="epochs")
    folder, _ = fake_run(tmp_path / "run", strange)
    data = numbers(folder, strange)
    assert [row["condition"] for row in data["duels"]] == [{"encoder": "wild", "epochs": 3}, {"encoder": "posed", "epochs": 3}]
    assert data["duels"][0]["published"]["best"] == "<b>" and data["duels"][1]["published"] is None


def test_no_condition_and_nothing_to_compare_with(tmp_path: Path, study: Study) -> None:
    lone = replace(other(study), axes={"network": ("<b>",), "draw": (0, 1, 2)})
    folder, _ = fake_run(tmp_path / "run", lone)
    page, data, _ = made(folder, lone)
    assert data["duels"][0]["best"] == "<b>" and data["duels"][0]["runner_up"] is None
    assert "no other is done" in page.text and data["answers"] == []


def test_only_what_the_grid_holds_is_reported(tmp_path: Path, study: Study) -> None:
    folder, _ = fake_run(tmp_path / "run", study.narrowed("ratio", ["5"]).narrowed("method", ["SC(c)", "SC(c<-a)"]))
    data = numbers(folder)
    assert data["axes"] == {"method": ["SC(c)", "SC(c<-a)"], "split": [0.5, 0.9], "ratio": [5], "seed": [0, 1, 2, 3]}


def test_the_file_of_data_holds_what_the_page_shows(run: Run) -> None:
    folder, _ = run
    _, data, _ = made(folder)
    assert data == numbers(folder)


def test_the_same_run_gives_the_same_bytes(run: Run) -> None:
    folder, _ = run
    first = Path(report.write(folder)).read_bytes()
    assert Path(report.write(folder)).read_bytes() == first


def test_a_run_on_an_object_store(study: Study) -> None:
    folder, _ = fake_run("memory://reported/run", study.with_seeds(1).narrowed("split", ["0.5"]))
    page, _, _ = made(folder)
    assert "8 of 8 trainings done" in page.text


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(cwd), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-m", "platform.report", *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


def test_the_command_finds_the_only_run(run: Run, tmp_path: Path) -> None:
    folder, _ = run
    (tmp_path / "runs").mkdir()
    shutil.move(folder.root, tmp_path / "runs" / "mine")
    done = command(cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(tmp_path / "runs" / "mine" / "report" / "index.html")
    assert Path(done.stdout.strip()).stat().st_size > 10_000


@pytest.mark.parametrize("there", [None, "", '{"study": "x", "scale": "pocket", "cells": []}', '{"cells": [{"study'])
def test_no_run_is_one_line_and_exit_2(there: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    with pytest.raises(BadRequest, match="no run under runs"):
        report.only_run()
    for name in ("one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "grid.json").write_text("{}")
    with pytest.raises(BadRequest, match=r"which run\? runs has one, two"):
        report.only_run()


@needs_browser
def test_a_browser_draws_the_page(run: Run, tmp_path: Path) -> None:
    folder, _ = run
    page = Page(dom(f"file://{report.write(folder)}", tmp_path / "profile"))
    assert page.count("table") >= 5
    assert page.count("svg") >= 4 + 4 + 4  # panels, confusions, legend
