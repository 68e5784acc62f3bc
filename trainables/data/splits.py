"""Splits: balanced, official, by folds, or with one group left out; by image or by person."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pandas as pd

from trainables.data.dataset import DataError, list_sets
from trainables.data.stratified_group_split import split_groups

TRAIN, VAL, TEST = range(3)


class Split(NamedTuple):
    """Row indices of a data set. Each part is sorted and int64. No row is in two parts."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def group_by_official(metadata: pd.DataFrame) -> list[np.ndarray]:
    """Return the rows that are split together: of a union, those of the data sets that lack the same parts of an official split.

    A set that has official parts keeps them, and one that has none gives all parts its share. Rows are in ascending order.
    """
    groups: dict[frozenset[str], list[np.ndarray]] = {}
    for rows in (list_sets(metadata) or {"": np.arange(len(metadata))}).values():
        official = set(metadata["split"].iloc[rows]) if "split" in metadata else set()
        groups.setdefault(frozenset(official & {"val", "test"}), []).append(rows)
    return [np.sort(np.concatenate(rows)) for rows in groups.values()]


def hash_split(split: Iterable[np.ndarray], fingerprint: str) -> str:
    """Return a hash (16 hex digits) of the split of one data set, given as its parts' rows.

    The same rows of the same content have the same hash.
    """
    digest = hashlib.sha256(fingerprint.encode())
    for rows in split:
        digest.update(len(rows).to_bytes(8, "little") + np.ascontiguousarray(rows, dtype="<i8").tobytes())
    return digest.hexdigest()[:16]


def balanced_split(
    labels: np.ndarray,
    share: float,
    rng: np.random.Generator,
    *,
    per_class: int | None = None,
    groups: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
) -> Split:
    """Split labelled rows into a balanced training set, a validation set and a test set (Virgolin et al. 2022, section 4).

    Each class gives `share` x the smallest class's size to training. Halves are rounded up. `per_class` stands in for that size. The
    rest is halved into validation and test, and each class's halves differ by at most one. Rows labelled -1 are in no part.

    With `groups` (a subject for each row), no subject is in two parts. Whole subjects go to training until each class has its number.
    Their surplus images are in no part. The other subjects are halved as evenly as whole persons allow. If persons do not add up to the
    number while every class stays in both halves, training takes from each class the number that all classes reach.

    `classes` names the classes. Without it, their number follows from the largest label. Raises DataError for a share outside (0, 1),
    `per_class` above the smallest class's size, a class that would be empty in a part, a class with fewer than three subjects, and a row
    without a subject.
    """
    if not 0 < share < 1:
        raise DataError(f"the training share must lie between 0 and 1, not be {share}")
    if per_class is not None and per_class < 1:
        raise DataError(f"per_class must be 1 or more, not {per_class}")
    labels = np.asarray(labels)
    names = list(classes) if classes is not None else [str(k) for k in range(labels.max(initial=-1) + 1)]
    if not names:
        raise DataError("nothing to split: no row has a label")
    sizes = np.bincount(labels[labels >= 0], minlength=len(names))
    if len(sizes) > len(names):
        raise DataError(f"label {len(sizes) - 1} has no name: the classes are {', '.join(names)}")
    smallest = int(sizes.argmin())
    if per_class is not None and per_class > sizes[smallest]:
        has = f"the {sizes[smallest]:,} images of class {names[smallest]}"
        raise DataError(f"per_class={per_class} is more than {has}; set it lower, or per_class=null for as many as there are")
    base = per_class or int(sizes.min())
    quota = math.floor(Fraction(str(float(share))) * base + Fraction(1, 2))  # decimal arithmetic: .7 x 45 is 31.5, in binary it is less
    if groups is None:
        split = _split_images(labels, len(names), quota, rng)
    else:
        split = _split_persons(labels, names, quota, _number_persons(labels, groups), rng)
    for part, rows in split._asdict().items():
        count = np.bincount(labels[rows], minlength=len(names))
        if not count.all():
            empty = int(np.where(count, len(labels), sizes).argmin())  # of several, the smallest is named, as the one to enlarge
            raise DataError(f"class {names[empty]} has {sizes[empty]} images: a training share of {share} leaves its {part} part empty")
    return split


