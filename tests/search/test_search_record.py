"""The record of a search: what is in it after a kill, a bad score, another searcher; and that Optuna alone can read it."""

import signal
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from platform.launch.run_lock import lock_run
from platform.launch.schedule import suggest_by_hyperopt
from platform.search.search_record import Journal, SearchRecord
from search_spaces.search_space import STARTUP, OneOf, Real, Search, Whole
from tests.forking import ForkServer
from trainables.registry import BadRequest
from trainables.storage.folder_owner import FolderLost
from trainables.storage.store import RunFolder

SPACE: dict[str, Any] = {"rate": Real(1e-3, 1, log=True), "share": Real(-1, 1), "depth": Whole(1, 4), "how": OneOf(("a", "b", None))}
SEARCH = Search("arm", SPACE)
TEXT = {"rate": 0.1, "share": 0.0, "depth": 2, "how": "b"}


def record(
    journal: Journal, searcher: str = "optuna", name: str = "here", text: dict[str, Any] = TEXT, search: Search = SEARCH
) -> SearchRecord:
    return SearchRecord(journal, name, search, searcher, text, suggest_by_hyperopt)


def score(params: dict[str, Any]) -> float:
    return -((params["share"] - 0.3) ** 2) - 0.1 * (params["how"] != "a")


def go_on(each: SearchRecord, trials: int) -> list[dict[str, Any]]:
    made = []
    while (suggestion := each.ask(trials)) is not None:
        number, params = suggestion
        made.append(params)
        each.tell(number, [score(params), score(params)])
    return made


def read_by_optuna(path: Path, name: str = "here") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(str(path))))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(str(tmp_path / "search.journal"))


@pytest.mark.parametrize("searcher", ["optuna", "hyperopt", "random"])
def test_a_search_goes_on_as_if_it_had_not_stopped(tmp_path: Path, searcher: str) -> None:
    """Eighteen suggestions at once, or in three goes by three processes' worth of objects: the same ones, the paper's own first."""
    whole = Journal(str(tmp_path / "whole"))
    expected = go_on(record(whole, searcher), 18)
    made = []
    for trials in (5, 13, 18):
        part = Journal(str(tmp_path / "parts"))
        made += go_on(record(part, searcher), trials)
    assert made == expected and made[0] == TEXT
    assert len({tuple(map(str, params.values())) for params in made}) == 18, "it repeats itself"
    for params in made:
        assert (
            1e-3 <= params["rate"] <= 1
            and -1 <= params["share"] <= 1
            and params["depth"] in range(1, 5)
            and params["how"] in ("a", "b", None)
        )
    seen = read_by_optuna(tmp_path / "whole").trials
    assert [trial.params for trial in seen] == expected
    assert seen[0].user_attrs["searcher"] == "the paper" and seen[1].user_attrs["searcher"].startswith(searcher)


@pytest.mark.parametrize("searcher", ["optuna", "hyperopt"])
def test_tpe_learns(tmp_path: Path, searcher: str) -> None:
    """After its random start a model's suggestions lie nearer to the optimum than the random ones did."""
    journal = Journal(str(tmp_path / "journal"))
    made = go_on(record(journal, searcher, text={}), 40)
    away = [abs(params["share"] - 0.3) for params in made]
    assert sum(away[25:]) / 15 < 0.6 * sum(away[:STARTUP]) / STARTUP


def test_a_score_that_is_no_number_or_a_reason_fails_the_suggestion(journal: Journal) -> None:
    each = record(journal)
    for scores, reason in (
        ([0.5, float("nan")], ""),
        ([0.5, float("inf")], ""),
        ([], ""),
        ([0.5], "seed=1: the loss is nan"),
        ([0.5, 0.7], ""),
    ):
        number, _ = each.ask(99) or pytest.fail("no suggestion")
        each.tell(number, scores, reason)
    assert [trial.state for trial in each.study.trials] == [TrialState.FAIL] * 4 + [TrialState.COMPLETE]
    assert each.study.trials[3].user_attrs["reason"] == "seed=1: the loss is nan"
    best = each.best_trial
    assert best is not None and best.value == pytest.approx(0.6) and best.user_attrs["sd"] == pytest.approx(0.1 * 2**0.5)


def test_what_was_in_training_waits_and_comes_first_again(journal: Journal) -> None:
    each = record(journal)
    asked = [each.ask(9) for _ in range(3)]
    each.tell(asked[1][0], [0.5])  # type: ignore[index]
    each.release_running()
    assert [trial.state for trial in each.study.trials] == [TrialState.WAITING, TrialState.COMPLETE, TrialState.WAITING]
    again = record(journal)
    assert [again.ask(9), again.ask(9)] == [asked[0], asked[2]]
    assert again.started_trials == 3


KILLED = """
import os, signal, sys
from platform.search.search_record import Journal
from tests.search.test_search_record import record, score
journal = Journal(sys.argv[1])
each = record(journal)
for _ in range(4):
    number, params = each.ask(99)
    each.tell(number, [score(params)])
each.ask(99), each.ask(99)
print("asked", flush=True)
with open(sys.argv[1], "ab") as file:
    file.write(b'{"op_code":6,"worker_id":"x","tri')
    file.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_in_the_middle_of_a_line(fork_server: ForkServer, tmp_path: Path) -> None:
    """Two suggestions in training and half a line written: the next process takes up the two, and nothing before them changed."""
    path = tmp_path / "journal"
    code, said = fork_server.run(["-c", KILLED, str(path)])
    assert code == -signal.SIGKILL and "asked" in said, said
    journal = Journal(str(path))
    each = record(journal)
    assert [trial.state for trial in each.study.trials] == [TrialState.COMPLETE] * 4 + [TrialState.WAITING] * 2
    params = each.study.trials[4].params
    number, again = each.ask(99) or pytest.fail("nothing taken up")
    assert (number, again) == (4, params)
    go_on(each, 8)
    each.release_running()
    states = [trial.state for trial in read_by_optuna(path).trials]
    assert TrialState.RUNNING not in states and states.count(TrialState.COMPLETE) == 7


def test_other_settings_are_another_search(journal: Journal) -> None:
    go_on(record(journal, name="here#1"), 3)
    assert record(journal, name="here#2").started_trials == 0
    assert record(journal, name="here#1").started_trials == 3


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200))
def test_a_file_that_is_no_record_is_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("journal") / "search.journal"
    path.write_bytes(content + b"\n")
    try:
        journal = Journal(str(path))
    except BadRequest as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return
    record(journal).ask(1)


def test_the_texts_own_settings_are_tried_first_only_where_the_space_holds_them(journal: Journal) -> None:
    assert record(journal, name="outside", text=TEXT | {"share": 2.0}).study.trials == []
    assert record(journal, name="unknown", text={"rate": 0.1}).study.trials == []
    assert len(record(journal, name="inside").study.trials) == 1


def test_an_unknown_searcher_names_the_known(journal: Journal) -> None:
    with pytest.raises(BadRequest, match="did you mean optuna"):
        record(journal, "optun")


def test_the_record_of_a_lost_folder_is_not_written(tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    folder = RunFolder(str(run))
    with pytest.raises(FolderLost, match="was moved or deleted"), lock_run(folder):
        each = record(Journal(folder.get_path("search.journal"), folder.verify_owner))
        assert each.ask(2)
        run.rename(elsewhere)
        run.mkdir()
        each.ask(2)
    assert not list(run.iterdir()) and len(read_by_optuna(elsewhere / "search.journal").trials) == 1
