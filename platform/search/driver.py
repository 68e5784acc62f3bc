"""Hunt: the searches of a study, one under each condition, side by side: whichever has made the fewest suggestions makes the next."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import product
from typing import Any

from optuna.trial import FrozenTrial

from platform.search.record import TPE, Journal, SearchRecord, Settings
from search_spaces.space import OneOf, Search, TunedSettings
from search_spaces.study import Study
from trainables.cell import Cell, Data, Value
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

Hyperopt = Callable[..., Settings]


class ConditionSearch:
    """The search under one condition: its record, and the cells of a suggestion."""

    def __init__(self, study: Study, search: Search, condition: dict[str, Value], data: dict[str, Data]) -> None:
        axes: dict[str, tuple[Value, ...]] = {axis: (value,) for axis, value in condition.items()}
        axes |= {study.compared: (search.arm,), study.replicated: tuple(range(search.seeds))}
        self.study, self.search, self.condition, self.data = replace(study, axes=study.axes | axes), search, condition, data
        every = self.study.make_cells(data)
        self.steps = [cell for cell in every if self.study.is_prerequisite(cell)]
        """what the cells of every suggestion start from"""
        base = [cell for cell in every if not self.study.is_prerequisite(cell)]
        self.text = {name: value for name in search.space if (value := _get_nested(base[0].method_settings, name)) is not None}
        self._check_ranges()
        what = json.dumps([[cell.key for cell in base], {name: repr(each) for name, each in search.space.items()}])
        self.where = "/".join(f"{axis}={value}" for axis, value in condition.items()) or "all"
        self.name = f"{self.where}#{hashlib.sha256(what.encode()).hexdigest()[:8]}"
        """changes with settings, data and seeds: what was suggested for others says nothing here"""
        self.record: SearchRecord

    def make_cells(self, settings: Settings) -> list[Cell]:
        """One for each seed of a search."""
        study = replace(self.study, found=(TunedSettings(self.search.arm, self.condition, dict(settings)),))
        return [cell for cell in study.make_cells(self.data) if not study.is_prerequisite(cell)]

    def _check_ranges(self) -> None:
        """A range whose ends the method would not take is said before anything starts."""
        for end in (0, -1):
            ends = {
                name: each.values[end] if isinstance(each, OneOf) else (each.low, each.high)[end]
                for name, each in self.search.space.items()
            }
            self.make_cells(ends)

    def get_best_settings(self) -> TunedSettings | None:
        best = self.record.best_trial
        return TunedSettings(self.search.arm, self.condition, dict(best.params)) if best else None


class SearchDriver:
    """All searches, asked and told by trial; a trial is one suggestion in training."""

    def __init__(
        self, condition_searches: list[ConditionSearch], folder: RunFolder, journal: Journal, searcher: str, trials: int, hyperopt: Hyperopt
    ) -> None:
        self.searches, self.folder, self.trials = condition_searches, folder, trials
        self.ended: Callable[[ConditionSearch, FrozenTrial, list[Cell]], None] = lambda condition_search, trial, cells: None
        """is told of each suggestion with what came of it"""
        for condition_search in condition_searches:
            condition_search.record = SearchRecord(
                journal, condition_search.name, condition_search.search, searcher, condition_search.text, hyperopt
            )
        self._open: dict[str, tuple[ConditionSearch, int, list[Cell]]] = {}

    @property
    def suggestions_left(self) -> int:
        """Suggestions still to be made."""
        return sum(max(0, self.trials - condition_search.record.started_trials) for condition_search in self.searches)

    def suggest_cells(self, trial: str) -> list[Cell] | None:
        condition_search = min(self.searches, key=lambda condition_search: condition_search.record.started_trials)
        if (suggested := condition_search.record.ask(self.trials)) is None:
            return None
        number, settings = suggested
        cells = condition_search.make_cells(settings)
        self._open[trial] = condition_search, number, cells
        return cells

    def complete_trial(self, trial: str) -> None:
        """The trial's cells have ended: what they scored, each by the epoch it picked on the images that select, is the suggestion's."""
        if trial not in self._open:
            return
        condition_search, number, cells = self._open.pop(trial)
        results = [self.folder.get_result(cell.key) for cell in cells]
        errors = [None if result else self.folder.get_error(cell.key) for cell, result in zip(cells, results, strict=True)]
        if any(not result and not error for result, error in zip(results, errors, strict=True)):
            self._open[trial] = condition_search, number, cells  # stopped in the middle
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
    """One for each combination of the study's conditions."""
    if search.arm not in study.axes[study.compared]:
        raise BadRequest(f"{search.arm} is what is searched in {study.name}: --only {study.compared}=... must not leave it out")
    every = [dict(zip(study.condition_axes, values, strict=True)) for values in product(*study.condition_axes.values())]
    return [ConditionSearch(study, search, condition, data) for condition in every]


def build_best_json(study: Study, search_driver: SearchDriver) -> dict[str, Any]:
    """What `--use` reads: by condition the settings with the highest mean, and what they were compared with."""
    found = []
    for condition_search in search_driver.searches:
        if (best := condition_search.record.best_trial) is None:
            continue
        text = next((trial for trial in condition_search.record.finished_trials if trial.user_attrs.get("searcher") == "the text"), None)
        found.append(
            {
                "arm": condition_search.search.arm,
                "condition": condition_search.condition,
                "settings": best.params,
                "mean": best.value,
                "sd": best.user_attrs["sd"],
                "suggestion": best.number,
                "by": best.user_attrs["searcher"],
                "text": {"settings": condition_search.text, "mean": text.value if text else None},
                "finished": len(condition_search.record.finished_trials),
                "failed": len(condition_search.record.failed_trials),
            }
        )
    space = {name: {"kind": type(each).__name__} | asdict(each) for name, each in search_driver.searches[0].search.space.items()}
    return {
        "study": study.name,
        "scale": study.scale,
        "objective": f"mean val/{study.metric} over seeds 0 to {search_driver.searches[0].search.seeds - 1}",
        "space": space,
        "tpe": TPE,
        "found": found,
    }


def _get_nested(settings: dict[str, Any], name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