def official_split(labels: np.ndarray, parts: np.ndarray, persons: np.ndarray, validation: float, rng: np.random.Generator) -> Split:
    """Return a data set's own split. `parts` [n] are train, val or test.

    If it has only one held-out part, that is the test set, because reported images must not have been used for selection. The share
    `validation` of the training images is then drawn, person by person, for validation. Rows labelled -1 are in no part. Raises DataError
    if nothing is held out.
    """
    held_out = [name for name in ("test", "val") if ((parts == name) & (labels >= 0)).any()]
    if not held_out:
        raise DataError("there is no official split to go by: no image is in a part called val or test")
    return _hold_out(labels, parts == held_out[0], persons, validation, rng, parts == "val" if len(held_out) > 1 else None)


def fold_split(labels: np.ndarray, persons: np.ndarray, fold: int, folds: int, validation: float, rng: np.random.Generator) -> Split:
    """Return a split whose test set is fold `fold` (from 0) of `folds`. Persons are assigned so that folds spread each class evenly.

    All folds of one `rng` state are of one assignment, so each person is tested in exactly one of them. The share `validation` of the
    rest is drawn, person by person, for validation. Raises DataError for fewer persons than folds, and if there is no such fold.
    """
    labelled = labels >= 0
    count = len(set(persons[labelled]))
    if not 0 <= fold < folds or count < folds:
        raise DataError(f"fold {fold} of {folds}: there are folds 0 to {folds - 1}, and {count} persons to deal to them")
    part = np.full(len(labels), -1)
    part[labelled] = _assign_folds(labels[labelled], persons[labelled], folds, rng)
    return _hold_out(labels, part == fold, persons, validation, rng)


