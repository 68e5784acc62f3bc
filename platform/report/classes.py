"""Results by class: how often each class is recognised and what it is mistaken for.

They are computed from the confusion matrices that ferray's own trainings write. Which recalls lie below chance is tested, with p adjusted
over all of a report's tests.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from platform.report.comparisons import ALPHA
from platform.report.descriptive_statistics import list_results
from platform.report.runs_table import Condition, Runs
from platform.stats.power import FEWEST
from platform.stats.significance import Interval, adjust_holm, t_interval
from search_spaces.pictures import choose_value


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
    """by class, the diagonal of `shares` with its interval by `compare_with_chance`; None where no training has an image of the class"""
    average: Interval | None
    """average accuracy: a training's mean recall over the classes that it has images of, with its interval over trainings"""
    images: list[tuple[int, int]]
    """by class, the fewest and the most images in a training's test set"""
    chance: float
    constant: int
    """number of trainings that predict the same class for every image. They say nothing of a class and are not tested"""
    tested: list[Interval | None]
    """by class, the recall over the trainings that are tested; None if there are fewer than FEWEST"""
    p: list[float | None]
    """by class, p of the one-sided t test over the trainings in `tested` that the recall lies below chance; None without a test"""
    p_adj: list[float | None]
    """p adjusted by Holm's method over the tests of all arms, classes and conditions of the report"""
    m: int
    """number of these tests"""
    low: list[str]
    """the classes whose recall lies below chance: `p_adj` is at most ALPHA"""

    @property
    def detectable(self) -> bool:
        """Whether a class that no training recognises would have a `p_adj` of at most ALPHA, at Holm's first step."""
        tests = [
            compare_with_chance(np.zeros(interval.n), np.full(interval.n, most), self.chance, "less")[1]
            for interval, (_, most) in zip(self.tested, self.images, strict=True)
            if interval
        ]
        return any(self.m * p <= ALPHA for p in tests)


def compute_class_recalls(runs: Runs) -> list[ClassRecalls]:
    """Return the recalls of every arm at every condition where a result holds a confusion matrix, tested as one family."""
    rows = []
    for condition in runs.conditions:
        by_arm = {arm: [result for result in list_results(runs, condition, arm) if "confusion" in result] for arm in runs.arms}
        classes = merge_names(result["classes"] for results in by_arm.values() for result in results)
        for arm, results in by_arm.items():
            if results:
                counts = np.stack([_place_counts(result["confusion"], result["classes"], classes) for result in results])
                rows.append(summarise_confusions(arm, condition, classes, counts, 1 / len(results[0]["classes"])))
    return adjust_recall_tests(rows)


def summarise_confusions(arm: str, condition: Condition, classes: list[str], counts: np.ndarray, chance: float) -> ClassRecalls:
    """Summarise the `counts` [trainings, classes, classes] of an arm at a condition. Its p are adjusted by `adjust_recall_tests`."""
    images = counts.sum(2)  # [trainings, classes]
    shares = np.where(images[..., None] > 0, counts / np.maximum(images, 1)[..., None], 0.0)
    trainings = (images > 0).sum(0)  # number of trainings with images of a class
    mean = np.where(trainings[:, None] > 0, shares.sum(0) / np.maximum(trainings, 1)[:, None], np.nan)
    diagonals = np.diagonal(shares, axis1=1, axis2=2)
    constant = find_constant_predictions(counts)
    recall: list[Interval | None] = [None] * len(classes)
    tested, p = recall.copy(), [nan] * len(classes)
    for k in range(len(classes)):
        present = images[:, k] > 0
        used = present & ~constant
        if present.any():
            recall[k], _ = compare_with_chance(diagonals[present, k], images[present, k], chance, "less")
        if used.sum() >= FEWEST:
            tested[k], p[k] = compare_with_chance(diagonals[used, k], images[used, k], chance, "less")
    nonempty = images.any(1)
    average = t_interval(diagonals[nonempty].sum(1) / (images[nonempty] > 0).sum(1)) if nonempty.any() else None
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
        constant=int(constant.sum()),
        tested=tested,
        p=[None if isnan(each) else each for each in p],
        p_adj=[None] * len(classes),
        m=0,
        low=[],
    )


def find_constant_predictions(counts: np.ndarray) -> np.ndarray:
    """Return which of the trainings' `counts` [..., classes, classes] predict the same class for every image, as bool [...]."""
    constant: np.ndarray = (counts.sum(-2) > 0).sum(-1) == 1
    return constant


def compare_with_chance(
    shares: ArrayLike, items: ArrayLike, chance: float, alternative: Literal["less", "greater"]
) -> tuple[Interval, float]:
    """Return the mean of the trainings' `shares` [n] with its 95 % t interval, and p of the one-sided t test against `chance`.

    For both, the standard deviation is at least the binomial one, of shares of `items` [n] images that are each guessed independently:
    trainings that happen to agree (none of 20 images in each) do not show that others would. The floor makes intervals wider and
    brings p nearer to 0.5, never the reverse. p is NaN with fewer than FEWEST trainings. The interval's `sd` is the sample's own.
    """
    interval = t_interval(shares)
    if interval.n < 2:
        return interval, nan
    floor = float((chance * (1 - chance) * np.mean(1 / np.asarray(items, float))) ** 0.5)
    error, df = max(interval.sd, floor) / interval.n**0.5, interval.n - 1
    half = float(special.stdtrit(df, 0.975)) * error
    interval = interval._replace(low=interval.mean - half, high=interval.mean + half)
    if interval.n < FEWEST or error == 0:
        return interval, nan
    side = 1 if alternative == "less" else -1
    return interval, float(special.stdtr(df, side * (interval.mean - chance) / error))


def adjust_recall_tests(rows: list[ClassRecalls]) -> list[ClassRecalls]:
    """Return the rows of a report with p adjusted by Holm's method over all arms, classes and conditions, and the classes below chance."""
    p_adj = adjust_holm([nan if p is None else p for row in rows for p in row.p]).tolist()
    m, adjusted_rows = sum(not isnan(p) for p in p_adj), []
    for row in rows:
        adjusted, p_adj = p_adj[: len(row.p)], p_adj[len(row.p) :]
        low = [name for name, p in zip(row.classes, adjusted, strict=True) if p <= ALPHA]
        adjusted_rows.append(replace(row, p_adj=[None if isnan(p) else p for p in adjusted], m=m, low=low))
    return adjusted_rows


def select_drawn_matrices(runs: Runs, rows: list[ClassRecalls]) -> list[ClassRecalls]:
    """Return every arm at the one condition that matrices are drawn for.

    It is the one of the paper's matrix, or the nearest that has matrices. For a paper without one it is the last of the table's
    conditions that has matrices, or else the last condition that has any.
    """
    available = [row.condition for row in rows]
    if runs.design.pictured:
        for axis in runs.axes if rows else ():
            value = choose_value([condition[axis] for condition in available], runs.design.pictured.get(axis))
            available = [condition for condition in available if condition[axis] == value]
        return [row for row in rows if row.condition in available[:1]]
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
            tested = row.tested[k]
            test = {"tested": tested.n if tested else 0, "p": row.p[k], "p_adj": row.p_adj[k]}
            recall.append({**labels, "class": name, **images, "recall": np.nan, **statistics, "chance": row.chance, **test})
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
