"""Results by metadata of the persons on the test images: sex, ethnicity, age, whether the mouth is open."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from platform.report.runs_table import Condition, Runs
from platform.stats.float_ties import find_largest
from platform.stats.significance import Interval, t_interval, wilson_interval
from trainables.cell import PERSON_METADATA
from trainables.storage.store import RunFolder

METADATA = tuple(name for name in PERSON_METADATA if name != "subject")
"""the metadata by which results are broken down, where a data set has them"""


@dataclass(frozen=True)
class Group:
    """An arm's accuracy on a group of test images. One interval is over replicates, the other over images (Wilson) of one test set."""

    arm: str
    condition: Condition
    fact: str
    group: str
    images: float
    """mean number in a replicate's test set"""
    over_replicates: Interval
    image_low: float
    image_high: float


def compute_subgroup_accuracies(runs: Runs, folder: RunFolder) -> list[Group]:
    """Return the accuracy by metadata of the persons on the test images, at the last of the table's conditions.

    Ages are cut into three parts of about equal size. Empty if the predictions have no metadata of the persons.
    """
    rows = []
    condition = runs.table_conditions[-1]
    classified = [row for row, result in enumerate(runs.results or []) if result and "confusion" in result]
    done_rows = {arm: sorted({*runs.find_done_rows(arm, condition)} & {*classified}) for arm in runs.arms}
    cache: dict[bytes, np.ndarray] = {}
    by_arm = {arm: [_read_answers(folder, runs.table["key"].iloc[row], cache) for row in rows_] for arm, rows_ in done_rows.items()}
    for fact in METADATA:
        columns = [answers[fact] for sets in by_arm.values() for answers in sets if fact in answers]
        if not columns:
            continue
        bin_values = _make_binning(np.concatenate(columns))
        members = {id(values): _find_members(bin_values(values)) for values in {id(column): column for column in columns}.values()}
        for arm, sets in by_arm.items():
            scores_by_group: dict[str, list[tuple[int, float]]] = {}
            for answers in (answers for answers in sets if fact in answers):
                for name, indices in members[id(answers[fact])].items():
                    scores_by_group.setdefault(name, []).append((len(indices), float(answers["correct"][indices].mean())))
            for name in sorted(scores_by_group):
                sizes, scores = zip(*scores_by_group[name], strict=True)
                images = float(np.mean(sizes))
                low, high = wilson_interval(float(np.mean(scores)), images)
                rows.append(Group(arm, condition, fact, name, images, t_interval(scores), low, high))
    return rows if len({(row.fact, row.group) for row in rows}) > 1 else []


def _read_answers(folder: RunFolder, key: str, known: dict[bytes, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what is needed of a training's predictions: whether each is `correct` [n], and the metadata [n].

    Thousands of trainings may share a test set, so `known` keeps one array for all with equal metadata.
    """
    predictions = folder.get_predictions(key)
    metadata = {
        fact: known.setdefault(predictions[fact].dtype.str.encode() + predictions[fact].tobytes(), predictions[fact])
        for fact in METADATA
        if fact in predictions
    }
    return {"correct": find_largest(predictions["probabilities"]) == predictions["label"]} | metadata


def _find_members(names: np.ndarray) -> dict[str, np.ndarray]:
    """Return the indices [m] of each group's images."""
    return {name: np.flatnonzero(names == name) for name in sorted({*names.tolist()} - {""})}


def _make_binning(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that turns values of one kind of metadata into group names [n]. An empty name means unknown."""
    if values.dtype.kind == "f" and len(np.unique(values[np.isfinite(values)])) > 4:
        known = values[np.isfinite(values)]
        ends = np.unique(np.quantile(known, [0, 1 / 3, 2 / 3, 1]))
        names = np.array([f"{i}. {low:g} to {high:g}" for i, (low, high) in enumerate(pairwise(ends), 1)] + [""])
        return lambda part: names[np.where(np.isfinite(part), np.clip(np.searchsorted(ends, part, "left") - 1, 0, len(names) - 2), -1)]
    is_boolean = set(np.unique(values).tolist()) <= {0, 1} if values.dtype.kind in "biu" else False
    return lambda part: np.array([_name_group(value, is_boolean) for value in part.tolist()])


def _name_group(value: object, truth: bool) -> str:
    if truth:
        return "yes" if value else "no"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return "" if text == "nan" else text
