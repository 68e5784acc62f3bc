"""Class by class: how often each is read right and what it is taken for, from the confusion matrices that ferray's own trainings write."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from platform.report.runs import Condition, Runs
from platform.report.summary import list_results
from platform.stats.rounding import ROUNDING
from platform.stats.significance import Interval, t_interval, wilson_interval


@dataclass(frozen=True)
class ClassRecalls:
    """An arm's answers on its test sets at a condition. Rows of matrices: the true class; columns: the answer."""

    arm: str
    condition: Condition
    n: int
    """trainings that wrote a confusion matrix"""
    classes: list[str]
    """in the data sets' order; the same for every arm of the condition"""
    counts: list[list[int]]
    """[classes, classes], summed over trainings"""
    shares: list[list[float]]
    """[classes, classes], of a training's images of the true class, on average over the trainings with any; a row of NaN where none has"""
    recall: list[Interval | None]
    """by class, the diagonal of `shares` with its interval over trainings; None where no training has an image of the class"""
    average: Interval | None
    """of a training's mean recall over the classes it has images of: average accuracy"""
    images: list[tuple[int, int]]
    """by class, in a training's test set: fewest and most"""
    chance: float
    low: list[str]
    """the classes surely recognised less often than by chance: the whole 95 % interval (of one training: Wilson's) lies below it"""


def compute_class_recalls(runs: Runs) -> list[ClassRecalls]:
    """Every arm at every condition where a result holds a confusion matrix."""
    rows = []
    for condition in runs.conditions:
        by_arm = {arm: [result for result in list_results(runs, condition, arm) if "confusion" in result] for arm in runs.arms}
        classes = merge_names(result["classes"] for found in by_arm.values() for result in found)
        for arm, found in by_arm.items():
            if found:
                counts = np.stack([_place_counts(result["confusion"], result["classes"], classes) for result in found])
                rows.append(summarise_confusions(arm, condition, classes, counts, 1 / len(found[0]["classes"])))
    return rows


def summarise_confusions(arm: str, condition: Condition, classes: list[str], counts: np.ndarray, chance: float) -> ClassRecalls:
    """From the `counts` [trainings, classes, classes] of an arm at a condition."""
    images = counts.sum(2)  # [trainings, classes]
    shares = np.where(images[..., None] > 0, counts / np.maximum(images, 1)[..., None], 0.0)
    having = (images > 0).sum(0)  # trainings with images of a class
    mean = np.where(having[:, None] > 0, shares.sum(0) / np.maximum(having, 1)[:, None], np.nan)
    right = np.diagonal(shares, axis1=1, axis2=2)
    recall = [t_interval(right[images[:, k] > 0, k]) if having[k] else None for k in range(len(classes))]
    there = images.any(1)
    average = t_interval(right[there].sum(1) / (images[there] > 0).sum(1)) if there.any() else None
    highs = [wilson_interval(r.mean, images[:, k].sum())[1] if r.n == 1 else r.high for k, r in enumerate(recall) if r]
    present = [name for name, r in zip(classes, recall, strict=True) if r]
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
    """Every arm at the one condition that matrices are drawn for: the last that tables are read at, or else the last with any matrix."""
    there = [row.condition for row in rows]
    condition = next((c for c in (*reversed(runs.table_conditions), *reversed(runs.conditions)) if c in there), None)
    return [row for row in rows if row.condition == condition]


def tabulate_class_recalls(rows: list[ClassRecalls], compared: str) -> dict[str, pd.DataFrame]:
    """As data: `recall`, a row a class, and `confusions`, a row an entry of a matrix (counts summed, shares averaged over trainings)."""
    recall, entries = [], []
    for row in rows:
        place = {compared: row.arm, **row.condition}
        for k, (name, found) in enumerate(zip(row.classes, row.recall, strict=True)):
            told = {"recall": found.mean, "low": found.low, "high": found.high, "sd": found.sd} if found else {}
            images = {"trainings": found.n if found else 0, "images": sum(row.counts[k])}
            recall.append({**place, "class": name, **images, "recall": np.nan, **told, "chance": row.chance})
            entries += [
                {**place, "true": name, "answered": answer, "trainings": images["trainings"], "count": count, "share": share}
                for answer, count, share in zip(row.classes, row.counts[k], row.shares[k], strict=True)
            ]
    return {"recall": pd.DataFrame(recall), "confusions": pd.DataFrame(entries)}


def merge_names(lists: Iterable[Sequence[str]]) -> list[str]:
    """Every name of several lists once; where they agree on an order, in that order."""
    order: list[str] = []
    for names in dict.fromkeys(map(tuple, lists)):
        at = len(order)
        for name in reversed(names):
            if name in order:
                at = order.index(name)
            else:
                order.insert(at, name)
    return order


def count_class_images(rows: list[ClassRecalls]) -> list[str]:
    """By class, how many images one test set of these arms has."""
    ends = np.array([row.images for row in rows])  # [arms, classes, 2]
    return [f"{low}" if low == high else f"{low}–{high}" for low, high in zip(ends.min((0, 2)), ends.max((0, 2)), strict=True)]


def _place_counts(confusion: list[list[int]], names: list[str], classes: list[str]) -> np.ndarray:
    """Counts int64 [classes, classes] of a confusion matrix over `names`, some of the classes."""
    counts = np.zeros((len(classes), len(classes)), np.int64)
    places = [classes.index(name) for name in names]
    counts[np.ix_(places, places)] = confusion
    return counts
