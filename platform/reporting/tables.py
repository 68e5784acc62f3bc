"""The report's tables as plain data. They know the axes by their part in the study (compared, replicated, condition), never by name."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from platform.significance import Difference, Interval, MannWhitney, mann_whitney, mean_difference, t_interval
from search_spaces.study import Claim, Published, Study
from trainables.cell import Cell, Value

METRICS = ("val/accuracy", "test/accuracy", "test/balanced_accuracy")
FEWEST = 3
"""replicates below which no p is given"""
Condition = dict[str, Value]


@dataclass(frozen=True)
class Outcome:
    """A cell and what became of it."""

    cell: Cell
    state: Literal["done", "failed", "missing"]
    reason: str
    """why it is not done"""
    result: dict[str, Any] | None


class Grid:
    """The outcomes by place: arms (values of the compared axis) under panels x points, a replicate each.

    `along` is the condition that the figures draw along: the study's `largest`, or else its first; a point is one of its values. A panel
    is one combination of the other conditions. Only what the outcomes hold is there, in their order.
    """

    def __init__(self, study: Study, outcomes: list[Outcome]) -> None:
        self.study, self.outcomes = study, outcomes
        axes = {axis: list(dict.fromkeys(outcome.cell.axes[axis] for outcome in outcomes)) for axis in outcomes[0].cell.axes}
        self.axes = dict(axes)
        self.arms = [str(value) for value in axes.pop(study.compared)]
        self.replicates = axes.pop(study.replicated)
        self.along = study.largest if study.largest in axes else next(iter(axes), None)
        self.points: list[Value] = axes.pop(self.along) if self.along else [None]
        self.numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.points)
        if self.numeric:
            self.points.sort(key=float)  # type: ignore[arg-type]
        self._at: dict[tuple[Any, ...], list[Outcome]] = {}
        for outcome in outcomes:
            place = {axis: value for axis, value in outcome.cell.axes.items() if axis != study.replicated}
            self._at.setdefault(_place(place), []).append(outcome)
        combinations = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
        self.panels: list[Condition] = [
            panel for panel in combinations if any(panel.items() <= outcome.cell.axes.items() for outcome in outcomes)
        ]

    def condition(self, panel: Condition, point: Value) -> Condition:
        return panel | {self.along: point} if self.along else panel

    def at(self, arm: str, panel: Condition, point: Value) -> list[Outcome]:
        """Every replicate of one arm at one place."""
        place = _place(self.condition(panel, point) | {self.study.compared: arm})
        return self._at.get(place, [])

    def results(self, arm: str, panel: Condition, point: Value) -> list[dict[str, Any]]:
        return [outcome.result for outcome in self.at(arm, panel, point) if outcome.result]

    def scores(self, arm: str, panel: Condition, point: Value, metric: str = "test/accuracy") -> np.ndarray:
        """The metric of every replicate that is done [n]."""
        return np.array([result["metrics"][metric] for result in self.results(arm, panel, point) if metric in result["metrics"]])


@dataclass(frozen=True)
class Mean:
    """An arm at one place; `scores` holds a metric only where a replicate is done."""

    arm: str
    panel: Condition
    point: Value
    done: int
    planned: int
    scores: dict[str, Interval]


@dataclass(frozen=True)
class Baseline:
    """What knowing nothing scores: guessing uniformly, and always answering the test set's commonest class."""

    panel: Condition
    point: Value
    chance: float
    majority: float
    majority_balanced: float


@dataclass(frozen=True)
class Duel:
    """Best and runner-up by mean test accuracy, as the published table has it, and that table's row; a half may be missing."""

    condition: Condition
    best: str | None
    best_score: Interval | None
    runner_up: str | None
    runner_up_score: Interval | None
    test: MannWhitney | None
    published: Published | None


@dataclass(frozen=True)
class Answer:
    """A claim under one condition: the difference of mean test accuracies, better - worse, and a one-sided test of it."""

    claim: Claim
    condition: Condition
    n: tuple[int, int]
    difference: Difference | None
    test: MannWhitney | None


@dataclass(frozen=True)
class Flag:
    """A kind of warning, and by arm the names of the cells that have it."""

    kind: str
    cells: dict[str, list[str]]


@dataclass(frozen=True)
class Origin:
    """A fact of provenance and in how many results it has which value."""

    fact: str
    values: dict[str, int]
    suspect: bool
    """it differs between results that are compared, or tells of uncommitted code"""


@dataclass(frozen=True)
class Confusion:
    """An arm's mean confusion matrix [classes, classes]: of each true class (row), the share answered as each class (column)."""

    arm: str
    condition: Condition
    n: int
    classes: list[str]
    shares: list[list[float]]


def means(grid: Grid) -> list[Mean]:
    rows = []
    for panel, point, arm in product(grid.panels, grid.points, grid.arms):
        samples = {metric: grid.scores(arm, panel, point, metric) for metric in METRICS}
        scores = {metric: t_interval(sample) for metric, sample in samples.items() if len(sample)}
        done = len(grid.results(arm, panel, point))
        rows.append(Mean(arm, panel, point, done, len(grid.at(arm, panel, point)), scores))
    return rows


