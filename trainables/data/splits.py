"""Splits: balanced, official, by folds, or with somebody left out; by image or by person."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pandas as pd

from trainables.data.dataset import DataError
from trainables.data.stratified_group_split import split_groups

TRAIN, VAL, TEST = range(3)


class Split(NamedTuple):
    """Row indices of a data set, each part sorted, int64, no row in two parts."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def hash_split(split: Iterable[np.ndarray], fingerprint: str) -> str:
    """Names the split of one data set, given as its parts' rows: same rows of the same content, same hash (16 hex digits)."""
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
    """Cut labelled rows into a balanced training set, a validation set and a test set (Virgolin et al., section 4).

    Each class gives `share` x the smallest class's size to training, halves rounded up; `per_class` caps that size. The rest is halved
    into validation and test, each class's halves within one of each other. Rows labelled -1 are in no part.

    With `groups` (a subject for each row) no subject is in two parts: whole subjects go to training until each class has its number,
    and the images of theirs beyond it are in no part; the other subjects are halved as evenly as whole persons allow. Where persons do
    not add up to the number while every class stays in both halves, training takes from each class what all classes reach.

    `classes` names the classes; without it there are as many as the largest label says. DataError: a share outside (0, 1), a class
    that would be empty in a part, a class with fewer than three subjects, a row without a subject.
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
    base = min(int(sizes.min()), per_class or len(labels))
    wanted = math.floor(Fraction(str(float(share))) * base + Fraction(1, 2))  # as a decimal: .7 x 45 is 31.5, in binary it is less
    if groups is None:
        split = _split_images(labels, len(names), wanted, rng)
    else:
        split = _split_persons(labels, names, wanted, _number_persons(labels, groups), rng)
    for part, rows in split._asdict().items():
        count = np.bincount(labels[rows], minlength=len(names))
        if not count.all():
            empty = int(np.where(count, len(labels), sizes).argmin())  # of several, the smallest is the one to mend
            raise DataError(f"class {names[empty]} has {sizes[empty]} images: a training share of {share} leaves its {part} part empty")
    return split


def official_split(labels: np.ndarray, parts: np.ndarray, persons: np.ndarray, validation: float, rng: np.random.Generator) -> Split:
    """A data set's own split, `parts` [n] being train, val or test.

    Where it has only one held-out part, that is the test set, and `validation` of the training images are dealt out, person by person,
    to validate on: what is reported must not have selected. Rows labelled -1 are in no part. DataError: nothing is held out.
    """
    held = [name for name in ("test", "val") if ((parts == name) & (labels >= 0)).any()]
    if not held:
        raise DataError("there is no official split to go by: no image is in a part called val or test")
    return _hold_out(labels, parts == held[0], persons, validation, rng, parts == "val" if len(held) > 1 else None)


def fold_split(labels: np.ndarray, persons: np.ndarray, fold: int, folds: int, validation: float, rng: np.random.Generator) -> Split:
    """Fold `fold` (from 0) of `folds` is the test set; persons are dealt to folds so that each class is spread evenly.

    All folds of one `rng` state are of one dealing: each person is tested in exactly one of them. `validation` of the rest is dealt out
    alike to validate on. DataError: fewer persons than folds, or no such fold.
    """
    labelled = labels >= 0
    people = len(set(persons[labelled]))
    if not 0 <= fold < folds or people < folds:
        raise DataError(f"fold {fold} of {folds}: there are folds 0 to {folds - 1}, and {people} persons to deal to them")
    part = np.full(len(labels), -1)
    part[labelled] = _assign_folds(labels[labelled], persons[labelled], folds, rng)
    return _hold_out(labels, part == fold, persons, validation, rng)


def _assign_folds(labels: np.ndarray, persons: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """The fold of each row: as many persons in each as in any other, give or take one; each class spread as evenly as that allows."""
    codes = pd.factorize(persons)[0]
    counts = np.zeros((codes.max() + 1, labels.max() + 1))
    np.add.at(counts, (codes, labels), 1)
    weights = counts / np.maximum(counts.sum(axis=0), 1)  # a person's share of each class
    order = rng.permutation(len(counts))
    order = order[np.argsort(-weights[order].sum(axis=1), kind="stable")]  # large shares first, small ones even out
    fold, held = np.full(len(counts), -1), np.zeros((folds, counts.shape[1]))
    for number, person in enumerate(order):
        if number % folds == 0:
            free = np.ones(folds, bool)  # of each round of persons every fold takes one
        chosen = np.where(free, held @ weights[person], np.inf).argmin()
        fold[person], free[chosen] = chosen, False
        held[chosen] += weights[person]
    return fold[codes]


def left_out_split(
    labels: np.ndarray, groups: np.ndarray, which: int, persons: np.ndarray, validation: float, rng: np.random.Generator
) -> Split:
    """Group number `which` (of `groups` [n], in sorted order: subjects, or exemplars) is the test set.

    `validation` of the rest is dealt out, person by person, to validate on. Where groups are exemplars a person is in training and test
    alike, as that protocol has it, and validation is dealt image by image. DataError: no such group.
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
    """Test as given, validation as given or dealt from the rest, training the rest of it."""
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
        half = (len(rest) + (odd + 1) % 2) // 2  # classes of odd size take turns, so that the totals are equal, too
        odd += len(rest) % 2
        val.append(rest[:half])
        test.append(rest[half:])
    return _make_split(train, val, test)


