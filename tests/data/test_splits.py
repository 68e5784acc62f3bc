"""Splits by image and by person: what must hold for every split, and what is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trainables.data.dataset import DataError
from trainables.data.splits import Split, balanced_split, hash_split

SHARES = st.sampled_from([0.1, 0.25, 0.5, 0.7, 0.9])
SEEDS = st.integers(0, 2**32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def sizes(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.bincount(labels[rows], minlength=labels.max() + 1)


@st.composite
def labelled(draw: st.DrawFn) -> np.ndarray:
    """Draw the labels of classes with 20 to 60 images each and of some unlabelled images, shuffled."""
    counts = draw(st.lists(st.integers(20, 60), min_size=2, max_size=7))
    labels = np.repeat(np.arange(-1, len(counts)), [draw(st.integers(0, 9)), *counts])
    return rng(draw(SEEDS)).permutation(labels)


@given(labelled(), SHARES, SEEDS, st.sampled_from([None, 10, 15, 1000]))
@settings(deadline=None)
def test_by_image(labels: np.ndarray, share: float, seed: int, per_class: int | None) -> None:
    least = int(sizes(labels, labels >= 0).min())
    if per_class and per_class > least:
        with pytest.raises(DataError, match=f"per_class={per_class} is more than the {least} images of class"):
            balanced_split(labels, share, rng(seed), per_class=per_class)
        per_class = least
    split = balanced_split(labels, share, rng(seed), per_class=per_class)
    base = per_class or least
    train, val, test = (sizes(labels, rows) for rows in split)
    assert set(train) == {int((round(share * 100) * base + 50) // 100)}  # in integers, with halves rounded up
    assert np.abs(val - test).max() <= 1 and abs(val.sum() - test.sum()) <= 1
    assert np.array_equal(np.sort(np.concatenate(split)), np.flatnonzero(labels >= 0))  # disjoint, and no labelled image is lost
    assert all(rows.dtype == np.int64 and (np.diff(rows) > 0).all() for rows in split)


def test_a_half_rounds_up_as_it_is_written() -> None:
    """0.7 x 45 is 31.5, but 31.499999999999996 in binary floating point."""
    assert len(balanced_split(np.repeat([0, 1], 45), 0.7, rng()).train) == 2 * 32
    assert len(balanced_split(np.repeat([0, 1], 45), 0.5, rng()).train) == 2 * 23


def test_at_the_studys_shares() -> None:
    """Seven classes, the smallest with 103 images: the shares give 51.5, 72.1 and 92.7 training images per class."""
    labels = np.repeat(np.arange(7), [205, 191, 140, 215, 230, 108, 103])
    for share, count in ((0.5, 52), (0.7, 72), (0.9, 93)):
        assert sizes(labels, balanced_split(labels, share, rng()).train).tolist() == [count] * 7


@st.composite
def people(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels and subjects: subjects with 0 to 4 images of each class, as in data sets of children."""
    generator = rng(draw(SEEDS))
    counts = generator.integers(0, 5, (draw(st.integers(12, 40)), draw(st.integers(2, 7))))
    assume((np.count_nonzero(counts, axis=0) >= 3).all())  # a class with fewer persons is refused
    persons, labels = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    order = generator.permutation(len(labels))
    return labels[order], np.array([f"child {person}" for person in persons], dtype=object)[order]


