"""The confusions a text names: do a class's errors fall on the other more often than if they fell anywhere?"""

from dataclasses import dataclass, replace
from math import isnan, nan

import numpy as np
import pandas as pd
from scipy import special

from platform.reporting.comparisons import ALPHA
from platform.reporting.runs import Condition, Runs
from platform.reporting.summary import results
from platform.significance import Interval, holm, t_interval, wilson


@dataclass(frozen=True)
class Confused:
    """Of an arm's errors on images of a class, the share that is answered as the other, over trainings."""

    arm: str
    condition: Condition
    true: str
    answered: str
    share: Interval
    image_low: float
    """Wilson's interval for other images, with one training's number of errors"""
    image_high: float
    errors: float
    """on images of the class in one training's test set, on average"""
    chance: float
    """of errors spread evenly over the other classes"""
    tendency: float
    """the share that this answer has of the errors on all further classes: how often it is given anyway"""
    place: int
    """1: no other error of the class is more frequent"""
    others: int
    """classes that it could be taken for"""
    p: float
    """one-sided t test over trainings that the share lies above chance"""
    p_adj: float
    """Holm over all rows"""

    @property
    def verdict(self) -> str:
        if isnan(self.p_adj):
            return "unattainable at this n"
        return "more often than chance" if self.p_adj <= ALPHA else "not shown"


def confused(runs: Runs) -> list[Confused]:
    """For every arm where tables are read; trainings without an error of the class, or without one of the classes, say nothing."""
    rows = []
    for condition in runs.last:
        for arm in runs.arms:
            for named in runs.design.confusions:
                found = [
                    result for result in results(runs, condition, arm) if {named.true, named.answered} <= set(result.get("classes", []))
                ]
                parts = [part for result in found if (part := _part(result, named.true, named.answered))]
                if parts:
                    rows.append(_summed_up(arm, condition, named.true, named.answered, parts))
    adjusted = holm([row.p for row in rows])
    return [replace(row, p_adj=float(p)) for row, p in zip(rows, adjusted, strict=True)]


def _part(result: dict, true: str, answered: str) -> tuple[float, int, float, np.ndarray] | None:
    """Of one training: the share, the number of errors, the answer's tendency, all shares of the class's errors."""
    classes, matrix = result["classes"], np.array(result["confusion"], float)
    np.fill_diagonal(matrix, 0)
    row, column = classes.index(true), classes.index(answered)
    errors = matrix[row].sum()
    if not errors:
        return None
    others = np.delete(matrix, [row, column], axis=0)  # a class is never taken for itself: its own errors say nothing of this answer
    tendency = others[:, column].sum() / others.sum() if others.sum() else nan
    return float(matrix[row, column] / errors), int(errors), float(tendency), np.delete(matrix[row], row) / errors


def _summed_up(arm: str, condition: Condition, true: str, answered: str, parts: list[tuple[float, int, float, np.ndarray]]) -> Confused:
    shares, errors, tendencies, spread = zip(*parts, strict=True)
    share, chance = t_interval(shares), 1 / len(spread[0])
    mean = np.mean(spread, axis=0)
    low, high = wilson(share.mean, float(np.mean(errors)))
    p = nan
    if share.n > 2 and share.sd > 0:
        p = float(special.stdtr(share.n - 1, -(share.mean - chance) / (share.sd / share.n**0.5)))
    tendency = float(np.nanmean(tendencies)) if np.isfinite(tendencies).any() else nan
    place = 1 + int((mean > share.mean + 1e-12).sum())
    return Confused(arm, condition, true, answered, share, low, high, float(np.mean(errors)), chance, tendency, place, len(mean), p, nan)


def tidy(rows: list[Confused], compared: str) -> pd.DataFrame:
    """As data, a row an arm and a named confusion."""
    return pd.DataFrame(
        [
            {compared: row.arm, **row.condition, "true": row.true, "answered": row.answered, "share": row.share.mean}
            | {"low": row.share.low, "high": row.share.high, "image_low": row.image_low, "image_high": row.image_high}
            | {"trainings": row.share.n, "errors": row.errors, "chance": row.chance, "tendency": row.tendency}
            | {"place": row.place, "others": row.others, "p": row.p, "p_adj": row.p_adj, "verdict": row.verdict}
            for row in rows
        ]
    )