def _number_persons(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """A number for each row's subject, -1 where the row has no label; by order of appearance, whatever subjects are called."""
    codes = pd.factorize(pd.Series(groups))[0]
    unknown = np.flatnonzero((codes < 0) & (labels >= 0))
    if unknown.size:
        raise DataError(f"row {unknown[0]} has no subject: a split by subject needs one for every image ({unknown.size} lack it)")
    return np.where(labels >= 0, codes, -1)


def _split_persons(labels: np.ndarray, names: Sequence[str], wanted: int, persons: np.ndarray, rng: np.random.Generator) -> Split:
    labelled = np.flatnonzero(labels >= 0)
    counts = np.zeros((persons.max(initial=-1) + 1, len(names)), np.int64)
    np.add.at(counts, (persons[labelled], labels[labelled]), 1)
    having = (counts > 0).sum(axis=0)
    if having.min() < 3:
        rare = int(having.argmin())
        raise DataError(f"class {names[rare]} has {counts[:, rare].sum()} images of {having[rare]} subjects: a split by subject needs 3")

    for remain in range(2, having.min()):  # the more persons stay out of training, the surer both halves get every class
        part = _assign_persons(counts, wanted, remain, rng)
        reached, *halves = (counts[part == side].sum(axis=0) for side in (TRAIN, VAL, TEST))
        if np.all(halves):
            break
    each = min(wanted, int(reached.min()))
    where = np.where(persons >= 0, part[persons], -1)
    train = [rng.permutation(np.flatnonzero((where == TRAIN) & (labels == k)))[:each] for k in range(len(names))]
    return _make_split(train, [np.flatnonzero(where == VAL)], [np.flatnonzero(where == TEST)])


def _assign_persons(counts: np.ndarray, wanted: int, remain: int, rng: np.random.Generator) -> np.ndarray:
    """The part of each person (`counts` [persons, classes]): training filled in random order while `remain` persons of each class stay."""
    order = rng.permutation(len(counts))
    part = np.full(len(counts), -1)
    reached, left = np.zeros_like(counts[0]), (counts > 0).sum(axis=0)
    for k in np.argsort(left, kind="stable"):  # the rarest class first: it has the fewest persons to choose from
        for person in order:
            has = counts[person] > 0
            if reached[k] < wanted and part[person] < 0 and has[k] and (left[has] > remain).all():
                part[person] = TRAIN
                reached += counts[person]
                left -= has
    enough = min(wanted, int(reached.min()))
    for person in order[part[order] == TRAIN]:  # later choices made some of the earlier ones needless
        if (reached - counts[person] >= enough).all():
            part[person] = -1
            reached -= counts[person]

    rest = order[part[order] < 0]
    weight = counts / np.maximum(counts[rest].sum(axis=0), 1)  # a person's share of what is left of each class
    side, tilt = np.zeros(len(counts)), np.zeros(counts.shape[1])  # +1 validation, -1 test; how far validation outweighs test
    rest = rest[np.argsort(-weight[rest].max(axis=1), kind="stable")]  # large shares first, small ones even out
    for person in np.tile(rest, 10):  # each goes where it evens out the others; after the first pass, those who came later, too
        tilt -= side[person] * weight[person]
        side[person] = 1 if tilt @ weight[person] <= 0 else -1
        tilt += side[person] * weight[person]
    part[rest] = np.where(side[rest] > 0, VAL, TEST)
    return part