def _assign_folds(labels: np.ndarray, persons: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each row. Folds differ by at most one person, and spread each class as evenly as that allows."""
    codes = pd.factorize(persons)[0]
    counts = np.zeros((codes.max() + 1, labels.max() + 1))
    np.add.at(counts, (codes, labels), 1)
    weights = counts / np.maximum(counts.sum(axis=0), 1)  # each person's share of each class
    order = rng.permutation(len(counts))
    order = order[np.argsort(-weights[order].sum(axis=1), kind="stable")]  # large shares first, so that small ones even out
    fold, sums = np.full(len(counts), -1), np.zeros((folds, counts.shape[1]))
    for number, person in enumerate(order):
        if number % folds == 0:
            free = np.ones(folds, bool)  # each fold takes one person per round
        chosen = np.where(free, sums @ weights[person], np.inf).argmin()
        fold[person], free[chosen] = chosen, False
        sums[chosen] += weights[person]
    return fold[codes]


def left_out_split(
    labels: np.ndarray, groups: np.ndarray, which: int, persons: np.ndarray, validation: float, rng: np.random.Generator
) -> Split:
    """Return a split whose test set is group number `which` of `groups` [n] (subjects or exemplars, in sorted order).

    The share `validation` of the rest is drawn, person by person, for validation. If groups are exemplars, a person is both in training
    and in test, as that protocol requires. Validation is then drawn image by image. Raises DataError if there is no such group.
    """
    names = sorted(set(groups[labels >= 0]))
    if not 0 <= which < len(names):
        raise DataError(f"number {which} cannot be left out: there are {len(names)}, from 0")
    test = groups == names[which]
    if set(persons[test]) & set(persons[~test & (labels >= 0)]):
        persons = np.arange(len(labels))
    return _hold_out(labels, test, persons, validation, rng)


def _hold_out(
    labels: np.ndarray, test: np.ndarray, persons: np.ndarray, validation: float, rng: np.random.Generator, val: np.ndarray | None = None
) -> Split:
    """Return the split with test as given, validation as given or drawn from the rest, and the remaining rows as training."""
    labelled = labels >= 0
    rest = np.flatnonzero(labelled & ~test if val is None else labelled & ~test & ~val)
    if val is None:
        if not 0 < validation < 1:
            raise DataError(f"the validation share must lie between 0 and 1, not be {validation}")
        chosen = np.zeros(len(labels), bool)
        chosen[rest] = split_groups(labels[rest], persons[rest], (1 - validation, validation), rng) == 1
        val, rest = chosen, rest[~chosen[rest]]
    split = Split(rest, np.flatnonzero(labelled & val), np.flatnonzero(labelled & test))
    for part, rows in split._asdict().items():
        if not len(rows):
            raise DataError(f"nothing is left for the {part} part")
    return split


def _make_split(train: list[np.ndarray], val: list[np.ndarray], test: list[np.ndarray]) -> Split:
    return Split(*(np.sort(np.concatenate(part)).astype(np.int64) for part in (train, val, test)))


def _split_images(labels: np.ndarray, classes: int, wanted: int, rng: np.random.Generator) -> Split:
    train, val, test = [], [], []
    odd = 0
    for k in range(classes):
        rows = rng.permutation(np.flatnonzero(labels == k))
        train.append(rows[:wanted])
        rest = rows[wanted:]
        half = (len(rest) + (odd + 1) % 2) // 2  # odd images go to both parts in turn, so that their totals are equal, too
        odd += len(rest) % 2
        val.append(rest[:half])
        test.append(rest[half:])
    return _make_split(train, val, test)


def _number_persons(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return a number for each row's subject, by order of appearance, whatever its name. It is -1 where the row has no label."""
    codes = pd.factorize(pd.Series(groups))[0]
    unknown = np.flatnonzero((codes < 0) & (labels >= 0))
    if unknown.size:
        raise DataError(f"row {unknown[0]} has no subject: a split by subject needs one for every image ({unknown.size} lack it)")
    return np.where(labels >= 0, codes, -1)


def _split_persons(labels: np.ndarray, names: Sequence[str], wanted: int, persons: np.ndarray, rng: np.random.Generator) -> Split:
    labelled = np.flatnonzero(labels >= 0)
    counts = np.zeros((persons.max(initial=-1) + 1, len(names)), np.int64)
    np.add.at(counts, (persons[labelled], labels[labelled]), 1)
    subjects = (counts > 0).sum(axis=0)
    if subjects.min() < 3:
        rare = int(subjects.argmin())
        raise DataError(f"class {names[rare]} has {counts[:, rare].sum()} images of {subjects[rare]} subjects: a split by subject needs 3")

    for remain in range(2, subjects.min()):  # more persons outside training make it likelier that both halves get every class
        part = _assign_persons(counts, wanted, remain, rng)
        reached, *halves = (counts[part == side].sum(axis=0) for side in (TRAIN, VAL, TEST))
        if np.all(halves):
            break
    quota = min(wanted, int(reached.min()))
    row_part = np.where(persons >= 0, part[persons], -1)
    train = [rng.permutation(np.flatnonzero((row_part == TRAIN) & (labels == k)))[:quota] for k in range(len(names))]
    return _make_split(train, [np.flatnonzero(row_part == VAL)], [np.flatnonzero(row_part == TEST)])


def _assign_persons(counts: np.ndarray, wanted: int, remain: int, rng: np.random.Generator) -> np.ndarray:
    """Return the part of each person (`counts` is [persons, classes]).

    Training is filled in random order while `remain` persons of each class stay outside it.
    """
    order = rng.permutation(len(counts))
    part = np.full(len(counts), -1)
    reached, left = np.zeros_like(counts[0]), (counts > 0).sum(axis=0)
    for k in np.argsort(left, kind="stable"):  # the rarest class first, because it has the fewest persons to choose from
        for person in order:
            has = counts[person] > 0
            if reached[k] < wanted and part[person] < 0 and has[k] and (left[has] > remain).all():
                part[person] = TRAIN
                reached += counts[person]
                left -= has
    enough = min(wanted, int(reached.min()))
    for person in order[part[order] == TRAIN]:  # later choices made some of the earlier ones unnecessary
        if (reached - counts[person] >= enough).all():
            part[person] = -1
            reached -= counts[person]

    rest = order[part[order] < 0]
    weight = counts / np.maximum(counts[rest].sum(axis=0), 1)  # each person's share of the rest of each class
    side, tilt = np.zeros(len(counts)), np.zeros(counts.shape[1])  # side: +1 validation, -1 test; tilt: excess of validation
    rest = rest[np.argsort(-weight[rest].max(axis=1), kind="stable")]  # large shares first, so that small ones even out
    for person in np.tile(rest, 10):  # Each goes where it evens out the others, from the second pass on including later ones.
        tilt -= side[person] * weight[person]
        side[person] = 1 if tilt @ weight[person] <= 0 else -1
        tilt += side[person] * weight[person]
    part[rest] = np.where(side[rest] > 0, VAL, TEST)
    return part
