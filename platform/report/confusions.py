"""Tests the confusions that a paper names: do a class's errors fall on the other class more often than if they were spread evenly?"""

from dataclasses import dataclass, replace
from math import isnan, nan
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from platform.report.classes import compare_with_chance, find_constant_predictions
from platform.report.comparisons import ALPHA
from platform.report.runs_table import Condition, Runs
from platform.stats.significance import Interval, adjust_holm, wilson_interval
from trainables.cell import Value

ALL = "all"
"""stands in place of an arm for the mean over arms and conditions of each replicate"""


@dataclass(frozen=True)
class ConfusionTest:
    """The share of an arm's errors on images of a class that is answered as the other class, over trainings."""

    arm: str
    """an arm, or ALL"""
    condition: Condition
    true: str
    answered: str
    share: Interval
    """with its interval over trainings, by `compare_with_chance`"""
    image_low: float
    """low end of Wilson's interval for other images, with one training's number of errors"""
    image_high: float
    errors: float
    """mean number of errors on images of the class in one training's test set"""
    chance: float
    """the share if errors are spread evenly over the other classes"""
    tendency: float
    """the share of this answer among the errors on all further classes: how often it is given anyway"""
    place: int
    """rank of this error among the class's errors; 1 is the most frequent"""
    others: int
    """number of classes that the true class can be mistaken for"""
    p: float
    """p of the one-sided t test over trainings that the share lies above chance, by `compare_with_chance`; NaN without a test"""
    p_adj: float
    """p adjusted by Holm's method over the tests of the rows of all arms, or over those of the rows of ALL; NaN without a test"""
    m: int
    """number of these tests"""

    @property
    def verdict(self) -> str:
        if isnan(self.p_adj):
            return "not tested"
        return "more often than chance" if self.p_adj <= ALPHA else "not shown"


class Part(NamedTuple):
    """The errors of one training on images of a class, or their mean over a replicate's trainings."""

    share: float
    errors: int
    tendency: float
    spread: np.ndarray
    """[others], the shares of all of the class's errors"""
    items: float
    """number of errors that a binomial share has the same variance with"""


def test_confusions(runs: Runs) -> list[ConfusionTest]:
    """Return each confusion over all arms (ALL) first, then for every arm at the table's conditions. These are two families of tests.

    Trainings without an error of the class, or without one of the two classes, are left out. So are trainings that predict the same class
    for every image, whose errors are all the same one.
    """
    rows, overall = [], []
    for confusion in runs.design.confusions:
        by_replicate: dict[Value, list[Part]] = {}
        for condition in runs.table_conditions:
            for arm in runs.arms:
                parts = {}
                for row in runs.find_done_rows(arm, condition):
                    result = runs.results[row] if runs.results else None
                    if result and (part := _extract_part(result, confusion.true, confusion.answered)):
                        parts[runs.table[runs.design.replicated].iloc[row]] = part
                if parts:
                    rows.append(_summarise_confusion(arm, condition, confusion.true, confusion.answered, list(parts.values())))
                for replicate, part in parts.items():
                    by_replicate.setdefault(replicate, []).append(part)
        if by_replicate:
            overall.append(
                _summarise_confusion(
                    ALL, {}, confusion.true, confusion.answered, [_average_parts(parts) for parts in by_replicate.values()]
                )
            )
    return [
        replace(row, p_adj=float(p), m=sum(not isnan(row.p) for row in family))
        for family in (overall, rows)
        for row, p in zip(family, adjust_holm([row.p for row in family]), strict=True)
    ]


def _average_parts(parts: list[Part]) -> Part:
    """Average a replicate's trainings of all arms under all conditions. They share their test images, so they count as one."""
    shares, errors, tendencies, spread, items = zip(*parts, strict=True)
    known = [tendency for tendency in tendencies if not isnan(tendency)]
    tendency = float(np.mean(known)) if known else nan
    variance = float(np.mean(1 / np.array(items))) / len(parts)  # of the mean of independent trainings, in units of chance (1 - chance)
    return Part(float(np.mean(shares)), round(float(np.mean(errors))), tendency, np.mean(spread, axis=0), 1 / variance)


def _extract_part(result: dict[str, Any], true: str, answered: str) -> Part | None:
    classes = result.get("classes", [])
    if "confusion" not in result or true not in classes or answered not in classes:
        return None
    matrix = np.array(result["confusion"], float)
    if find_constant_predictions(matrix):
        return None
    np.fill_diagonal(matrix, 0)
    row, column = classes.index(true), classes.index(answered)
    errors = matrix[row].sum()
    if not errors:
        return None
    others = np.delete(matrix, [row, column], axis=0)  # errors on images of the answer's own class are never this answer
    tendency = others[:, column].sum() / others.sum() if others.sum() else nan
    return Part(float(matrix[row, column] / errors), int(errors), float(tendency), np.delete(matrix[row], row) / errors, float(errors))


def _summarise_confusion(arm: str, condition: Condition, true: str, answered: str, parts: list[Part]) -> ConfusionTest:
    shares, errors, tendencies, spread, items = zip(*parts, strict=True)
    chance = 1 / len(spread[0])
    share, p = compare_with_chance(shares, items, chance, "greater")
    mean = np.mean(spread, axis=0)
    low, high = wilson_interval(share.mean, float(np.mean(errors)))
    tendency = float(np.nanmean(tendencies)) if np.isfinite(tendencies).any() else nan
    rank = 1 + int((mean > share.mean + 1e-12).sum())
    return ConfusionTest(
        arm, condition, true, answered, share, low, high, float(np.mean(errors)), chance, tendency, rank, len(mean), p, nan, 0
    )


def tabulate_confusions(rows: list[ConfusionTest], compared: str) -> pd.DataFrame:
    """Return a data frame with one row per arm and named confusion."""
    return pd.DataFrame(
        [
            {compared: row.arm, **row.condition, "true": row.true, "answered": row.answered, "share": row.share.mean}
            | {"low": row.share.low, "high": row.share.high, "image_low": row.image_low, "image_high": row.image_high}
            | {"trainings": row.share.n, "errors": row.errors, "chance": row.chance, "tendency": row.tendency}
            | {"place": row.place, "others": row.others, "p": row.p, "p_adj": row.p_adj, "m": row.m, "verdict": row.verdict}
            for row in rows
        ]
    )
