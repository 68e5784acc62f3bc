"""Record: every suggestion of a search and what came of it, in an Optuna study, whoever made the suggestion.

All searches of a run folder share one file, RUN/search.journal: a line of JSON an operation, each flushed to the disk, nothing pickled.
What a killed search was still training waits there to be taken up again. `optuna-dashboard RUN/search.journal` opens it.
"""

import json
import math
import os
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import mean, stdev

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import STARTUP, OneOf, Range, Real, Search, Whole
from trainables.cell import Value
from trainables.registry import BadRequest, make_unknown_error
from trainables.streams import make_torch_seed

Settings = dict[str, Value]
TPE = {"n_startup_trials": STARTUP, "multivariate": True, "constant_liar": True}
"""Optuna's sampler; what its releases 4 and 5 differ in is written out"""
SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "optuna": lambda seed: optuna.samplers.TPESampler(seed=seed, **TPE),  # type: ignore[arg-type]
    "hyperopt": lambda seed: optuna.samplers.RandomSampler(seed=seed),  # never asked: hyperopt's suggestions are queued
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class Journal(JournalStorage):
    """The file of all records; of a run folder whose one driver this is."""

    def __init__(self, path: str, verify: Callable[[], None] = lambda: None) -> None:
        """`verify` is called before every write; it raises where the file is no longer this driver's."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        _cut_partial_line(path)
        try:
            super().__init__(JournalFileBackend(path, _Held(verify)))
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            raise BadRequest(f"{path}: is no record of a search ({type(error).__name__}: {error}); move it away to begin anew") from None


class _Held(BaseJournalFileLock):
    """The lock of a file that the run folder's driver alone writes: Optuna's own would outlive a process that is killed."""

    def __init__(self, verify: Callable[[], None]) -> None:
        self.verify = verify

    def acquire(self) -> bool:
        self.verify()
        return True

    def release(self) -> None:
        pass


def _cut_partial_line(path: str) -> None:
    """Cut off a last line without an end: its writer was killed in the middle of it, and what comes after must not be joined to it."""
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
    """One search: its suggestions in the order they were made. The next one depends on those before it and the search's name alone."""

    def __init__(
        self,
        journal: Journal,
        name: str,
        search: Search,
        searcher: str,
        text: Settings,
        hyperopt: Callable[[dict[str, Range], list[tuple[Settings, float]], int], Settings],
    ) -> None:
        """`text` is what is tried first: the study's own settings, as far as the space holds them; `hyperopt` makes its suggestions."""
        if searcher not in SAMPLERS:
            raise make_unknown_error("searcher", searcher, SAMPLERS)
        self.name, self.search, self.searcher, self.hyperopt = name, search, searcher, hyperopt
        self.distributions = {setting: _make_distribution(each) for setting, each in search.space.items()}
        self.study = optuna.create_study(storage=journal, study_name=name, direction="maximize", load_if_exists=True)
        for trial in self._list_trials(TrialState.RUNNING):  # of a search that was killed: to be taken up again
            journal.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        if not self.study.trials and all(name in text and _contains_value(each, text[name]) for name, each in search.space.items()):
            self.study.enqueue_trial({name: text[name] for name in search.space}, user_attrs={"searcher": "the text"})
        self._asked: dict[int, optuna.Trial] = {}

    def ask(self, trials: int) -> tuple[int, Settings] | None:
        """The next suggestion's number and settings; None where `trials` have been made."""
        waiting, made = self._list_trials(TrialState.WAITING), self.started_trials
        if made >= trials:
            return None
        seed = make_torch_seed(made, f"search {self.name}") % 2**31
        if not waiting and self.searcher == "hyperopt":
            past = [(trial.params, float(trial.value or 0)) for trial in self.finished_trials]
            self.study.enqueue_trial(self.hyperopt(self.search.space, past, seed))
        self.study.sampler = SAMPLERS[self.searcher](seed)
        trial = self.study.ask(self.distributions)
        if not waiting:
            trial.set_user_attr("searcher", self.searcher if self.searcher == "random" else f"{self.searcher} {version(self.searcher)}")
        self._asked[trial.number] = trial
        return trial.number, trial.params

    def tell(self, number: int, scores: list[float], reason: str = "") -> None:
        """What came of a suggestion: a score for each seed; with a reason, or a score that is no number, it has failed."""
        trial = self._asked.pop(number)
        if reason or not scores or not all(map(math.isfinite, scores)):
            trial.set_user_attr("reason", reason or f"scores {scores}")
            self.study.tell(trial, state=TrialState.FAIL)
            return
        trial.set_user_attr("scores", scores)
        trial.set_user_attr("sd", stdev(scores) if len(scores) > 1 else None)
        self.study.tell(trial, mean(scores))

    def release_running(self) -> None:
        """Nothing is being trained any more: what was goes back to those that wait."""
        for trial in self._asked.values():
            self.study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        self._asked.clear()

    @property
    def started_trials(self) -> int:
        """Suggestions that are, or were, in training."""
        return len(self.study.get_trials(deepcopy=False)) - len(self._list_trials(TrialState.WAITING))

    @property
    def finished_trials(self) -> list[FrozenTrial]:
        return self._list_trials(TrialState.COMPLETE)

    @property
    def failed_trials(self) -> list[FrozenTrial]:
        return self._list_trials(TrialState.FAIL)

    @property
    def best_trial(self) -> FrozenTrial | None:
        """The one with the highest mean; of equals the first."""
        return max(self.finished_trials, key=lambda trial: (trial.value or 0, -trial.number), default=None)

    def _list_trials(self, state: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(state,))


def _make_distribution(each: Range) -> BaseDistribution:
    if isinstance(each, Real):
        return FloatDistribution(each.low, each.high, log=each.log)
    if isinstance(each, Whole):
        return IntDistribution(each.low, each.high, log=each.log)
    return CategoricalDistribution(each.values)


def _contains_value(each: Range, value: Value) -> bool:
    if isinstance(each, OneOf):
        return value in each.values
    return isinstance(value, int | float) and not isinstance(value, bool) and each.low <= value <= each.high
