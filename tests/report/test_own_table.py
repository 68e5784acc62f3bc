"""Tests of `--table`: the same report from any tidy table, through the command line."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner, Result

from platform.report import __main__ as report
from tests.report.pages import Report
from trainables.storage.store import RunFolder

ROOT = Path(__file__).parents[2]
EVERY = stats.PermutationMethod(n_resamples=np.inf)  # type: ignore[arg-type]


APP = typer.Typer()
APP.command()(report.main)


def command(*words: str | Path) -> Result:
    return CliRunner().invoke(APP, [str(word) for word in words])


def reported(table: pd.DataFrame, folder: Path, *options: str, **written: Any) -> Report:
    path = folder / "results from elsewhere.csv"
    table.to_csv(path, index=False, **written)
    run = command("--table", path, "--out", folder / "out", *options)
    assert (run.exit_code, run.stderr) == (0, "") and run.stdout.strip() == os.path.join(folder, "out", "index.html")
    return Report(RunFolder(str(folder / "out")))


@pytest.fixture(scope="module")
def losses() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = [
        {"method": method, "seed": seed, "noise_%": noise, "val": value + rng.normal(0, 0.01), "loss": value}
        for number, method in enumerate(("β & sons_1", "<b>50%</b>", "plain 🙂"))
        for noise in (0.1, 0.2)
        for seed in range(7)
        for value in [round(1 + 0.3 * number * noise * 10 + rng.normal(0, 0.1), 2)]
    ]
    return pd.DataFrame(rows)


def test_less_is_more(losses: pd.DataFrame, tmp_path: Path) -> None:
    table = losses.drop(columns="val")
    result = reported(table, tmp_path, "--metric", "loss", "--condition", "noise_%", "--lower-is-better", "--rope", "0.05")
    first, best = result.rows("published")
    assert first["condition"] == {"noise_%": 0.1}  # every condition is in the report, not the largest alone
    losses_of = {name: np.array(part["loss"]) for name, part in table[table["noise_%"] == 0.2].groupby("method")}
    order = sorted(losses_of, key=lambda name: losses_of[name].mean())
    assert (best["a"], best["b"], best["condition"]) == (order[0], order[1], {"noise_%": 0.2})
    oracle = stats.mannwhitneyu(losses_of[order[0]], losses_of[order[1]], alternative="less", method=EVERY)  # a over b: less is better
    assert best["p"] == pytest.approx(oracle.pvalue) and best["verdict"] == "better"
    assert best["diff"] == pytest.approx(losses_of[order[0]].mean() - losses_of[order[1]].mean()) and best["diff"] < 0 < best["a12"] - 0.5
    assert result.rows("confirmatory")[0]["selected_by"] == "loss itself"
    (winner,) = result.rows("winner")
    assert winner["a"] == order[0] and winner["statistic"] > 0 > winner["diff"] and winner["probably_better"] > 0.5
    assert "exploratory" in winner["note"] and "; exploratory" in result.page.text
    assert "to find 0.5 sd to find 1 sd to find 1.5 sd" in result.page.text and len(result.data["power"][0]["needed"]) == 3
    for row in result.data["pairwise"]:
        x, y = (
            np.array(table[(table["method"] == row[side]) & (table["noise_%"] == row["condition"]["noise_%"])]["loss"]) for side in "ab"
        )
        assert row["p"] == pytest.approx(stats.ttest_ind(x, y, equal_var=False).pvalue) and not row["paired"]
        assert row["a12"] == pytest.approx(np.mean([(a < b) + (a == b) / 2 for a in x for b in y]))
    assert "β & sons_1" in result.page.text and "<b>50%</b>" in result.page.text and "plain 🙂" in result.page.text
    assert "{[}greek small letter beta] \\& sons\\_1" in result.text("tables", "means.tex") and "slightly smiling face" in result.text(
        "tables", "means.tex"
    )


def test_one_written_by_a_spreadsheet_in_western_europe(losses: pd.DataFrame, tmp_path: Path) -> None:
    table = losses.replace({"method": {"β & sons_1": "größer", "plain 🙂": "à plat"}})
    result = reported(table, tmp_path, "--metric", "loss", "--condition", "noise_%", sep=";", decimal=",", encoding="latin-1")
    assert result.data["axes"]["method"] == ["größer", "<b>50%</b>", "à plat"] and result.data["selector"] == "val"
    assert [cell["metric"]["mean"] for cell in result.data["cells"]] == pytest.approx(
        table.groupby(["noise_%", "method"], sort=False)["loss"].mean().sort_index(level=0, sort_remaining=False).tolist()
    )


def test_our_own_table_makes_our_own_report_again(whole: Report, tmp_path: Path) -> None:
    words = ["--table", whole.folder.get_path("report", "runs.csv"), "--out", str(tmp_path), "--condition", "split,ratio"]
    run = command(*words)
    assert (run.exit_code, run.stderr) == (0, "")
    again = Report(RunFolder(str(tmp_path)))
    for family in ("winner", "overall", "published", "confirmatory", "against"):
        rows = {str(row["condition"]) + row["a"]: row for row in again.rows(family)}
        for original in whole.rows(family):  # a table is read at every condition, the study's as the paper's at the largest ratio
            row = rows[str(original["condition"]) + original["a"]]
            assert row["test"] == original["test"] and row["p"] == original["p"] and row["b"] == original["b"]
            assert row["p_adj"] == original["p_adj"] or family == "confirmatory"
            assert (row["diff"], row["statistic"], row["p_flip"]) == (original["diff"], original["statistic"], original["p_flip"])
    assert [row["p"] for row in again.data["pairwise"]] == [row["p"] for row in whole.data["pairwise"]]


def test_unequal_seeds_a_gap_and_one_that_never_varies(losses: pd.DataFrame, tmp_path: Path) -> None:
    table = losses[losses["noise_%"] == 0.1].drop(columns="noise_%")
    table = table.drop(table[(table["method"] == "plain 🙂") & (table["seed"] > 5)].index)
    table.loc[table["method"] == "<b>50%</b>", "loss"] = 2.0
    table.loc[table["seed"] == 0, "loss"] = np.nan
    result = reported(table, tmp_path, "--metric", "loss")
    assert [(cell["done"], cell["failed"], cell["missing"]) for cell in result.data["cells"]] == [(6, 1, 0), (6, 1, 0), (5, 1, 1)]
    assert result.data["runs"] == {"done": 17, "failed": 3, "missing": 1}
    assert "6/7, 1 failed" in result.page.text and "5/7, 1 failed, 1 missing" in result.page.text


@pytest.mark.parametrize(
    ("text", "options", "line"),
    [
        (None, [], "nowhere.csv"),
        ("", [], "empty"),
        ("method,seed,test\nA,0,0.5\nA,1,fast\n", [], "row 3"),
        ("method,seed,test\nA,0,0.5\nA,0,0.6\n", [], "rows 2 and 3 are both method A, seed 0"),
        ("method,seed,score\nA,0,0.5\n", [], "test"),
        ("method,seed,test\nA,0,0.5\nB,0,0.6\n", ["--baseline", "C"], "C"),
        ("method,seed,test\nA,0,0.5\nB,0,0.6\n", ["--condition", "spilt"], "spilt"),
    ],
)
def test_what_cannot_be_trusted_is_one_line(text: str | None, options: list[str], line: str, tmp_path: Path) -> None:
    path = tmp_path / "nowhere.csv"
    if text is not None:
        path.write_text(text)
    run = command("--table", path, "--out", tmp_path / "out", *options)
    assert run.exit_code == 2 and run.stdout == "" and not (tmp_path / "out").exists()
    assert run.stderr.count("\n") == 1 and line in run.stderr and str(path) in run.stderr


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--table", "x.csv"], "--out"),
        (["somewhere", "--table", "x.csv", "--out", "o"], "no RUN"),
        (["somewhere", "--lower-is-better"], "need --table"),
        (["--table", "x.csv", "--out", "o", "--rope", "-1"], "--rope -1"),
    ],
)
def test_what_does_not_go_together_is_one_line(words: list[str], line: str) -> None:
    run = command(*words)
    assert run.exit_code == 2 and line in run.stderr and run.stderr.count("\n") == 1


def test_a_run_takes_another_baseline_and_margin(whole: Report, tmp_path: Path) -> None:
    copy = shutil.copytree(whole.folder.root, tmp_path / "run")
    assert command(copy, "--baseline", "UC(c)", "--rope", "0.2").exit_code == 0
    result = Report(RunFolder(str(copy)), "report")
    assert {row["b"] for row in result.rows("confirmatory")} == {"UC(c)"} and result.data["rope"] == 0.2
    run = command(copy, "--baseline", "UC(d)")
    assert run.exit_code == 2 and "did you mean UC(c)?" in run.stderr
