"""What a search may try: a range for each setting of one arm, and what it found."""

from dataclasses import dataclass
from typing import Any

from trainables.cell import Value

STARTUP = 10
"""suggestions drawn at random before a TPE begins to model"""


@dataclass(frozen=True)
class Real:
    """A number from low to high, uniform in itself or in its logarithm."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Whole:
    """A whole number from low to high, both included."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class OneOf:
    """One of some values without an order."""

    values: tuple[Value, ...]


Range = Real | Whole | OneOf


@dataclass(frozen=True)
class Search:
    """What of a study is searched, once under each of its conditions, and for how long.

    A suggestion's score is the mean of val/METRIC, at the epoch that it picked, over `seeds` trainings.
    """

    arm: str
    """value of the compared axis whose settings are searched"""
    space: dict[str, Range]
    """by setting of the arm's method; dots reach into one"""
    searcher: str = "optuna"
    trials: int = 20
    """suggestions under each condition"""
    seeds: int = 2
    fresh: int = 10
    """further seeds on which the best found is held against the text's settings"""


@dataclass(frozen=True)
class TunedSettings:
    """What a search found best for an arm under one condition."""

    arm: str
    condition: dict[str, Value]
    settings: dict[str, Any]

    def applies_to(self, arm: str, point: dict[str, Value]) -> bool:
        return arm == self.arm and all(point.get(axis) == value for axis, value in self.condition.items())
