"""Search driver: the searches of a study, one per arm and condition, side by side. The one with the fewest suggestions makes the next."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from platform.search.condition_search import ConditionSearch
from platform.search.pruning import SuggestionProgress, count_epochs
from platform.search.search_record import PUBLISHED, Journal, SearchRecord
from trainables.cell import Cell
from trainables.storage.store import RunFolder
from trainables.workers.worker_messages import Event


@dataclass
class OpenSuggestion:
    """A suggestion in training."""

    search: ConditionSearch
    number: int
    cells: list[Cell]
    progress: SuggestionProgress | None
    """None: no scheduler may stop it"""

    @property
    def trial(self) -> FrozenTrial:
        return self.search.record.study.trials[self.number]


class SearchDriver:
    """All searches. A trial is one suggestion in training: suggestions are asked for and completed by trial."""

    def __init__(self, condition_searches: list[ConditionSearch], folder: RunFolder, journal: Journal) -> None:
        self.searches, self.folder = condition_searches, folder
        self.ended: Callable[[ConditionSearch, FrozenTrial, list[Cell]], None] = lambda condition_search, trial, cells: None
        """called with each suggestion that has ended, and its cells"""
        self.dropped: Callable[[list[str]], None] = lambda keys: None
        """called with the keys of the trainings that a suggestion which has failed or was stopped will not finish"""
        for each in condition_searches:
            each.record = SearchRecord(journal, each.name, each.search.space, each.search.searcher, each.published)
        self._open: dict[str, OpenSuggestion] = {}
        self._pruners: dict[str, Any] = {}
        """by the search's name"""

    @property
    def prunes(self) -> bool:
        """Whether a scheduler stops suggestions early."""
        return self.searches[0].search.scheduler == "asha"

    @property
    def suggestions_left(self) -> int:
        """The number of suggestions still to be made."""
        return sum(max(0, each.search.trials - each.record.started_trials) for each in self.searches)

    def suggest_cells(self, trial: str) -> list[Cell] | None:
        condition_search = min(self.searches, key=lambda each: each.record.started_trials - each.search.trials)
        if (suggested := condition_search.record.ask(condition_search.search.trials)) is None:
            return None
        number, parameters = suggested
        cells, progress = condition_search.make_cells(parameters), None
        if self.prunes:
            progress = SuggestionProgress(cells, condition_search.study.metric, condition_search.record.count_passed_epochs(number))
        self._open[trial] = OpenSuggestion(condition_search, number, cells, progress)
        return cells

    def judge_event(self, trial: str, event: Event) -> bool:
        """Return whether the scheduler stops a trial, given the next event of its trainings."""
        if (suggestion := self._open.get(trial)) is None:
            return True  # it has been stopped
        if suggestion.progress is None or event["kind"] not in ("row", "done"):
            return False
        rows = [event["row"]] if event["kind"] == "row" else []
        if not rows or suggestion.progress.misses_rows(event["key"], rows[0]):
            rows = [*(self.folder.get_history(event["key"]) or []), *rows]
        return self._judge_rows(trial, suggestion, event["key"], rows)

    def _judge_rows(self, trial: str, suggestion: OpenSuggestion, key: str, rows: list[dict[str, Any]]) -> bool:
        assert suggestion.progress is not None
        record, progress = suggestion.search.record, suggestion.progress
        for epochs, rung, score in progress.read_rows(key, rows):
            behind = self._get_pruner(suggestion.search).stops(suggestion.number, rung, score)
            record.report(suggestion.number, epochs, score, progress.epochs)
            if behind and suggestion.trial.user_attrs.get("searcher") not in PUBLISHED:  # the comparison needs the paper's settings
                record.prune(suggestion.number)
                del self._open[trial]
                self.dropped([cell.key for cell in suggestion.cells])
                return True
        return False

    def _get_pruner(self, condition_search: ConditionSearch) -> Any:
        """Return a search's rungs. They hold what the record has of earlier suggestions."""
        from platform.launch.asha import Pruner, find_rung

        if condition_search.name not in self._pruners:
            pruner = self._pruners[condition_search.name] = Pruner()
            for trial in condition_search.record.study.trials:
                for epochs, score in sorted(trial.intermediate_values.items()):
                    pruner.stops(trial.number, find_rung(epochs, trial.user_attrs["epochs"]), score)
        return self._pruners[condition_search.name]

    def complete_trial(self, trial: str) -> None:
        """Record a suggestion's scores once its cells have ended. A cell's score is that of the epoch selected on validation images."""
        if (suggestion := self._open.get(trial)) is None:
            return
        results = [self.folder.get_result(cell.key) for cell in suggestion.cells]
        errors = [None if result else self.folder.get_error(cell.key) for cell, result in zip(suggestion.cells, results, strict=True)]
        if not any(errors) and not all(results):  # stopped before all its cells had ended
            return
        for cell in suggestion.cells if suggestion.progress else ():  # quick trainings end before their last epochs are judged
            if self._judge_rows(trial, suggestion, cell.key, self.folder.get_history(cell.key) or []):
                return
        del self._open[trial]
        reasons = [f"{cell.name}: {error['reason']}" for cell, error in zip(suggestion.cells, errors, strict=True) if error]
        if reasons:
            self.dropped([cell.key for cell in suggestion.cells])
        scores = [result["metrics"][f"val/{suggestion.search.study.metric}"] for result in results if result]
        suggestion.search.record.tell(suggestion.number, scores, reasons[0] if reasons else "", [cell.key for cell in suggestion.cells])
        self.ended(suggestion.search, suggestion.trial, suggestion.cells)

    def finish_pruned(self) -> None:
        """Hand on the suggestions that were stopped, and remove the checkpoints that they would resume from. Nothing trains any more."""
        for condition_search in self.searches:
            for trial in condition_search.record.pruned_trials:
                cells = condition_search.make_cells(trial.params)
                self.ended(condition_search, trial, cells)
                for cell in cells:
                    if self.folder.get_result(cell.key) is None:
                        self.folder.remove("cells", cell.key, "checkpoint.pt")

    def release_all(self) -> None:
        for condition_search in self.searches:
            condition_search.record.release_running()
        self._open.clear()


def measure_savings(searches: list[ConditionSearch]) -> tuple[int, int, float]:
    """Return how many suggestions ended, how many of them the scheduler stopped, and the share of all their epochs that this saved."""
    planned = trained = 0
    pruned = sum(len(each.record.pruned_trials) for each in searches)
    ended = pruned + sum(len(each.record.finished_trials) for each in searches)
    if not pruned:
        return ended, 0, 0.0
    for each in searches:
        for trial in (*each.record.finished_trials, *each.record.pruned_trials):
            whole = each.search.seeds * count_epochs(each.make_cells(trial.params)[0])
            planned += whole
            trained += max(trial.intermediate_values) if trial in each.record.pruned_trials else whole
    return ended, pruned, 1 - trained / planned