@given(people(), SHARES, SEEDS)
@settings(deadline=None)
def test_by_person(cohort: tuple[np.ndarray, np.ndarray], share: float, seed: int) -> None:
    labels, subjects = cohort
    base = sizes(labels, labels >= 0).min()
    expected = int((round(share * 100) * base + 50) // 100)
    assume(expected > 0)
    split = balanced_split(labels, share, rng(seed), groups=subjects)
    train, val, test = (set(subjects[rows]) for rows in split)
    assert not (train & val or train & test or val & test)
    (count,) = set(sizes(labels, split.train))  # exactly balanced
    assert 0 < count <= expected
    dropped = np.setdiff1d(np.arange(len(labels)), np.concatenate(split))
    assert not set(subjects[dropped]) & (val | test)  # only the surplus of training subjects is dropped
    halves = sizes(labels, split.val), sizes(labels, split.test)
    largest = max(np.bincount(np.unique(subjects, return_inverse=True)[1] * 7 + labels))
    assert np.abs(halves[0] - halves[1]).max() <= 3 * largest  # in each class, val and test differ by a few persons at most


@given(SHARES, SEEDS)
@settings(deadline=None, max_examples=20)
def test_many_persons_add_up(share: float, seed: int) -> None:
    """At a real data set's size, training gets its full number, and val and test are nearly equal in each class."""
    generator = rng(seed)
    subjects, labels = generator.integers(0, 154, 1192), generator.integers(0, 7, 1192)
    split = balanced_split(labels, share, generator, groups=subjects)
    assert len(split.train) == 7 * int((round(share * 100) * sizes(labels, labels >= 0).min() + 50) // 100)
    val, test = sizes(labels, split.val), sizes(labels, split.test)
    assert np.abs(val - test).max() <= 8  # out of 10 to 90 images


@given(people(), SEEDS, st.booleans())
@settings(deadline=None)
def test_a_seed_gives_the_split_whatever_subjects_are_called(cohort: tuple[np.ndarray, np.ndarray], seed: int, by_person: bool) -> None:
    labels, subjects = cohort
    renamed = np.array([hash(name) for name in subjects])
    first = balanced_split(labels, 0.5, rng(seed), groups=subjects if by_person else None)
    second = balanced_split(labels, 0.5, rng(seed), groups=renamed if by_person else None)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("groups", [None, np.arange(300) // 4])
def test_another_seed_gives_another_split(groups: np.ndarray | None) -> None:
    labels = np.arange(300) % 5
    assert len({hash_split(balanced_split(labels, 0.5, rng(seed), groups=groups), "") for seed in range(10)}) == 10


def test_the_unlabelled_need_no_subject() -> None:
    labels = np.append(np.tile([0, 1], 20), -1)
    subjects = np.array([*(f"s{i // 4}" for i in range(40)), None], dtype=object)
    assert 40 not in np.concatenate(balanced_split(labels, 0.5, rng(), groups=subjects))


def test_hash_names_rows_parts_and_content() -> None:
    split = Split(np.array([0, 1]), np.array([2]), np.array([3]))
    others = [Split(np.array([0]), np.array([1, 2]), np.array([3])), Split(np.array([0, 1]), np.array([3]), np.array([2]))]
    hashes = {hash_split(split, "a"), hash_split(split, "b"), *(hash_split(other, "a") for other in others)}
    assert len(hashes) == 4 and all(len(digest) == 16 for digest in hashes)
    assert hash_split(split, "a") == hash_split(Split(*(rows.astype(np.int32) for rows in split)), "a")


TWENTY = np.arange(40) % 2


@pytest.mark.parametrize(
    ("labels", "share", "options", "message"),
    [
        (TWENTY, 0.0, {}, "between 0 and 1, not be 0.0"),
        (TWENTY, 1.0, {}, "between 0 and 1, not be 1.0"),
        (TWENTY, float("nan"), {}, "between 0 and 1, not be nan"),
        (TWENTY, 0.5, {"per_class": 0}, "per_class must be 1 or more, not 0"),
        (np.full(5, -1), 0.5, {}, "no row has a label"),
        (np.array([0] * 20 + [2] * 20), 0.5, {}, "class 1 has 0 images: a training share of 0.5 leaves its train part empty"),
        (TWENTY, 0.5, {"classes": ("anger", "fear", "joy")}, "class joy has 0 images"),
        (TWENTY, 0.5, {"classes": ("anger",)}, "label 1 has no name: the classes are anger"),
        (TWENTY, 0.01, {}, "class 0 has 20 images: a training share of 0.01 leaves its train part empty"),
        (np.repeat([0, 1], [30, 4]), 0.9, {"classes": ("anger", "fear")}, "class fear has 4 images: .* leaves its val part empty"),
        (TWENTY, 0.5, {"groups": np.arange(40) // 20}, "class 0 has 20 images of 2 subjects: a split by subject needs 3"),
        (TWENTY, 0.5, {"groups": np.array(["a", None, *"b" * 38], dtype=object)}, r"row 1 has no subject.*\(1 lack it\)"),
    ],
)
def test_what_cannot_be_split_is_one_clear_line(labels: np.ndarray, share: float, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        balanced_split(labels, share, rng(), **options)
    assert "\n" not in str(caught.value)
