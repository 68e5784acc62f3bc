"""Search record: every suggestion of a search and its result, in an Optuna study, whichever searcher made the suggestion.

All searches of a run folder share one file, RUN/search.journal: one line of JSON per operation, each flushed to disk, nothing pickled.
The suggestions that were in training when a search was killed wait there and are resumed. `optuna-dashboard RUN/search.journal` opens
the file.
"""

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.trial import FrozenTrial, TrialState

from platform.search.searchers import SEARCHERS, PastSuggestion, suggest_parameters
from search_spaces.search_space import Space
from search_spaces.space_tree import Parameters, describe_space
from trainables.random_streams import make_torch_seed
from trainables.registry import BadRequest, make_unknown_error

PUBLISHED = ("the paper", "the text")
"""How a journal marks the suggestion of the study's own settings; the second is what older journals say."""
SPACE = "space"
"""attribute of an Optuna study: the space of its suggestions, as JSON"""


class Journal(JournalStorage):
    """The file of all search records of a run folder. Only this driver writes to it."""

    def __init__(self, path: str, verify: Callable[[], None] = lambda: None) -> None:
        """`verify` is called before every write. It raises if the file no longer belongs to this driver."""
        self.path = path
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        _cut_partial_line(path)
        try:
            super().__init__(JournalFileBackend(path, _Held(verify)))
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            raise BadRequest(f"{path}: is no record of a search ({type(error).__name__}: {error}); move it away to begin anew") from None


class _Held(BaseJournalFileLock):
    """A lock that is always free, since only the run folder's driver writes the file. Optuna's own lock would outlive a killed process."""

    def __init__(self, verify: Callable[[], None]) -> None:
        self.verify = verify

    def acquire(self) -> bool:
        self.verify()
        return True

    def release(self) -> None:
        pass


def _cut_partial_line(path: str) -> None:
    """Cut off an incomplete last line, which a killed writer left, so that the next line is not joined to it.

    BadRequest for a line that is no operation.
    """
    with open(path, "ab+") as file:
        file.seek(0)
        content = file.read()
        if not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)
            file.flush()
            os.fsync(file.fileno())
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        try:
            json.loads(line)["op_code"]
        except (ValueError, TypeError, KeyError):
            raise BadRequest(f"{path}, line {number}: is no line of a search's record; move the file away to begin anew") from None


