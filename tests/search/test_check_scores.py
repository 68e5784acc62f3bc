"""The record of a search against its results: one flipped digit of a score was reported and recommended."""

import json
from pathlib import Path
from typing import Any

import pytest

from platform.cli.best_settings import read_best_file
from platform.search.check_scores import find_wrong_scores, restore_scores
from search_spaces.study import STUDIES, Study
from tests.search.test_pruning import describe, make_study, open_search, train
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder


@pytest.fixture
def searched(tmp_path: Path) -> tuple[Study, RunFolder, list[Any]]:
    study, folder = make_study(), RunFolder(str(tmp_path / "run"))
    driver, search = open_search(folder, study)
    train(driver, study, folder, 1)
    return study, folder, describe(search)


def edit(folder: RunFolder, change: Any) -> None:
    path = Path(folder.get_path("search.journal"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert any([change(line) for line in lines]), "nothing was changed"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_an_untouched_record_is_right(searched: tuple[Study, RunFolder, list[Any]]) -> None:
    study, folder, _ = searched
    _, search = open_search(folder, study)
    assert find_wrong_scores([search], folder) == {}


@pytest.mark.parametrize("what", ["value", "scores"])
def test_a_changed_score_is_restored_from_the_results(searched: tuple[Study, RunFolder, list[Any]], what: str) -> None:
    study, folder, before = searched

    def change(line: dict[str, Any]) -> bool:
        if what == "value" and line["op_code"] == 6 and line.get("values") and line["trial_id"] == 0:
            line["values"] = [0.9509]
            return True
        if what == "scores" and line["op_code"] == 8 and "scores" in line["user_attr"] and line["trial_id"] == 0:
            line["user_attr"]["scores"][0] = 0.9509
            return True
        return False

    edit(folder, change)
    _, search = open_search(folder, study)
    wrong = find_wrong_scores([search], folder)
    assert list(wrong) == [0]
    restore_scores(folder.get_path("search.journal"), wrong)
    _, search = open_search(folder, study)
    assert describe(search) == before and find_wrong_scores([search], folder) == {}


def test_changed_settings_are_refused_in_one_line(searched: tuple[Study, RunFolder, list[Any]]) -> None:
    study, folder, _ = searched

    def change(line: dict[str, Any]) -> bool:
        if line["op_code"] == 5 and line["trial_id"] == 0 and line["param_name"] == "temperature":
            line["param_value_internal"] = 0.9
            return True
        return False

    edit(folder, change)
    _, search = open_search(folder, study)
    with pytest.raises(BadRequest, match=r"search\.journal: the settings of suggestion 0 of .* are not those of its trainings") as caught:
        find_wrong_scores([search], folder)
    assert "\n" not in str(caught.value)


def test_a_best_json_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    entry = {"arm": "ALT", "condition": {"encoder": "pocket", "scenario": "wild"}, "settings": {"temperature": 0.03}}
    folder.put_json({"study": "annealed_label_transfer", "found": [entry]}, "best.json")
    study = STUDIES.find("annealed_label_transfer")("pocket")
    assert read_best_file(folder.get_path("best.json"), study).found
    path = Path(folder.get_path("best.json"))
    path.write_text(path.read_text().replace("0.03", "0.04"))
    with pytest.raises(BadRequest, match="changed after it was written"):
        read_best_file(str(path), study)
