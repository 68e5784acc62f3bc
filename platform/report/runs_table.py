"""Runs: what a report is made from, whatever its source. It has one row per training, and what the study says of its axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from platform.report.sequential_plan import SequentialPlan
from platform.report.settings_summary import SettingsSummary
from search_spaces.claims import FIRST, LAST, Claim, Confusion, Contrast, Published
from search_spaces.printed_numbers import PrintedTable
from trainables.cell import Value

Condition = dict[str, Value]
STATES = ("done", "failed", "missing")


@dataclass(frozen=True)
class Design:
    """What a report must know of a study. It knows axes by their part in the study, never by name."""

    title: str
    source: str
    """the paper it reproduces, or the file it was read from"""
    compared: str
    replicated: str
    conditions: tuple[str, ...]
    """the axes that are neither compared nor replicated"""
    along: str | None = None
    """the condition that figures are drawn along; None: the first condition"""
    at_largest: bool = False
    """the paper's table is read at the largest value of `along`, if its values are numbers; otherwise it shows all conditions"""
    metric: str = "test/accuracy"
    selector: str | None = "val/accuracy"
    """the metric that picks the winner; None: the metric itself picks it, and the report says so"""
    secondary: str | None = None
    """a metric shown beside the main one"""
    higher_is_better: bool = True
    percent: bool = True
    """the metric is a share and is shown in percent"""
    rope: float | None = None
    """a difference too small to matter; None: nothing is called equivalent"""
    baseline: str | None = None
    measures: dict[str, dict[Value, str]] = field(default_factory=dict)
    """by condition, and by its value: what the metric measures there; conditions of different measures are not averaged"""
    published: tuple[Published, ...] = ()
    claims: tuple[Claim, ...] = ()
    printed: tuple[PrintedTable, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    fewer: str | None = None
    """the condition whose values are numbers of classes; the fewer classes are among the more"""
    contrasts: tuple[Contrast, ...] = ()
    pictured: dict[str, Value] = field(default_factory=dict)
    """values of conditions at which the paper shows its confusion matrix; ours are drawn there"""
    study: str = ""
    scale: str = ""


class Sample(NamedTuple):
    """One metric of an arm at one condition, by replicate. It holds finite numbers only."""

    values: dict[Any, float]
    splits: dict[Any, str]
    """by replicate, the hash of its data split; empty where unknown"""

    def to_array(self) -> np.ndarray:
        return np.array(list(self.values.values()))


def match_samples(a: Sample, b: Sample) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return two samples as arrays, and whether they are paired.

    They are paired by replicate if both know their data splits and share most of them. Paired arrays hold the shared replicates only.
    Equal seeds alone pair nothing, because they need not mean equal images.
    """
    shared = [rep for rep in a.values if rep in b.values and a.splits[rep] and a.splits[rep] == b.splits[rep]]
    if shared and 2 * len(shared) > min(len(a.values), len(b.values)):
        return np.array([a.values[rep] for rep in shared]), np.array([b.values[rep] for rep in shared]), True
    return a.to_array(), b.to_array(), False


@dataclass
class Runs:
    """The trainings of a report. `table` has one row per training: the axes' columns, `state`, `reason`, `split_hash` and the metrics.

    `state` is done, failed or missing. `results`, if the runs are ferray's own, holds what a training wrote besides, in the table's
    order. `notes` holds what was noticed while reading.
    """

    design: Design
    table: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    results: list[dict[str, Any] | None] | None = None
    data: dict[str, dict[str, Any]] = field(default_factory=dict)
    """by role: title, source, fingerprint and notes of a data set"""
    readings: list[str] = field(default_factory=list)
    """what was taken where the paper's words leave a choice, a sentence each"""
    settings: SettingsSummary = field(default_factory=SettingsSummary)
    """of the runs' tasks and methods, if they are ferray's own"""
    plan: SequentialPlan | None = None
    """the plan of a grid whose seeds were added until its claims were decided; tests of a fixed number of seeds are then not valid"""

    def __post_init__(self) -> None:
        design, table = self.design, self.table
        self.arms = [str(arm) for arm in table[design.compared].unique()]
        self.replicates = list(table[design.replicated].unique())
        self.axes: dict[str, list[Value]] = {}
        for axis in design.conditions:
            values = table[axis].unique().tolist()
            self.axes[axis] = sorted(values) if all(map(_is_number, values)) else values
        self.along = design.along if design.along in self.axes else next(iter(self.axes), None)
        self.points: list[Value] = self.axes[self.along] if self.along else [None]
        self.numeric = self.along is not None and all(map(_is_number, self.points))
        self.at_largest = design.at_largest and self.numeric
        present = {tuple(row) for row in table[list(design.conditions)].itertuples(index=False)}
        combinations = [dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())]
        self.conditions: list[Condition] = [condition for condition in combinations if tuple(condition.values()) in present]
        """in the order of the axes' values"""
        self.panels: list[Condition] = []
        """the conditions without `along`"""
        for condition in self.conditions:
            if (panel := {axis: value for axis, value in condition.items() if axis != self.along}) not in self.panels:
                self.panels.append(panel)
        columns = [table[design.compared].astype(str), *(table[axis] for axis in design.conditions)]
        self._rows: dict[tuple[Any, ...], list[int]] = {}
        for row, point in enumerate(zip(*columns, strict=True)):
            self._rows.setdefault(point, []).append(row)
        self._places = {axis: table[axis].tolist() for axis in (design.compared, *design.conditions, design.replicated)}
        self._replicates, self._splits = table[design.replicated].tolist(), table["split_hash"].tolist()
        self._done = (table["state"] == "done").to_numpy()
        self._columns: dict[str, np.ndarray] = {}

    @property
    def sign(self) -> int:
        return 1 if self.design.higher_is_better else -1

    @property
    def state_counts(self) -> dict[str, int]:
        """Number of trainings by state."""
        return {state: int((self.table["state"] == state).sum()) for state in STATES}

    @property
    def total_seconds(self) -> float | None:
        """Total seconds of training, if known."""
        return math.fsum(self.table["seconds"].dropna()) if "seconds" in self.table else None

    def get_training_name(self, row: int) -> str:
        """Return a training's name as its cell is called, such as `SC(c)/split=0.5/ratio=5/seed=3`."""
        first, *rest = (values[row] for values in self._places.values())
        return "/".join([str(first), *(f"{axis}={value}" for axis, value in zip(list(self._places)[1:], rest, strict=True))])

    @property
    def table_conditions(self) -> list[Condition]:
        """The conditions at which the paper's table is read: every panel at the largest point, or else all conditions."""
        if not self.at_largest:
            return self.conditions
        return [condition for condition in self.conditions if self.along and condition[self.along] == self.points[-1]]

    def get_condition(self, panel: Condition, point: Value) -> Condition:
        """Return the condition of a panel and a point, with its axes in order."""
        return {axis: point if axis == self.along else panel[axis] for axis in self.axes}

    def find_rows(self, arm: str, condition: Condition) -> list[int]:
        """Return the table's row numbers of an arm's replicates at a condition."""
        return self._rows.get((arm, *condition.values()), [])

    def find_done_rows(self, arm: str, condition: Condition) -> list[int]:
        return [row for row in self.find_rows(arm, condition) if self._done[row]]

    def get_sample(self, arm: str, condition: Condition, metric: str | None = None) -> Sample:
        name = metric or self.design.metric
        if name not in self._columns:
            column = self.table[name] if name in self.table else pd.Series(np.nan, self.table.index)
            self._columns[name] = column.to_numpy(float)
        rows = [row for row in self.find_done_rows(arm, condition) if np.isfinite(self._columns[name][row])]
        return Sample(
            {self._replicates[row]: float(self._columns[name][row]) for row in rows},
            {self._replicates[row]: self._splits[row] for row in rows},
        )

    def resolve_place(self, place: dict[str, Any]) -> dict[str, Any] | None:
        """Return a claim's place with FIRST and LAST replaced: both are the one value of an axis that has one. None if there is no such
        value."""
        axis_values: dict[str, Sequence[Any]] = {self.design.compared: self.arms, **self.axes}
        resolved = {}
        for axis, value in place.items():
            values = axis_values.get(axis, [])
            if value in (FIRST, LAST):
                if not len(values):
                    return None
                value = values[0 if value is FIRST else -1]
            if value not in values:
                return None
            resolved[axis] = value
        return resolved


def format_condition(condition: Condition) -> str:
    return ", ".join(f"{axis} = {value}" for axis, value in condition.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
