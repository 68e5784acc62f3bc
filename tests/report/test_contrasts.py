"""Tests of contrasts (with something against without) over the whole table, of training costs, and of results without classes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_run import fake_run
from scipy import stats

from platform.report.descriptive_statistics import compute_chance_levels, find_weak_arms, summarise_conditions
from platform.report.read_run_folder import read_folder
from platform.stats import significance
from search_spaces.claims import Contrast
from search_spaces.study import Study
from tests.report.pages import Report, made
from trainables.storage.store import RunFolder

CONTRASTS = (Contrast("SC(c)", "SL(c)"), Contrast("UC(c)", "SL(c)"))


@pytest.fixture(scope="module")
def contrasted(study: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, RunFolder, Study]:
    variant = replace(study, contrasts=CONTRASTS)
    folder, cells = fake_run(tmp_path_factory.mktemp("contrasts") / "run", variant)
    for cell in cells:
        result = folder.get_result(cell.key) or {}
        folder.put_result(cell.key, result | {"updated_parameters": 1000 * (1 + list(study.arms).index(str(cell.axes["method"])))})
    return made(folder, variant, with_figures=True), folder, variant


def test_every_contrast_at_every_condition_is_one_family(contrasted: tuple[Report, RunFolder, Study]) -> None:
    report, folder, study = contrasted
    rows = report.rows("contrasts")
    assert [(row["a"], row["b"]) for row in rows] == [("SC(c)", "SL(c)")] * 4 + [("UC(c)", "SL(c)")] * 4
    assert all(row["m"] == 8 and row["paired"] and row["alternative"] == "two-sided" for row in rows)
    np.testing.assert_allclose([row["p_adj"] for row in rows], significance.adjust_holm([row["p"] for row in rows]))
    scores = {tuple(cell.axes.values()): (folder.get_result(cell.key) or {})["metrics"]["test/accuracy"] for cell in folder.get_cells()}
    for row in rows:
        condition = row["condition"].values()
        pairs = [(scores[(row["a"], *condition, seed)], scores[(row["b"], *condition, seed)]) for seed in study.axes["seed"]]
        assert row["diff"] == pytest.approx(float(np.mean([a - b for a, b in pairs])))
        assert row["p"] == pytest.approx(stats.ttest_rel(*zip(*pairs, strict=True)).pvalue)


def test_what_a_score_costs(contrasted: tuple[Report, RunFolder, Study]) -> None:
    report, folder, study = contrasted
    assert "With and without" in report.page.text
    costs = report.data["costs"]
    assert len(costs) == 4 * 4 and {row["updated"] for row in costs} == {
        1000.0 * (1 + list(study.arms).index(arm)) for arm in study.axes["method"]
    }
    assert "Score against updated parameters" in report.page.text and "figures/costs.svg" in report.page.text
    assert folder.get("report", "figures", "costs.pdf")


def test_no_arm_is_called_weak_where_a_condition_has_no_chance_level(contrasted: tuple[Report, RunFolder, Study]) -> None:
    """An F1 or a correlation has none, so an arm that is far below elsewhere may be the best one there."""
    _, folder, study = contrasted
    runs = read_folder(folder, study)
    cells, floors = summarise_conditions(runs), compute_chance_levels(runs)
    low = [replace(row, metric=row.metric._replace(mean=0.15)) if row.arm == "UC(c)" and row.metric else row for row in cells]
    assert find_weak_arms(runs, low, floors) == ["UC(c)"]
    assert find_weak_arms(runs, low, floors[1:]) == []


def test_a_study_without_contrasts_says_nothing_of_them(whole: Report) -> None:
    assert "With and without" not in whole.page.text and "Score against updated parameters" not in whole.page.text
    assert whole.data["costs"] == [] and whole.rows("contrasts") == []


def test_results_without_classes_are_reported(study: Study, tmp_path: Path) -> None:
    """Valence and arousal, or several labels, give no counts and no confusions, so no floors and no recall. Scores below 0 are drawn."""
    variant = replace(study, metric="score")
    folder, cells = fake_run(tmp_path / "run", variant)
    for cell in cells:
        result = folder.get_result(cell.key) or {}
        for name in ("counts", "confusion"):
            del result[name]
        accuracy = result["metrics"]["test/accuracy"]
        result["metrics"] = {"val/score": accuracy - 0.4, "test/score": accuracy - 0.4, "train/loss": 0.1}
        folder.put_result(cell.key, result)
    report = made(folder, variant)
    assert report.data["floors"] == [] == report.data["classes"] and report.data["groups"] == []
    assert "Test score" in report.page.text and report.data["metric"] == "test/score"
