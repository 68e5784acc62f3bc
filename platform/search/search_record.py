"""Search record: every suggestion of a search and its result, in an Optuna study, whichever searcher made the suggestion.

All searches of a run folder share one file, RUN/search.journal: one line of JSON per operation, each flushed to disk, nothing pickled.
The suggestions that were in training when a search was killed wait there and are resumed. `optuna-dashboard RUN/search.journal` opens
the file.
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

from search_spaces.search_space import STARTUP, OneOf, Range, Real, Search, Whole
from trainables.cell import Value
from trainables.random_streams import make_torch_seed
from trainables.registry import BadRequest, make_unknown_error

Settings = dict[str, Value]
PUBLISHED = ("the paper", "the text")
"""How a journal marks the suggestion of the study's own settings; the second is what older journals say."""
TPE = {"n_startup_trials": STARTUP, "multivariate": True, "constant_liar": True}
"""arguments of Optuna's sampler; those in which its releases 4 and 5 differ are explicit"""
SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "optuna": lambda seed: optuna.samplers.TPESampler(seed=seed, **TPE),  # type: ignore[arg-type]
    "hyperopt": lambda seed: optuna.samplers.RandomSampler(seed=seed),  # never samples: hyperopt's suggestions are enqueued
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class Journal(JournalStorage):
    """The file of all search records of a run folder. Only this driver writes to it."""

    def __init__(self, path: str, verify: Callable[[], None] = lambda: None) -> None:
        """`verify` is called before every write. It raises if the file no longer belongs to this driver."""
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
    """One search: its suggestions in order. The next one depends only on those before it and on the search's name."""

    def __init__(
        self,
        journal: Journal,
        name: str,
        search: Search,
        searcher: str,
        text: Settings,
        hyperopt: Callable[[dict[str, Range], list[tuple[Settings, float]], int], Settings],
    ) -> None:
        """`text` is the first suggestion: the study's own settings, if the space contains them. `hyperopt` makes hyperopt's suggestions."""
        if searcher not in SAMPLERS:
            raise make_unknown_error("searcher", searcher, SAMPLERS)
        self.name, self.search, self.searcher, self.hyperopt = name, search, searcher, hyperopt
        self.distributions = {setting: _make_distribution(limits) for setting, limits in search.space.items()}
        self.study = optuna.create_study(storage=journal, study_name=name, direction="maximize", load_if_exists=True)
        for trial in self._list_trials(TrialState.RUNNING):  # of a killed search: to be resumed
            journal.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        if not self.study.trials and all(
            setting in text and _contains_value(limits, text[setting]) for setting, limits in search.space.items()
        ):
            self.study.enqueue_trial({setting: text[setting] for setting in search.space}, user_attrs={"searcher": PUBLISHED[0]})
        self._asked: dict[int, optuna.Trial] = {}

    def ask(self, trials: int) -> tuple[int, Settings] | None:
        """Return the next suggestion's number and settings, or None if `trials` suggestions have been made."""
        waiting, started = self._list_trials(TrialState.WAITING), self.started_trials
        if started >= trials:
            return None
        seed = make_torch_seed(started, f"search {self.name}") % 2**31
        if not waiting and self.searcher == "hyperopt":
            results = [(trial.params, float(trial.value or 0)) for trial in self.finished_trials]
            self.study.enqueue_trial(self.hyperopt(self.search.space, results, seed))
        self.study.sampler = SAMPLERS[self.searcher](seed)
        trial = self.study.ask(self.distributions)
        if not waiting:
            trial.set_user_attr("searcher", self.searcher if self.searcher == "random" else f"{self.searcher} {version(self.searcher)}")
        self._asked[trial.number] = trial
        return trial.number, trial.params

    def tell(self, number: int, scores: list[float], reason: str = "") -> None:
        """Record a suggestion's scores, one per seed. With a reason, without scores, or with a score that is not finite, it has failed."""
        trial = self._asked.pop(number)
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
    def failed_trials(self) -> list[FrozenTrial]:
        return self._list_trials(TrialState.FAIL)

    @property
    def best_trial(self) -> FrozenTrial | None:
        """The trial with the highest mean; of several, the first."""
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
