"""Compares trainings on fewer classes with trainings on all: is leaving classes out a gain, or does it only leave less to get wrong?"""

from dataclasses import dataclass, replace
from math import isnan, nan

import numpy as np
import pandas as pd

from platform.report.comparisons import ALPHA
from platform.report.runs_table import Condition, Runs, format_condition
from platform.stats.float_ties import find_largest
from platform.stats.power import FEWEST
from platform.stats.significance import (
    Difference,
    Interval,
    adjust_holm,
    compute_difference_p,
    compute_equivalence_p,
    mean_difference,
    t_interval,
)
from trainables.cell import Value
from trainables.storage.store import RunFolder


@dataclass(frozen=True)
class ClassSubsetGain:
    """An arm with all classes and with fewer, paired by replicate. Both have the same test images, except those of the classes left out."""

    arm: str
    panel: Condition
    more: Value
    less: Value
    n: int
    all_classes: Interval
    """accuracy with all classes, on all images"""
    fewer: Interval
    """accuracy with fewer classes, on the images of these classes"""
    restricted: Interval
    """accuracy of the training with all classes on the images of the fewer classes, its answer picked among these: the cost of
    leaving nothing out"""
    raw: Difference
    """fewer - all_classes, the difference that a paper prints"""
    above_chance: Difference
    """the same difference, of (accuracy - chance) / (1 - chance)"""
    same_images: Difference
    """fewer - restricted: the same images and the same choice of classes"""
    p: float
    """p of the two-sided paired t test of `same_images`; NaN with fewer than FEWEST pairs or if the differences do not vary"""
    p_adj: float
    """p adjusted by Holm's method over all rows that are tested"""
    p_equivalence: float
    """p that `same_images` lies within the margin, by two one-sided t tests; NaN where `p` is, and without a margin"""
    p_equivalence_adj: float
    """adjusted by Holm's method, a family of its own"""
    m: int
    """number of rows that are tested"""

    @property
    def verdict(self) -> str:
        """The verdict on `same_images`, where both sides have the same chance level."""
        if isnan(self.p_adj):
            return "not tested"
        if self.p_adj <= ALPHA:
            return "a gain" if self.same_images.mean > 0 else "a loss"
        return "no gain" if self.p_equivalence_adj <= ALPHA else "no gain shown"


def compare_class_subsets(runs: Runs, folder: RunFolder) -> list[ClassSubsetGain]:
    """Return a row for each arm and combination of the other conditions where both numbers of classes are done.

    Empty for a study without an axis of class numbers.
    """
    axis = runs.design.fewer or ""
    values = [value for value in runs.axes.get(axis, []) if isinstance(value, int | float)]
    if len(values) < 2:
        return []
    more, less = max(values), min(values)
    others = ({name: value for name, value in condition.items() if name != axis} for condition in runs.conditions)
    panels = list({format_condition(panel): panel for panel in others}.values())
    rows = []
    for panel in panels:
        for arm in runs.arms:
            with_all, with_fewer = (_read_replicates(runs, folder, arm, panel | {axis: value}) for value in (more, less))
            pairs = [
                pair
                for replicate in with_all
                if replicate in with_fewer and (pair := _pair_accuracies(with_all[replicate], with_fewer[replicate]))
            ]
            if pairs:
                rows.append(_summarise_pairs(arm, panel, more, less, np.array(pairs), runs.design.rope))
    return _adjust_rows(rows)


def _adjust_rows(rows: list[ClassSubsetGain]) -> list[ClassSubsetGain]:
    adjusted = zip(rows, adjust_holm([row.p for row in rows]), adjust_holm([row.p_equivalence for row in rows]), strict=True)
    m = sum(not isnan(row.p) for row in rows)
    return [replace(row, p_adj=float(p), p_equivalence_adj=float(equivalence), m=m) for row, p, equivalence in adjusted]


Answers = tuple[list[str], dict[str, np.ndarray]]
"""classes and predictions of a training"""


def _read_replicates(runs: Runs, folder: RunFolder, arm: str, condition: Condition) -> dict[Value, Answers]:
    answers = {}
    for row in runs.find_done_rows(arm, {axis: condition[axis] for axis in runs.axes}):
        result = (runs.results or [])[row]
        if result:
            answers[runs.table[runs.design.replicated].iloc[row]] = (result["classes"], folder.get_predictions(runs.table["key"].iloc[row]))
    return answers


def _pair_accuracies(many: Answers, few: Answers) -> tuple[float, ...] | None:
    """Return the accuracies with all classes, with fewer, and restricted, and the two chance levels. None where the images differ."""
    (all_classes, all_predictions), (fewer_classes, fewer_predictions) = many, few
    codes = [all_classes.index(name) for name in fewer_classes if name in all_classes]
    shared = np.isin(all_predictions["label"], codes)
    if len(codes) < len(fewer_classes) or not np.array_equal(all_predictions["index"][shared], fewer_predictions["index"]):
        return None
    restricted = np.array(codes)[find_largest(all_predictions["probabilities"][shared][:, codes])]
    correct = [find_largest(predictions["probabilities"]) == predictions["label"] for predictions in (all_predictions, fewer_predictions)]
    return (
        float(correct[0].mean()),
        float(correct[1].mean()),
        float((restricted == all_predictions["label"][shared]).mean()),
        1 / len(all_classes),
        1 / len(fewer_classes),
    )


def _summarise_pairs(arm: str, panel: Condition, more: Value, less: Value, pairs: np.ndarray, rope: float | None) -> ClassSubsetGain:
    with_all, with_fewer, restricted, chance_all, chance_fewer = pairs.T
    corrected = (with_fewer - chance_fewer) / (1 - chance_fewer), (with_all - chance_all) / (1 - chance_all)
    raw, above_chance, same_images = (
        _estimate_difference(*sides) for sides in ((with_fewer, with_all), corrected, (with_fewer, restricted))
    )
    intervals = t_interval(with_all), t_interval(with_fewer), t_interval(restricted)
    tested = len(pairs) >= FEWEST and same_images.sd > 0
    p = compute_difference_p(same_images) if tested else nan
    p_equivalence = compute_equivalence_p(same_images, rope) if tested and rope else nan
    return ClassSubsetGain(arm, panel, more, less, len(pairs), *intervals, raw, above_chance, same_images, p, nan, p_equivalence, nan, m=0)


def _estimate_difference(x: np.ndarray, y: np.ndarray) -> Difference:
    """Return the mean of x - y [n], paired, with its interval; without one if the differences do not vary: they show no spread to infer
    from.
    """
    difference = mean_difference(x, y, paired=True)
    return difference if difference.sd > 0 else difference._replace(low=nan, high=nan)


def tabulate_class_subsets(rows: list[ClassSubsetGain], compared: str) -> pd.DataFrame:
    """Return a data frame with one row per arm and combination of conditions."""
    records = []
    for row in rows:
        record = {compared: row.arm, **row.panel, "more": row.more, "less": row.less, "trainings": row.n, "verdict": row.verdict}
        record |= {name: getattr(row, name).mean for name in ("all_classes", "fewer", "restricted")}
        for name in ("raw", "above_chance", "same_images"):
            difference: Difference = getattr(row, name)
            record |= {name: difference.mean, f"{name}_low": difference.low, f"{name}_high": difference.high}
        record |= {name: getattr(row, name) for name in ("p", "p_adj", "p_equivalence", "p_equivalence_adj", "m")}
        records.append(record)
    return pd.DataFrame(records)
