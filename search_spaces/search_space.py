"""Search spaces: a tree of ranges and choices for the settings of one arm, and the settings that a search found."""

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
    """An integer from low to high, both included: all equally likely, or log-uniform (the logarithm of a real number from low - .5 to
    high + .5 is uniform, and the number is rounded).
    """

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class OneOf:
    """One of several values without an order."""

    values: tuple[Value, ...]


Range = Real | Whole | OneOf


@dataclass(frozen=True)
class Fixed:
    """One value, for a setting that an option fixes. It is no parameter of the search."""

    value: Value


@dataclass(frozen=True)
class Choice:
    """One of several options, all equally likely. The parameters of an option exist only in suggestions that chose it."""

    options: "dict[Value, Space]"
    setting: bool = True
    """true: the choice has the name of a setting, and the options are its values; false: the name appears only in the record"""


Space = dict[str, Range | Fixed | Choice]
"""By name; dots address nested settings, and a number the element of a list: `head.units.2` is the second of `head.units`. A parameter
may be in several options, with the same range in each. `space_tree.py` reads it"""


@dataclass(frozen=True)
class Search:
    """What a search of a study tunes, once under each of the study's conditions, and for how long.

    A suggestion's score is the mean of val/METRIC, at the selected epoch, over `seeds` trainings.
    """

    arm: str
    """value of the compared axis whose settings are searched"""
    space: Space
    """of settings of the arm's method"""
    shared: tuple[str, ...] = ()
    """further arms that use what is found, so that all are compared with the same settings"""
    searcher: str = "optuna"
    scheduler: str = "none"
    """what stops suggestions early: none, or asha"""
    trials: int = 20
    """suggestions under each condition; `space_tree.count_trials` has a rule"""
    seeds: int = 2
    fresh: int = 10
    """further seeds on which the best settings are compared with the paper's"""


@dataclass(frozen=True)
class TunedSettings:
    """The best settings that a search found under one condition."""

    arms: tuple[str, ...]
    """the arm that was searched, then those that share its settings"""
    condition: dict[str, Value]
    settings: dict[str, Any]

    def applies_to(self, arm: str, point: dict[str, Value]) -> bool:
        return arm in self.arms and all(point.get(axis) == value for axis, value in self.condition.items())
