"""The search of one arm under one condition: its space, its record, and the cells of a suggestion."""

import hashlib
import json
from dataclasses import replace
from itertools import product

from platform.search.pruning import SCHEDULERS, count_epochs
from platform.search.search_record import SearchRecord
from search_spaces.search_space import Search, TunedSettings
from search_spaces.space_tree import Parameters, check_space, describe_space, find_parameters, list_ends, list_settings, make_settings
from search_spaces.study import Study
from trainables.cell import Cell, Data, Value
from trainables.registry import BadRequest, make_unknown_error
from trainables.settings import get_nested_setting


class ConditionSearch:
    """The search of an arm under one condition."""

    record: SearchRecord

    def __init__(self, study: Study, search: Search, condition: dict[str, Value], data: dict[str, Data]) -> None:
        axes: dict[str, tuple[Value, ...]] = {axis: (value,) for axis, value in condition.items()}
        axes |= {study.compared: (search.arm,), study.replicated: tuple(range(search.seeds))}
        self.study, self.search, self.condition, self.data = replace(study, axes=study.axes | axes), search, condition, data
        cells = self.study.make_cells(data)
        self.steps = [cell for cell in cells if self.study.is_prerequisite(cell)]
        """prerequisites of the cells of every suggestion"""
        base_cells = [cell for cell in cells if not self.study.is_prerequisite(cell)]
        if search.scheduler == "asha":
            count_epochs(base_cells[0])
        published = base_cells[0].method_settings
        self.published = find_parameters(search.space, published)
        """the parameters of the paper's settings; None: the space does not contain them"""
        self.text = {name: value for name in list_settings(search.space) if (value := get_nested_setting(published, name)) is not None}
        if self.published is not None:
            self.text = make_settings(search.space, self.published)
        self._check_ranges()
        identity = json.dumps([[cell.key for cell in base_cells], describe_space(search.space)])
        place = {study.compared: search.arm} | condition
        self.where = "/".join(f"{axis}={value}" for axis, value in place.items())
        self.name = f"{self.where}#{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
        """contains a hash of settings, data and seeds, so that suggestions made for other ones are not reused"""

    def make_cells(self, parameters: Parameters) -> list[Cell]:
        """Return the cells of a suggestion, one per seed of the search."""
        study = replace(self.study, found=(self._make_tuned_settings(parameters),))
        return [cell for cell in study.make_cells(self.data) if not study.is_prerequisite(cell)]

    def _check_ranges(self) -> None:
        """Make cells at both ends of the ranges, so that an end that the method rejects is reported before anything starts."""
        for ends in list_ends(self.search.space):
            self.make_cells(ends)

    def _make_tuned_settings(self, parameters: Parameters) -> TunedSettings:
        return TunedSettings((self.search.arm, *self.search.shared), self.condition, make_settings(self.search.space, parameters))

    def get_best_settings(self) -> TunedSettings | None:
        best = self.record.best_trial
        return self._make_tuned_settings(best.params) if best else None


def select_searches(study: Study, arms: list[str] | None) -> tuple[Search, ...]:
    """Return the study's searches for these arms; without a choice, for those of the arms that the study has one for and compares."""
    known = {search.arm: search for search in study.searches}
    for search in study.searches:
        check_space(search.space)
    if arms is None:
        selected = tuple(search for search in study.searches if search.arm in study.axes[study.compared])
        if not selected:
            raise BadRequest(f"{study.name} searches {', '.join(known)}: --only {study.compared}=... must include one of them")
        return selected
    if unknown := [arm for arm in arms if arm not in known]:
        raise make_unknown_error(f"searched arm of {study.name}", unknown[0], known)
    return tuple(known[arm] for arm in dict.fromkeys(arms))


def make_condition_searches(study: Study, data: dict[str, Data]) -> list[ConditionSearch]:
    """Return the study's searches, one for each arm that is searched and each combination of the study's conditions."""
    searches = []
    for search in study.searches:
        if search.arm not in study.axes[study.compared]:
            raise BadRequest(f"{study.name} searches {search.arm}: --only {study.compared}=... must include it")
        if search.scheduler not in SCHEDULERS:
            raise make_unknown_error("scheduler", search.scheduler, SCHEDULERS)
        conditions = [dict(zip(study.condition_axes, values, strict=True)) for values in product(*study.condition_axes.values())]
        searches += [ConditionSearch(study, search, condition, data) for condition in conditions]
    return searches
