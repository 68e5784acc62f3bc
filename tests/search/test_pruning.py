"""Pruning: decisions against brute force, histories with gaps, and a search that is resumed decides as one that was never stopped."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from platform.launch.asha import FIRST_RUNG, Pruner, find_rung
from platform.search.condition_search import ConditionSearch, make_condition_searches
from platform.search.driver import SearchDriver, measure_savings
from platform.search.pruning import SuggestionProgress, count_epochs
from platform.search.search_record import Journal
from search_spaces.study import STUDIES, Study
from tests.fake_run import finish
from trainables.cell import Cell, Data
from trainables.data.source import Source
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

EPOCHS, SEEDS = 9, 2
DATA = {role: Data(Source("faces"), f"print of {role}", role) for role in STUDIES.find("annealed_label_transfer")("pocket").roles}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1)), max_size=40))
def test_the_best_third_of_those_at_a_rung_goes_on(steps: list[tuple[int, float]]) -> None:
    """A suggestion stops if its score is below the 2/3 quantile of all that came to the rung before it (Li et al. 2020)."""
    pruner, at_rung = Pruner(), dict[float, list[float]]()
    for number, (level, score) in enumerate(steps):
        rung = FIRST_RUNG * 3**level
        before = at_rung.setdefault(rung, [])
        expected = bool(before) and score < np.quantile(before, 2 / 3)
        assert pruner.stops(number, rung, score) == expected
        before.append(score)


@pytest.mark.parametrize(
    ("epochs", "each", "rung"),
    [(0, 20, 0), (6, 20, 0), (7, 20, 1 / 3), (19, 20, 1 / 3), (20, 20, 1), (59, 20, 1), (60, 20, 3), (1, 1, 1), (1, 2, 1 / 3), (2, 2, 1)],
)
def test_rungs_lie_at_a_third_of_a_training_at_one_and_at_three(epochs: int, each: int, rung: float) -> None:
    assert find_rung(epochs, each) == pytest.approx(rung)


def make_study(**options: Any) -> Study:
    study = STUDIES.find("annealed_label_transfer")("pocket").narrow_axis("scenario", ["wild"]).with_setting("epochs", EPOCHS)
    search = replace(study.searches[0], scheduler="asha", trials=20, seeds=SEEDS, searcher="random", **options)
    return replace(study, searches=(search,))


def make_rows(cell: Cell) -> list[dict[str, Any]]:
    """Return the history of a training whose score rises to a level that its settings give, and falls a little at the end."""
    level = random.Random(repr((cell.method_settings["lr"], cell.method_settings["temperature"]))).random()
    scores = [level * (epoch + 1) / (EPOCHS - 1) for epoch in range(EPOCHS - 1)] + [level * 0.9]
    return [{"phase": "fit", "epoch": epoch, "step": epoch, "val/accuracy": score} for epoch, score in enumerate(scores)]


def end_training(folder: RunFolder, study: Study, cell: Cell) -> None:
    finish(folder, study, cell)
    folder.put_history(cell.key, make_rows(cell))
    folder.put_result(
        cell.key, folder.get_result(cell.key) | {"metrics": {"val/accuracy": max(r["val/accuracy"] for r in make_rows(cell))}}
    )  # type: ignore[operator]


class Killed(Exception):
    pass


def train(driver: SearchDriver, study: Study, folder: RunFolder, batch: int, most: int | None = None) -> None:
    """Train suggestions one after another, as Tune does on one slot. Every `batch`th epoch is reported; after `most` it is killed."""
    messages = 0
    for trial in range(99):
        cells = driver.suggest_cells(str(trial))
        if cells is None:
            return
        for cell in cells:
            rows = [] if folder.get_result(cell.key) else make_rows(cell)
            events: list[Any] = [{"kind": "row", "key": cell.key, "row": row} for row in rows][batch - 1 :: batch]
            stops = False
            for event in events:
                messages += 1
                folder.put_history(cell.key, rows[: event["row"]["step"] + 1])
                stops = stops or driver.judge_event(str(trial), event)
                if messages == most:
                    raise Killed
            if stops:
                break
            if rows:
                end_training(folder, study, cell)
            if driver.judge_event(str(trial), {"kind": "done", "key": cell.key}):
                break
        driver.complete_trial(str(trial))


def open_search(folder: RunFolder, study: Study) -> tuple[SearchDriver, ConditionSearch]:
    (search,) = make_condition_searches(study, DATA)
    return SearchDriver([search], folder, Journal(folder.get_path("search.journal"))), search


def describe(search: ConditionSearch) -> list[Any]:
    return [(trial.params, trial.state, trial.value, trial.intermediate_values) for trial in search.record.study.trials]


@pytest.fixture
def whole(tmp_path: Path) -> list[Any]:
    study, folder = make_study(), RunFolder(str(tmp_path / "whole"))
    driver, search = open_search(folder, study)
    train(driver, study, folder, 1)
    return describe(search)


def test_those_behind_are_pruned_and_the_best_are_finished(whole: list[Any]) -> None:
    states = [state for _, state, *_ in whole]
    assert len(whole) == 20 and states[0] == TrialState.COMPLETE, "the paper's settings are always finished: the comparison needs them"
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED} and states.count(TrialState.PRUNED) >= 8
    best = max(value for _, state, value, _ in whole if state == TrialState.COMPLETE)
    for _, state, value, reported in whole:
        assert set(reported) <= {3, 9}, "rungs: a third of the first training, and its end"
        if state == TrialState.PRUNED:
            assert value == reported[max(reported)] <= best
        else:
            assert set(reported) == {3, 9}


@pytest.mark.parametrize("batch", [2, 3, 9])
def test_several_epochs_in_a_message_are_judged_one_by_one(whole: list[Any], tmp_path: Path, batch: int) -> None:
    study, folder = make_study(), RunFolder(str(tmp_path / "run"))
    driver, search = open_search(folder, study)
    train(driver, study, folder, batch)
    assert describe(search) == whole


@pytest.mark.parametrize("most", [1, 3, 4, 40, 77])
def test_a_search_that_was_killed_decides_as_one_that_was_not(whole: list[Any], tmp_path: Path, most: int) -> None:
    study, folder = make_study(), RunFolder(str(tmp_path / "run"))
    driver, _ = open_search(folder, study)
    with pytest.raises(Killed):
        train(driver, study, folder, 1, most)
    driver, search = open_search(folder, study)
    train(driver, study, folder, 1)
    driver.finish_pruned()
    assert describe(search) == whole
    assert not any(trial.state in (TrialState.RUNNING, TrialState.WAITING) for trial in search.record.study.trials)


def test_what_pruning_saves_is_counted_in_epochs(tmp_path: Path) -> None:
    study, folder = make_study(), RunFolder(str(tmp_path / "run"))
    driver, search = open_search(folder, study)
    train(driver, study, folder, 1)
    stopped = [max(trial.intermediate_values) for trial in search.record.pruned_trials]
    ended, pruned, saved = measure_savings([search])
    assert (ended, pruned) == (20, len(stopped)) and saved == pytest.approx(sum(18 - epochs for epochs in stopped) / (20 * 18))


def test_a_resumed_training_shows_the_epochs_before_by_its_history(tmp_path: Path) -> None:
    study = make_study()
    (search,) = make_condition_searches(study, DATA)
    cells = search.make_cells(search.published)  # type: ignore[arg-type]
    rows, progress = make_rows(cells[0]), SuggestionProgress(cells, "accuracy")
    assert progress.misses_rows(cells[0].key, rows[4]) and not progress.misses_rows(cells[0].key, rows[0])
    assert [epochs for epochs, *_ in progress.read_rows(cells[0].key, rows[:5])] == [3]
    assert not progress.read_rows(cells[0].key, rows[:5]), "read before"
    ((epochs, rung, score),) = progress.read_rows(cells[0].key, rows)
    assert (epochs, rung) == (9, 1) and score == pytest.approx(max(row["val/accuracy"] for row in rows)), "the best epoch, not the last"
    second = progress.read_rows(cells[1].key, make_rows(cells[1]))
    assert not second, "the end of the last training is no rung"


def test_a_method_without_epochs_is_refused() -> None:
    study = make_study()
    (search,) = make_condition_searches(study, DATA)
    cell = search.make_cells(search.published)[0]  # type: ignore[arg-type]
    assert count_epochs(cell) == EPOCHS
    with pytest.raises(BadRequest, match="reports no epochs; use --scheduler none"):
        count_epochs(replace(cell, method_settings={}))


def test_an_unknown_scheduler_names_the_known() -> None:
    study = make_study()
    study = replace(study, searches=(replace(study.searches[0], scheduler="ahsa"),))
    with pytest.raises(BadRequest, match="did you mean asha"):
        make_condition_searches(study, DATA)