def baselines(grid: Grid) -> list[Baseline]:
    """Averaged over every result of a condition: its splits differ by replicate only."""
    rows = []
    for panel, point in product(grid.panels, grid.points):
        results = [result for arm in grid.arms for result in grid.results(arm, panel, point)]
        if results:
            counts = [np.array(result["counts"]["test"]) for result in results]
            majority = float(np.mean([count.max() / count.sum() for count in counts]))
            balanced = float(np.mean([1 / np.count_nonzero(count) for count in counts]))
            rows.append(Baseline(panel, point, 1 / len(results[0]["classes"]), majority, balanced))
    return rows


def duels(grid: Grid) -> list[Duel]:
    """One a panel at the last point (the largest, where points are numbers), then published rows whose condition was not run."""
    rows, matched = [], []
    for panel in grid.panels:
        samples = {arm: grid.scores(arm, panel, grid.points[-1]) for arm in grid.arms}
        ranked = sorted((arm for arm in grid.arms if len(samples[arm])), key=lambda arm: -float(np.mean(samples[arm])))
        best, runner_up = (*ranked[:2], None, None)[:2]
        test = _test(samples[best], samples[runner_up]) if best and runner_up else None
        scores = [t_interval(samples[arm]) if arm else None for arm in (best, runner_up)]
        condition = grid.condition(panel, grid.points[-1])
        published = next((row for row in grid.study.published if row.condition.items() <= condition.items()), None)
        matched.append(published)
        rows.append(Duel(condition, best, scores[0], runner_up, scores[1], test, published))
    unmatched = [row for row in grid.study.published if row not in matched]
    return rows + [Duel(row.condition, None, None, None, None, None, row) for row in unmatched]


def answers(grid: Grid) -> list[Answer]:
    """Each claim under every condition that it speaks of and the grid has; under none where the grid lacks one of its arms."""
    rows = []
    for claim, panel, point in product(grid.study.claims, grid.panels, grid.points):
        condition = grid.condition(panel, point)
        if {claim.better, claim.worse} <= set(grid.arms) and claim.condition.items() <= condition.items():
            better, worse = (grid.scores(arm, panel, point) for arm in (claim.better, claim.worse))
            difference = mean_difference(better, worse) if len(better) and len(worse) else None
            rows.append(Answer(claim, condition, (len(better), len(worse)), difference, _test(better, worse)))
    return rows


def far_below(grid: Grid, rows: list[Mean], floors: list[Baseline]) -> list[str]:
    """The arms whose mean test accuracy nowhere reaches half of the best arm's lead over chance."""
    near: set[str] = set()
    for floor in floors:
        here = {row.arm: row.scores["test/accuracy"].mean for row in rows if _beside(row, floor) and "test/accuracy" in row.scores}
        bar = (max(here.values(), default=0) + floor.chance) / 2
        near |= {arm for arm, mean in here.items() if mean >= bar}
    there = {row.arm for row in rows if row.scores}
    return [arm for arm in grid.arms if arm in there and arm not in near]


def confusions(grid: Grid) -> list[Confusion]:
    """At the last point of the last panel: the largest condition."""
    panel, point = grid.panels[-1], grid.points[-1]
    rows = []
    for arm in grid.arms:
        if results := grid.results(arm, panel, point):
            total = np.sum([result["confusion"] for result in results], axis=0)
            shares = total / np.maximum(total.sum(1, keepdims=True), 1)
            rows.append(Confusion(arm, grid.condition(panel, point), len(results), results[0]["classes"], shares.tolist()))
    return rows


def flags(grid: Grid) -> list[Flag]:
    kinds: dict[str, dict[str, list[str]]] = {}
    for outcome in grid.outcomes:
        for flag in (outcome.result or {}).get("flags", []):
            arms = kinds.setdefault(flag.partition(":")[0], {})
            arms.setdefault(str(outcome.cell.axes[grid.study.compared]), []).append(f"{outcome.cell.name}: {flag.partition(': ')[2]}")
    return [Flag(kind, cells) for kind, cells in sorted(kinds.items())]


def origins(outcomes: Iterable[Outcome]) -> list[Origin]:
    """Where and with what the results were computed; a process's own facts stay in its result file."""
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        if outcome.result:
            given = dict(outcome.result["provenance"])
            packages = {f"package {name}": version for name, version in given.pop("packages", {}).items()}
            for fact, value in (given | packages).items():
                if fact not in ("pid", "trial", "rank", "tried"):
                    counts.setdefault(fact, Counter())[str(value)] += 1
    return [
        Origin(fact, dict(values.most_common()), (len(values) > 1 and fact != "host") or (fact == "dirty" and "True" in values))
        for fact, values in counts.items()
    ]


def _test(x: np.ndarray, y: np.ndarray) -> MannWhitney | None:
    return mann_whitney(x, y) if min(len(x), len(y)) >= FEWEST else None


def _place(axes: Condition) -> tuple[Any, ...]:
    return tuple(sorted((axis, str(value)) for axis, value in axes.items()))


def _beside(row: Mean, floor: Baseline) -> bool:
    return row.panel == floor.panel and row.point == floor.point
