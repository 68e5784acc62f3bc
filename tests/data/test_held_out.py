"""Tests of splits by official part, fold, subject and exemplar: no row and no person is in two parts, and every person is tested once."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import tiny
from trainables.data.dataset import DataError, FaceDataset
from trainables.data.splits import Split, fold_split, left_out_split, official_split
from trainables.data.task import TASKS, Task
from trainables.settings import resolve_settings


def data(people: int, images: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and persons of shuffled rows, of which some are unlabelled."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(people * images)
    labels = rng.integers(0, classes, people * images)
    labels[rng.random(len(labels)) < 0.1] = -1
    return labels, np.repeat([f"child {number}" for number in range(people)], images)[order]


def check(split: Split, labels: np.ndarray, persons: np.ndarray | None) -> None:
    rows = np.concatenate(split)
    assert sorted(rows) == np.flatnonzero(labels >= 0).tolist() and all((np.diff(part) > 0).all() for part in split)
    if persons is not None:
        parts = [set(persons[part]) for part in split]
        assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


@given(st.integers(10, 30), st.integers(2, 6), st.integers(2, 4), st.integers(2, 6), st.integers(0, 99))
def test_folds_test_every_person_once(people, images, classes, folds, seed):
    labels, persons = data(people, images, classes, seed)
    tested = []
    for fold in range(folds):
        split = fold_split(labels, persons, fold, folds, 0.3, np.random.default_rng(seed))
        check(split, labels, persons)
        tested.append(split.test)
    assert sorted(np.concatenate(tested)) == np.flatnonzero(labels >= 0).tolist()


def test_folds_are_of_like_size_and_like_classes():
    labels, persons = data(50, 8, 4, 0)
    counts = np.array([np.bincount(labels[fold_split(labels, persons, fold, 5, 0.2, np.random.default_rng(1)).test]) for fold in range(5)])
    assert counts.min() > 0.7 * counts.mean() and counts.max() < 1.3 * counts.mean()


@given(st.integers(4, 12), st.integers(2, 5), st.integers(0, 99))
def test_each_person_is_left_out_in_turn(people, images, seed):
    labels, persons = data(people, images, 2, seed)
    names = sorted(set(persons[labels >= 0]))
    for which, name in enumerate(names):
        try:
            split = left_out_split(labels, persons, which, persons, 0.3, np.random.default_rng(seed))
        except DataError as error:  # of three remaining persons with two images each, validation may get none
            assert (people, images) == (4, 2) and str(error) == "nothing is left for the val part"
            continue
        check(split, labels, persons)
        assert set(persons[split.test]) == {name}


def test_an_exemplar_left_out_is_of_persons_who_train_too():
    persons = np.repeat(["KA", "KL", "KM"], 6)
    exemplars, labels = np.tile([1, 2, 3], 6), np.tile([0, 0, 0, 1, 1, 1], 3)
    for which in range(3):
        split = left_out_split(labels, exemplars, which, persons, 0.3, np.random.default_rng(0))
        check(split, labels, None)
        assert set(exemplars[split.test]) == {which + 1} and set(persons[split.train]) == set(persons)


def test_official_parts_are_kept_and_the_only_held_out_one_is_reported_not_selected_on():
    labels, persons = data(20, 5, 3, 0)
    parts = np.where(np.arange(100) < 60, "train", np.where(np.arange(100) < 80, "val", "test"))
    split = official_split(labels, parts, persons, 0.2, np.random.default_rng(0))
    check(split, labels, None)
    assert {name: set(parts[rows]) for name, rows in split._asdict().items()} == {"train": {"train"}, "val": {"val"}, "test": {"test"}}
    for only in ("val", "test"):
        parts = np.where(np.arange(100) < 80, "train", only)
        split = official_split(labels, parts, persons, 0.25, np.random.default_rng(0))
        check(split, labels, None)
        assert set(parts[split.test]) == {only} and set(parts[split.val]) == {"train"}
        assert not set(persons[split.train]) & set(persons[split.val])
        assert abs(len(split.val) / (len(split.val) + len(split.train)) - 0.25) < 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y, p, r: fold_split(y, p, 5, 5, 0.2, r), "fold 5 of 5: there are folds 0 to 4, and 6 persons"),
        (lambda y, p, r: fold_split(y, p, 0, 7, 0.2, r), "6 persons to deal to them"),
        (lambda y, p, r: left_out_split(y, p, 6, p, 0.2, r), "number 6 cannot be left out: there are 6, from 0"),
        (lambda y, p, r: official_split(y, np.full(len(y), "train"), p, 0.2, r), "there is no official split to go by"),
        (lambda y, p, r: official_split(y, np.full(len(y), "test"), p, 0.2, r), "nothing is left for the train part"),
        (lambda y, p, r: fold_split(y, p, 0, 3, 1.0, r), r"the validation share must lie between 0 and 1, not be 1\.0"),
    ],
)
def test_what_cannot_be_split_is_one_line(call, message):
    labels, persons = np.tile([0, 1], 12), np.repeat(list("abcdef"), 4)
    with pytest.raises(DataError, match=message):
        call(labels, persons, np.random.default_rng(0))


def faces(**metadata: object) -> FaceDataset:
    whole = tiny.faces({"anger": 40, "fear": 40}, subjects=8)
    return replace(whole, metadata=whole.metadata.assign(**metadata))


def built(given: FaceDataset, seed: int = 0, **settings: object) -> Task:
    kind = TASKS.find("held_out")
    values = {"classes": ("anger", "fear"), "size": 32, **settings}
    return kind.build(resolve_settings(kind.settings, values, "task"), {"adults": given}, seed, torch.device("cpu"))


def test_seeds_cover_all_folds_and_subjects():
    for by, count in (("fold", 5), ("subject", 8)):
        tasks = [built(faces(), seed, by=by) for seed in range(count)]
        assert sorted(np.concatenate([task.test.rows for task in tasks])) == list(range(80))
        assert len({task.split_hash for task in tasks}) == count
        assert built(faces(), 7, by=by, which=1).test.rows.tolist() == tasks[1].test.rows.tolist()


def test_the_same_seed_is_the_same_split():
    first, second = built(faces(), 3, by="subject"), built(faces(), 3, by="subject")
    assert first.split_hash == second.split_hash and first.train.rows.tolist() == second.train.rows.tolist()
    assert first.metadata["subject"].tolist() == ["child 3"] * 10


@pytest.mark.parametrize(
    ("metadata", "by", "message"),
    [
        ({}, "official", "tiny faces: has no official split; use by=fold or by=subject"),
        ({}, "exemplar", "tiny faces: has no exemplars"),
        ({"subject": None}, "official", "has no official split"),
        ({"split": "train"}, "official", "tiny faces: there is no official split to go by"),
    ],
)
def test_a_data_set_that_lacks_what_is_asked_for(metadata, by, message):
    with pytest.raises(DataError, match=message):
        built(faces(**metadata), by=by)


def test_without_subjects_nobody_can_be_left_out_and_copies_stay_together():
    whole = faces()
    whole.images[40:60] = whole.images[:20]  # each image twice
    anonymous = replace(whole, metadata=whole.metadata.drop(columns="subject"))
    with pytest.raises(DataError, match="knows no subjects"):
        built(anonymous, by="subject")
    tasks = [built(anonymous, fold, by="fold") for fold in range(5)]
    assert sorted(np.concatenate([task.test.rows for task in tasks])) == list(range(80))
    for task in tasks:
        parts = [{row - 40 if 40 <= row < 60 else row for row in part.rows.tolist()} for part in (task.train, task.val, task.test)]
        assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    halves = pd.Series(np.where(np.arange(80) < 60, "train", "test"))
    task = built(replace(anonymous, metadata=anonymous.metadata.assign(split=halves)), by="official")
    assert task.test.rows.tolist() == list(range(60, 80))


def test_persons_are_subjects_or_else_pictures():
    whole = faces()
    whole.images[1] = whole.images[0]
    assert whole.persons.tolist() == whole.metadata["subject"].tolist()
    partly_named = replace(whole, metadata=whole.metadata.assign(subject=[None, None, *["x"] * 78]))
    assert partly_named.persons[:3].tolist() == ["image 0", "image 0", "x"]
