"""The tasks `adaptation` and `identity`: the persons of each part, the targets, and data that cannot be split."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests import tiny
from trainables.data.dataset import DataError, FaceDataset
from trainables.data.task import TASKS, Task
from trainables.settings import resolve_settings

CPU = torch.device("cpu")


def faces(split: list[str] | None = None, n: int = 60, persons: int | None = 10, **metadata: Any) -> FaceDataset:
    dataset = tiny.faces(dict.fromkeys(tiny.CLASSES, n // 3), subjects=persons)
    table = dataset.metadata.assign(**metadata)
    if split:
        table["split"] = [split[row % len(split)] for row in range(n)]
    return FaceDataset(dataset.images, dataset.labels, dataset.classes, table, dataset.title)


def task(given: FaceDataset, seed: int = 0, kind: str = "adaptation", **settings: Any) -> Task:
    registered = TASKS.find(kind)
    fields = {"role": "x", "classes": tiny.CLASSES} if kind == "adaptation" else {"persons": ("x",)}
    return registered.build(
        resolve_settings(registered.settings, {"size": 32, "colour": "grey", **fields, **settings}, kind), {"x": given}, seed, CPU
    )


def persons(given: FaceDataset, rows: np.ndarray) -> set[str]:
    return set(given.metadata["subject"].loc[rows])


def test_without_an_official_split_persons_are_dealt_out() -> None:
    data = faces()
    built = task(data)
    parts = [set(part.rows) for part in (built.train, built.val, built.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 60
    subjects = [persons(data, part.rows) for part in (built.train, built.val, built.test)]
    assert not subjects[0] & subjects[1] and not subjects[0] & subjects[2] and not subjects[1] & subjects[2]
    assert built.scored and built.target == "label" and built.classes == tiny.CLASSES
    assert task(data, 1).split_hash != built.split_hash == task(data).split_hash


@pytest.mark.parametrize(
    ("split", "tested"),
    [(["train", "train", "val", "test"], "test"), (["train", "train", "val"], "val"), (["train", "train", "test"], "test")],
)
def test_an_official_split_stands_and_the_only_one_held_out_is_reported(split: list[str], tested: str) -> None:
    data = faces(split)
    built = task(data)
    official = data.metadata["split"].to_numpy()
    assert set(built.test.rows) == set(np.flatnonzero(official == tested))
    if "val" in split and tested == "test":
        assert set(built.val.rows) == set(np.flatnonzero(official == "val"))
    else:
        assert set(official[built.val.rows]) == {"train"} and len(built.val.rows)


def test_exemplars_are_left_out_in_turn() -> None:
    numbers = [1 + row // 2 % 4 for row in range(60)]
    data = faces(exemplar=numbers)
    for seed in range(4):
        built = task(data, seed, by="exemplar")
        assert {numbers[row] for row in built.test.rows} == {seed % 3 + 1}
        assert persons(data, built.test.rows) <= persons(data, built.train.rows)
    counted = task(faces(), 0, by="exemplar")  # without exemplar numbers, exemplar 1 is a person's first image of each expression
    assert len(counted.test.rows) == len(faces().metadata.assign(label=faces().labels).groupby(["subject", "label"]))


def test_persons_are_left_out_in_turn() -> None:
    data = faces()
    held_out = [persons(data, task(data, seed, by="subject").test.rows) for seed in range(11)]
    assert all(len(subjects) == 1 for subjects in held_out) and len(set.union(*held_out[:10])) == 10 and held_out[10] == held_out[0]
    built = task(data, 3, by="subject")
    assert not persons(data, built.train.rows) & persons(data, built.val.rows)


def test_clips_are_one_item_each() -> None:
    rows = np.arange(60)
    data = faces(clip=rows // 4, frame=rows % 4, emoreact_a=1, emoreact_b=rows // 4 % 2, subject=[f"p{row // 12}" for row in rows])
    built = task(data, target="labels", frames=8, validation=0.3)
    assert built.train.pixels.shape[1:] == (8, 1, 32, 32) and built.channels == 1 and built.size == 32
    assert sum(len(part.rows) for part in (built.train, built.val, built.test)) == 15 and built.classes == ("a", "b")
    assert built.train.values is not None and built.train.values.shape == (len(built.train.rows), 2)
    torch.testing.assert_close(built.train.pixels[0, -1], torch.from_numpy(data.images[built.train.rows[0] + 3]))


def test_fewer_images_are_drawn_from_training_alone() -> None:
    full, few = task(faces()), task(faces(), images=10)
    assert len(few.train.rows) == 10 and set(few.train.rows) <= set(full.train.rows) and set(few.test.rows) == set(full.test.rows)


def test_values_stand_beside_their_images() -> None:
    valence = np.linspace(-1, 1, 60)
    built = task(faces(valence=valence, arousal=-valence), target="affect")
    for part in (built.train, built.val, built.test):
        assert part.values is not None
        np.testing.assert_allclose(part.values, np.stack([valence, -valence], 1)[part.rows], rtol=1e-6)


@pytest.mark.parametrize("by", ["exemplar", "subject"])
def test_without_subjects_none_is_left_out(by: str) -> None:
    with pytest.raises(DataError, match=f"tiny faces: knows no subjects, so by={by}"):
        task(faces(persons=None), by=by)


def test_a_part_without_images_is_one_line() -> None:
    with pytest.raises(DataError, match=r"tiny faces: none of 60 is in the training part \(official split\)"):
        task(faces(["val", "test"]))


def test_identity_has_everybody_in_every_part() -> None:
    data = faces()
    built = task(data, kind="identity", test=0.2, validation=0.2)
    assert len(built.classes) == 10 and built.target == "label" and not built.scored
    for part, expected in ((built.train, 4), (built.val, 1), (built.test, 1)):
        assert torch.bincount(part.labels).tolist() == [expected] * 10
        assert [built.classes[label] for label in part.labels] == data.metadata["subject"].iloc[part.rows].tolist()
        torch.testing.assert_close(part.pixels, torch.from_numpy(data.images[part.rows]))


def test_identity_leaves_out_who_has_too_few_images() -> None:
    data = faces()
    rare = data.metadata["subject"].where(data.metadata.index > 1, other="seldom seen")
    built = task(FaceDataset(data.images, data.labels, data.classes, data.metadata.assign(subject=rare), "some"), kind="identity")
    assert "seldom seen" not in built.classes and len(built.classes) == 10
    for subjects in (pd.Series("the only one", data.metadata.index), pd.Series([str(row) for row in data.metadata.index])):
        with pytest.raises(DataError, match="nobody to tell apart"):
            task(FaceDataset(data.images, data.labels, data.classes, data.metadata.assign(subject=subjects), "some"), kind="identity")
    with pytest.raises(DataError, match="knows no subjects, so nobody can be told apart"):
        task(faces(persons=None), kind="identity")
