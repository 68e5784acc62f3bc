"""Search spaces: a range for each setting of one arm, and the settings that a search found."""

from dataclasses import dataclass
from typing import Any

from trainables.cell import Value

STARTUP = 10
"""suggestions drawn at random before TPE starts to model"""


@dataclass(frozen=True)
class Real:
    """A real number from low to high, uniform or log-uniform."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Whole:
    """An integer from low to high, both included."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class OneOf:
    """One of several values without an order."""

    values: tuple[Value, ...]


Range = Real | Whole | OneOf


@dataclass(frozen=True)
class Search:
    """What a search of a study tunes, once under each of the study's conditions, and for how long.

    A suggestion's score is the mean of val/METRIC, at the selected epoch, over `seeds` trainings.
    """

    arm: str
    """value of the compared axis whose settings are searched"""
    space: dict[str, Range]
    """by setting of the arm's method; dots address nested settings"""
    searcher: str = "optuna"
    trials: int = 20
    """suggestions under each condition"""
    seeds: int = 2
    fresh: int = 10
    """further seeds on which the best settings are compared with the paper's"""


@dataclass(frozen=True)
class TunedSettings:
    """The best settings that a search found for an arm under one condition."""

    arm: str
    condition: dict[str, Value]
    settings: dict[str, Any]

    def applies_to(self, arm: str, point: dict[str, Value]) -> bool:
        return arm == self.arm and all(point.get(axis) == value for axis, value in self.condition.items())