class SearchRecord:
    """One search: its suggestions in order. The next one depends only on those before it, on which of them are running, and on the
    search's name.
    """

    def __init__(self, journal: Journal, name: str, space: Space, searcher: str, published: Parameters | None) -> None:
        """`published` is the first suggestion: the parameters of the study's own settings, or None if the space does not contain them.

        BadRequest if the journal holds suggestions of the same condition that were drawn from another space.
        """
        if searcher not in SEARCHERS:
            raise make_unknown_error("searcher", searcher, SEARCHERS)
        self.name, self.space, self.searcher = name, space, searcher
        description = json.loads(json.dumps(describe_space(space)))
        _require_same_space(journal, name, description)
        self.study = optuna.create_study(storage=journal, study_name=name, direction="maximize", load_if_exists=True)
        if SPACE not in self.study.user_attrs:
            self.study.set_user_attr(SPACE, description)
        for trial in self._list_trials(TrialState.RUNNING):  # of a killed search: to be resumed
            journal.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        if not self.study.trials and published is not None:
            self.study.enqueue_trial(published, user_attrs={"searcher": PUBLISHED[0]})
        self._asked: dict[int, optuna.Trial] = {}

    def count_passed_epochs(self, number: int) -> int:
        """Return the epochs at which a suggestion has passed its last rung; 0 if it has passed none."""
        return max(self.study.get_trials(deepcopy=False)[number].intermediate_values, default=0)

    def ask(self, trials: int) -> tuple[int, Parameters] | None:
        """Return the next suggestion's number and parameters, or None if `trials` suggestions have been made."""
        waiting, started = self._list_trials(TrialState.WAITING), self.started_trials
        if started >= trials:
            return None
        if not waiting:
            searcher = SEARCHERS[self.searcher]
            seed = make_torch_seed(started, f"search {self.name}") % 2**31
            parameters = searcher.suggest(self.space, self._list_past(), seed)
            name = self.searcher if self.searcher == "random" else f"{self.searcher} {searcher.describe()['version']}"
            self.study.enqueue_trial(parameters, user_attrs={"searcher": name})
        trial = self.study.ask()
        suggest_parameters(trial, self.space)  # the values are those enqueued, or those of before a kill
        self._asked[trial.number] = trial
        return trial.number, trial.params

    def _list_past(self) -> list[PastSuggestion]:
        return [
            PastSuggestion(trial.params, get_score(trial), trial.state == TrialState.RUNNING, get_last_epochs(trial))
            for trial in self.study.get_trials(deepcopy=False)
        ]

    def report(self, number: int, epochs: int, score: float, each: int) -> None:
        """Record a suggestion's score at a rung, after `epochs` epochs of its trainings of `each` epochs."""
        trial = self._asked[number]
        trial.set_user_attr("epochs", each)
        trial.report(score, epochs)

    def prune(self, number: int) -> None:
        """Record that the scheduler has stopped a suggestion at the last rung that was reported."""
        self.study.tell(self._asked.pop(number), state=TrialState.PRUNED)

    def tell(self, number: int, scores: list[float], reason: str = "", trainings: Sequence[str] = ()) -> None:
        """Record a suggestion's scores, one per seed. With a reason, without scores, or with a score that is not finite, it has failed.

        `trainings` are the keys of its trainings.
        """
        trial = self._asked.pop(number)
        if trainings:
            trial.set_user_attr("trainings", list(trainings))
        if reason or not scores or not all(map(math.isfinite, scores)):
            trial.set_user_attr("reason", reason or f"scores {scores}")
            self.study.tell(trial, state=TrialState.FAIL)
            return
        trial.set_user_attr("scores", scores)
        trial.set_user_attr("sd", stdev(scores) if len(scores) > 1 else None)
        self.study.tell(trial, mean(scores))

    def release_running(self) -> None:
        """Return the suggestions in training to the waiting ones. Nothing is being trained any more."""
        for trial in self._asked.values():
            self.study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        self._asked.clear()

    @property
    def started_trials(self) -> int:
        """The number of suggestions that are, or were, in training."""
        return len(self.study.get_trials(deepcopy=False)) - len(self._list_trials(TrialState.WAITING))

    @property
    def finished_trials(self) -> list[FrozenTrial]:
        return self._list_trials(TrialState.COMPLETE)

    @property
    def pruned_trials(self) -> list[FrozenTrial]:
        return self._list_trials(TrialState.PRUNED)

    @property
    def failed_trials(self) -> list[FrozenTrial]:
        return self._list_trials(TrialState.FAIL)

    @property
    def best_trial(self) -> FrozenTrial | None:
        """The trial with the highest mean; of several, the first."""
        return max(self.finished_trials, key=lambda trial: (trial.value or 0, -trial.number), default=None)

    def _list_trials(self, state: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(state,))


def get_score(trial: FrozenTrial) -> float | None:
    """Return a suggestion's mean score, or that at the rung where it was stopped; None if it has none."""
    return trial.value if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) else None


def get_last_epochs(trial: FrozenTrial) -> int | None:
    """Return the epochs after which a suggestion was stopped; None if it was not."""
    return max(trial.intermediate_values, default=0) if trial.state == TrialState.PRUNED else None


def _require_same_space(journal: Journal, name: str, description: dict[str, Any]) -> None:
    """Raise BadRequest if the journal has suggestions of this condition from another space, or of an earlier version's flat one."""
    where = name.rpartition("#")[0]
    for study in journal.get_all_studies():
        is_flat, is_here = SPACE not in study.user_attrs, study.study_name.rpartition("#")[0] == where
        if (is_flat or (is_here and study.user_attrs[SPACE] != description)) and journal.get_n_trials(study._study_id):
            of = "the flat search space of an earlier version" if is_flat else "another search space"
            raise BadRequest(
                f"{journal.path}: the suggestions of {study.study_name} were drawn from {of}; move the file away to begin anew"
            )
