"""Results by what is known of the persons on the test images: sex, ethnicity, age, whether the mouth is open."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from platform.report.runs import Condition, Runs
from platform.stats.rounding import find_largest
from platform.stats.significance import Interval, t_interval, wilson_interval
from trainables.storage.store import RunFolder

METADATA = ("sex", "ethnicity", "age", "mouth_open")
"""by which results are broken down, where a data set knows them"""


@dataclass(frozen=True)
class Group:
    """An arm on a group of test images. Two intervals: over replicates, and over images (Wilson) for one replicate's test set."""

    arm: str
    condition: Condition
    fact: str
    group: str
    images: float
    """in a replicate's test set, on average"""
    over_replicates: Interval
    image_low: float
    image_high: float


def compute_subgroup_accuracies(runs: Runs, folder: RunFolder) -> list[Group]:
    """Accuracy by what is known of the persons on the test images, at the last of the conditions that tables are read at.

    Years are cut in three parts of about equal size. Empty where the predictions know nothing of the persons.
    """
    rows = []
    condition = runs.table_conditions[-1]
    classified = [row for row, result in enumerate(runs.results or []) if result and "confusion" in result]
    read = {arm: sorted({*runs.find_done_rows(arm, condition)} & {*classified}) for arm in runs.arms}
    known: dict[bytes, np.ndarray] = {}
    by_arm = {arm: [_read_answers(folder, runs.table["key"].iloc[row], known) for row in rows_] for arm, rows_ in read.items()}
    for fact in METADATA:
        every = [found[fact] for sets in by_arm.values() for found in sets if fact in found]
        if not every:
            continue
        cut = _make_binning(np.concatenate(every))
        members = {id(values): _find_members(cut(values)) for values in {id(each): each for each in every}.values()}
        for arm, sets in by_arm.items():
            right: dict[str, list[tuple[int, float]]] = {}
            for found in (found for found in sets if fact in found):
                for name, mine in members[id(found[fact])].items():
                    right.setdefault(name, []).append((len(mine), float(found["correct"][mine].mean())))
            for name in sorted(right):
                sizes, scores = zip(*right[name], strict=True)
                images = float(np.mean(sizes))
                low, high = wilson_interval(float(np.mean(scores)), images)
                rows.append(Group(arm, condition, fact, name, images, t_interval(scores), low, high))
    return rows if len({(row.fact, row.group) for row in rows}) > 1 else []


def _read_answers(folder: RunFolder, key: str, known: dict[bytes, np.ndarray]) -> dict[str, np.ndarray]:
    """Of a training's predictions what is needed here: whether each is `correct` [n], and the metadata [n].

    Facts are as those of other trainings with the same test set, of which there may be thousands: one array in `known`.
    """
    found = folder.get_predictions(key)
    metadata = {
        fact: known.setdefault(found[fact].dtype.str.encode() + found[fact].tobytes(), found[fact]) for fact in METADATA if fact in found
    }
    return {"correct": find_largest(found["probabilities"]) == found["label"]} | metadata


def _find_members(names: np.ndarray) -> dict[str, np.ndarray]:
    """Where [m] each group's images are."""
    return {name: np.flatnonzero(names == name) for name in sorted({*names.tolist()} - {""})}


def _make_binning(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """How a fact's values become names of groups [n]; an empty name is for what is not known."""
    if values.dtype.kind == "f" and len(np.unique(values[np.isfinite(values)])) > 4:
        known = values[np.isfinite(values)]
        ends = np.unique(np.quantile(known, [0, 1 / 3, 2 / 3, 1]))
        names = np.array([f"{i}. {low:g} to {high:g}" for i, (low, high) in enumerate(pairwise(ends), 1)] + [""])
        return lambda part: names[np.where(np.isfinite(part), np.clip(np.searchsorted(ends, part, "left") - 1, 0, len(names) - 2), -1)]
    truth = set(np.unique(values).tolist()) <= {0, 1} if values.dtype.kind in "biu" else False
    return lambda part: np.array([_name_group(value, truth) for value in part.tolist()])


def _name_group(value: object, truth: bool) -> str:
    if truth:
        return "yes" if value else "no"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return "" if text == "nan" else text
