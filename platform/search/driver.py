"""Search driver: the searches of a study, one per condition, side by side. The search with the fewest suggestions makes the next one."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

from optuna.trial import FrozenTrial

from platform.search.search_record import PUBLISHED, Journal, SearchRecord
from platform.search.searchers import SEARCHERS
from search_spaces.search_space import Search, TunedSettings
from search_spaces.space_tree import Parameters, check_space, describe_space, find_parameters, list_ends, list_settings, make_settings
from search_spaces.study import Study
from trainables.cell import Cell, Data, Value
from trainables.registry import BadRequest
from trainables.settings import get_nested_setting
from trainables.storage.store import RunFolder


class ConditionSearch:
    """The search under one condition: its record, and the cells of a suggestion."""

    def __init__(self, study: Study, search: Search, condition: dict[str, Value], data: dict[str, Data]) -> None:
        axes: dict[str, tuple[Value, ...]] = {axis: (value,) for axis, value in condition.items()}
        axes |= {study.compared: (search.arm,), study.replicated: tuple(range(search.seeds))}
        self.study, self.search, self.condition, self.data = replace(study, axes=study.axes | axes), search, condition, data
        cells = self.study.make_cells(data)
        self.steps = [cell for cell in cells if self.study.is_prerequisite(cell)]
        """prerequisites of the cells of every suggestion"""
        base_cells = [cell for cell in cells if not self.study.is_prerequisite(cell)]
        published = base_cells[0].method_settings
        self.published = find_parameters(search.space, published)
        """the parameters of the paper's settings; None: the space does not contain them"""
        self.text = {name: value for name in list_settings(search.space) if (value := get_nested_setting(published, name)) is not None}
        if self.published is not None:
            self.text = make_settings(search.space, self.published)
        self._check_ranges()
        identity = json.dumps([[cell.key for cell in base_cells], describe_space(search.space)])
        self.where = "/".join(f"{axis}={value}" for axis, value in condition.items()) or "all"
        self.name = f"{self.where}#{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
        """contains a hash of settings, data and seeds, so that suggestions made for other ones are not reused"""
        self.record: SearchRecord

    def make_cells(self, parameters: Parameters) -> list[Cell]:
        """Return the cells of a suggestion, one per seed of the search."""
        study = replace(self.study, found=(self._make_tuned_settings(parameters),))
        return [cell for cell in study.make_cells(self.data) if not study.is_prerequisite(cell)]

    def _check_ranges(self) -> None:
        """Make cells at both ends of the ranges, so that an end that the method rejects is reported before anything starts."""
        for ends in list_ends(self.search.space):
            self.make_cells(ends)

    def _make_tuned_settings(self, parameters: Parameters) -> TunedSettings:
        return TunedSettings(self.search.arm, self.condition, make_settings(self.search.space, parameters))

    def get_best_settings(self) -> TunedSettings | None:
        best = self.record.best_trial
        return self._make_tuned_settings(best.params) if best else None


class SearchDriver:
    """All searches. A trial is one suggestion in training: suggestions are asked for and completed by trial."""

    def __init__(self, condition_searches: list[ConditionSearch], folder: RunFolder, journal: Journal, searcher: str, trials: int) -> None:
        self.searches, self.folder, self.trials = condition_searches, folder, trials
        self.ended: Callable[[ConditionSearch, FrozenTrial, list[Cell]], None] = lambda condition_search, trial, cells: None
        """called with each suggestion that has ended, and its cells"""
        for condition_search in condition_searches:
            space = condition_search.search.space
            condition_search.record = SearchRecord(journal, condition_search.name, space, searcher, condition_search.published)
        self._open: dict[str, tuple[ConditionSearch, int, list[Cell]]] = {}

    @property
    def suggestions_left(self) -> int:
        """The number of suggestions still to be made."""
        return sum(max(0, self.trials - condition_search.record.started_trials) for condition_search in self.searches)

    def suggest_cells(self, trial: str) -> list[Cell] | None:
        condition_search = min(self.searches, key=lambda condition_search: condition_search.record.started_trials)
        if (suggested := condition_search.record.ask(self.trials)) is None:
            return None
        number, parameters = suggested
        cells = condition_search.make_cells(parameters)
        self._open[trial] = condition_search, number, cells
        return cells

    def complete_trial(self, trial: str) -> None:
        """Record a suggestion's scores once its cells have ended. A cell's score is that of the epoch selected on validation images."""
        if trial not in self._open:
            return
        condition_search, number, cells = self._open.pop(trial)
        results = [self.folder.get_result(cell.key) for cell in cells]
        errors = [None if result else self.folder.get_error(cell.key) for cell, result in zip(cells, results, strict=True)]
        if any(not result and not error for result, error in zip(results, errors, strict=True)):
            self._open[trial] = condition_search, number, cells  # stopped before all its cells had ended
            return
        reasons = [f"{cell.name}: {error['reason']}" for cell, error in zip(cells, errors, strict=True) if error]
        scores = [result["metrics"][f"val/{condition_search.study.metric}"] for result in results if result]
        condition_search.record.tell(number, scores, reasons[0] if reasons else "")
        self.ended(condition_search, condition_search.record.study.trials[number], cells)

    def release_all(self) -> None:
        for condition_search in self.searches:
            condition_search.record.release_running()
        self._open.clear()


def make_condition_searches(study: Study, search: Search, data: dict[str, Data]) -> list[ConditionSearch]:
    """Return one search for each combination of the study's conditions."""
    if search.arm not in study.axes[study.compared]:
        raise BadRequest(f"{study.name} searches {search.arm}: --only {study.compared}=... must include it")
    check_space(search.space)
    conditions = [dict(zip(study.condition_axes, values, strict=True)) for values in product(*study.condition_axes.values())]
    return [ConditionSearch(study, search, condition, data) for condition in conditions]


def build_best_json(study: Study, search_driver: SearchDriver) -> dict[str, Any]:
    """Return what `--use` reads: by condition, the settings with the highest mean, and the result of the paper's settings."""
    entries = []
    for condition_search in search_driver.searches:
        best, best_settings = condition_search.record.best_trial, condition_search.get_best_settings()
        if best is None or best_settings is None:
            continue
        paper_trial = next(
            (trial for trial in condition_search.record.finished_trials if trial.user_attrs.get("searcher") in PUBLISHED), None
        )
        entries.append(
            {
                "arm": condition_search.search.arm,
                "condition": condition_search.condition,
                "settings": best_settings.settings,
                "mean": best.value,
                "sd": best.user_attrs["sd"],
                "suggestion": best.number,
                "by": best.user_attrs["searcher"],
                "text": {"settings": condition_search.text, "mean": paper_trial.value if paper_trial else None},
                "finished": len(condition_search.record.finished_trials),
                "failed": len(condition_search.record.failed_trials),
            }
        )
    search = search_driver.searches[0].search
    return {
        "study": study.name,
        "scale": study.scale,
        "objective": f"mean val/{study.metric} over seeds 0 to {search.seeds - 1}",
        "space": describe_space(search.space),
        "searcher": {"name": search.searcher} | SEARCHERS[search.searcher].describe(),
        "found": entries,
    }
