"""Findings of a paper: its claims as contrasts that a report can test, its rankings, and choices that it leaves open."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from trainables.cell import Value


class AxisEnd(Enum):
    """A value of an axis by its position in the current grid, so that one claim applies at every scale."""

    FIRST = "the first"
    LAST = "the last"


FIRST, LAST = AxisEnd.FIRST, AxisEnd.LAST
Place = dict[str, Value | AxisEnd]
"""values of some axes"""


@dataclass(frozen=True)
class Claim:
    """`a` does better than `b`, or equally well, or by so much, under every combination of the axes that neither of them fixes.

    If `a_from` is given, side a is the gain from there to `a`, replicate by replicate; side b likewise.
    """

    text: str
    a: Place
    b: Place
    a_from: Place | None = None
    b_from: Place | None = None
    expect: Literal["better", "equivalent"] = "better"
    on: str = "test"
    """the images: test, validation, or another test set of a result, such as own (the arm's own kind of data)"""
    between: tuple[float, float] | None = None
    """the claim is instead that a - b, a difference of shares, lies in this range; its interval is held against the range"""

    @property
    def places(self) -> list[Place]:
        return [place for place in (self.a, self.b, self.a_from, self.b_from) if place]


@dataclass(frozen=True)
class Reading:
    """A choice that the paper's words leave open, and the setting that makes it. A report's methods state it."""

    setting: str
    """with dots for a nested one"""
    says: str
    """what the paper says, as a sentence"""
    takes: dict[str, str]
    """by the setting's value, as JSON without quotes: what it takes the words to mean"""
    of: str = ""
    """the kind of data set whose option the setting is; empty: it is one of the method or the task"""


@dataclass(frozen=True)
class Confusion:
    """A confusion that the paper reports: a class, and the class for which it is mistaken."""

    true: str
    answered: str


@dataclass(frozen=True)
class Contrast:
    """Two arms that are compared at every condition: with something, and without it."""

    a: str
    b: str


@dataclass(frozen=True)
class Published:
    """A row of the paper's table: the scores that it printed for best and runner-up under one condition."""

    condition: dict[str, Value]
    best: str
    best_score: float
    runner_up: str
    runner_up_score: float
    p: float | None = None
    """None: the paper has no test"""
