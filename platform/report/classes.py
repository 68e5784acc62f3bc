"""Results by class: how often each class is recognised and what it is mistaken for.

They are computed from the confusion matrices that ferray's own trainings write.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from platform.report.descriptive_statistics import list_results
from platform.report.runs_table import Condition, Runs
from platform.stats.float_ties import ROUNDING
from platform.stats.significance import Interval, t_interval, wilson_interval


@dataclass(frozen=True)
class ClassRecalls:
    """An arm's answers on its test sets at a condition. Rows of matrices are true classes; columns are answers."""

    arm: str
    condition: Condition
    n: int
    """number of trainings that wrote a confusion matrix"""
    classes: list[str]
    """in the data sets' order; the same for every arm of the condition"""
    counts: list[list[int]]
    """[classes, classes], summed over trainings"""
    shares: list[list[float]]
    """[classes, classes], shares of a training's images of the true class, averaged over the trainings that have any; a row is NaN if
    none has"""
    recall: list[Interval | None]
    """by class, the diagonal of `shares` with its interval over trainings; None where no training has an image of the class"""
    average: Interval | None
    """average accuracy: a training's mean recall over the classes that it has images of, with its interval over trainings"""
    images: list[tuple[int, int]]
    """by class, the fewest and the most images in a training's test set"""
    chance: float
    low: list[str]
    """the classes recognised less often than by chance: their whole 95 % interval lies below it (Wilson's for a single training)"""


def compute_class_recalls(runs: Runs) -> list[ClassRecalls]:
    """Return the recalls of every arm at every condition where a result holds a confusion matrix."""
    rows = []
    for condition in runs.conditions:
        by_arm = {arm: [result for result in list_results(runs, condition, arm) if "confusion" in result] for arm in runs.arms}
        classes = merge_names(result["classes"] for results in by_arm.values() for result in results)
        for arm, results in by_arm.items():
            if results:
                counts = np.stack([_place_counts(result["confusion"], result["classes"], classes) for result in results])
                rows.append(summarise_confusions(arm, condition, classes, counts, 1 / len(results[0]["classes"])))
    return rows


def summarise_confusions(arm: str, condition: Condition, classes: list[str], counts: np.ndarray, chance: float) -> ClassRecalls:
    """Summarise the `counts` [trainings, classes, classes] of an arm at a condition."""
    images = counts.sum(2)  # [trainings, classes]
    shares = np.where(images[..., None] > 0, counts / np.maximum(images, 1)[..., None], 0.0)
    trainings = (images > 0).sum(0)  # number of trainings with images of a class
    mean = np.where(trainings[:, None] > 0, shares.sum(0) / np.maximum(trainings, 1)[:, None], np.nan)
    diagonals = np.diagonal(shares, axis1=1, axis2=2)
    recall = [t_interval(diagonals[images[:, k] > 0, k]) if trainings[k] else None for k in range(len(classes))]
    nonempty = images.any(1)
    average = t_interval(diagonals[nonempty].sum(1) / (images[nonempty] > 0).sum(1)) if nonempty.any() else None
    highs = [
        wilson_interval(interval.mean, images[:, k].sum())[1] if interval.n == 1 else interval.high
        for k, interval in enumerate(recall)
        if interval
    ]
    present = [name for name, interval in zip(classes, recall, strict=True) if interval]
    return ClassRecalls(
        arm=arm,
        condition=condition,
        n=len(counts),
        classes=classes,
        counts=counts.sum(0).tolist(),
        shares=mean.tolist(),
        recall=recall,
        average=average,
        images=list(zip(images.min(0).tolist(), images.max(0).tolist(), strict=True)),
        chance=chance,
        low=[name for name, high in zip(present, highs, strict=True) if high < chance * (1 - ROUNDING)],
    )


def select_drawn_matrices(runs: Runs, rows: list[ClassRecalls]) -> list[ClassRecalls]:
    """Return every arm at the one condition that matrices are drawn for.

    It is the last of the table's conditions that has matrices, or else the last condition that has any.
    """
    available = [row.condition for row in rows]
    condition = next((c for c in (*reversed(runs.table_conditions), *reversed(runs.conditions)) if c in available), None)
    return [row for row in rows if row.condition == condition]


def tabulate_class_recalls(rows: list[ClassRecalls], compared: str) -> dict[str, pd.DataFrame]:
    """Return two data frames: `recall` with a row per class, and `confusions` with a row per matrix entry.

    Counts are summed over trainings; shares are averaged.
    """
    recall, entries = [], []
    for row in rows:
        labels = {compared: row.arm, **row.condition}
        for k, (name, interval) in enumerate(zip(row.classes, row.recall, strict=True)):
            statistics = {"recall": interval.mean, "low": interval.low, "high": interval.high, "sd": interval.sd} if interval else {}
            images = {"trainings": interval.n if interval else 0, "images": sum(row.counts[k])}
            recall.append({**labels, "class": name, **images, "recall": np.nan, **statistics, "chance": row.chance})
            entries += [
                {**labels, "true": name, "answered": answer, "trainings": images["trainings"], "count": count, "share": share}
                for answer, count, share in zip(row.classes, row.counts[k], row.shares[k], strict=True)
            ]
    return {"recall": pd.DataFrame(recall), "confusions": pd.DataFrame(entries)}


def merge_names(lists: Iterable[Sequence[str]]) -> list[str]:
    """Return every name of several lists once, in the lists' order where they agree on one."""
    order: list[str] = []
    for names in dict.fromkeys(map(tuple, lists)):
        position = len(order)
        for name in reversed(names):
            if name in order:
                position = order.index(name)
            else:
                order.insert(position, name)
    return order


def count_class_images(rows: list[ClassRecalls]) -> list[str]:
    """Return, by class, how many images one test set of these arms has, as a range if the number varies."""
    ends = np.array([row.images for row in rows])  # [arms, classes, 2]
    return [f"{low}" if low == high else f"{low}–{high}" for low, high in zip(ends.min((0, 2)), ends.max((0, 2)), strict=True)]


def _place_counts(confusion: list[list[int]], names: list[str], classes: list[str]) -> np.ndarray:
    """Return the counts int64 [classes, classes] of a confusion matrix over `names`, which are some of the classes."""
    counts = np.zeros((len(classes), len(classes)), np.int64)
    indices = [classes.index(name) for name in names]
    counts[np.ix_(indices, indices)] = confusion
    return counts
