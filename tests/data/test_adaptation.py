"""Tasks adaptation and identity: who is in which part, what the answers are, what cannot be split."""

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
    made = tiny.faces(dict.fromkeys(tiny.CLASSES, n // 3), subjects=persons)
    table = made.metadata.assign(**metadata)
    if split:
        table["split"] = [split[row % len(split)] for row in range(n)]
    return FaceDataset(made.images, made.labels, made.classes, table, made.title)


def task(given: FaceDataset, seed: int = 0, kind: str = "adaptation", **settings: Any) -> Task:
    found = TASKS.find(kind)
    fields = {"role": "x", "classes": tiny.CLASSES} if kind == "adaptation" else {"persons": ("x",)}
    return found.build(
        resolve_settings(found.settings, {"size": 32, "colour": "grey", **fields, **settings}, kind), {"x": given}, seed, CPU
    )


def persons(given: FaceDataset, rows: np.ndarray) -> set[str]:
    return set(given.metadata["subject"].loc[rows])


def test_without_an_official_split_persons_are_dealt_out() -> None:
    given = faces()
    made = task(given)
    parts = [set(part.rows) for part in (made.train, made.val, made.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 60
    who = [persons(given, part.rows) for part in (made.train, made.val, made.test)]
    assert not who[0] & who[1] and not who[0] & who[2] and not who[1] & who[2]
    assert made.scored and made.target == "label" and made.classes == tiny.CLASSES
    assert task(given, 1).split_hash != made.split_hash == task(given).split_hash


@pytest.mark.parametrize(
    ("split", "tested"),
    [(["train", "train", "val", "test"], "test"), (["train", "train", "val"], "val"), (["train", "train", "test"], "test")],
)
def test_an_official_split_stands_and_the_only_one_held_out_is_reported(split: list[str], tested: str) -> None:
    given = faces(split)
    made = task(given)
    official = given.metadata["split"].to_numpy()
    assert set(made.test.rows) == set(np.flatnonzero(official == tested))
    if "val" in split and tested == "test":
        assert set(made.val.rows) == set(np.flatnonzero(official == "val"))
    else:
        assert set(official[made.val.rows]) == {"train"} and len(made.val.rows)


def test_exemplars_are_left_out_in_turn() -> None:
    numbers = [1 + row // 2 % 4 for row in range(60)]
    given = faces(exemplar=numbers)
    for seed in range(4):
        made = task(given, seed, by="exemplar")
        assert {numbers[row] for row in made.test.rows} == {seed % 3 + 1}
        assert persons(given, made.test.rows) <= persons(given, made.train.rows)
    counted = task(faces(), 0, by="exemplar")  # not numbered: a person's first picture of each expression
    assert len(counted.test.rows) == len(faces().metadata.assign(label=faces().labels).groupby(["subject", "label"]))


def test_persons_are_left_out_in_turn() -> None:
    given = faces()
    left = [persons(given, task(given, seed, by="subject").test.rows) for seed in range(11)]
    assert all(len(each) == 1 for each in left) and len(set.union(*left[:10])) == 10 and left[10] == left[0]
    made = task(given, 3, by="subject")
    assert not persons(given, made.train.rows) & persons(given, made.val.rows)


def test_clips_are_one_item_each() -> None:
    rows = np.arange(60)
    given = faces(clip=rows // 4, frame=rows % 4, emoreact_a=1, emoreact_b=rows // 4 % 2, subject=[f"p{row // 12}" for row in rows])
    made = task(given, target="labels", frames=8, validation=0.3)
    assert made.train.pixels.shape[1:] == (8, 1, 32, 32) and made.channels == 1 and made.size == 32
    assert sum(len(part.rows) for part in (made.train, made.val, made.test)) == 15 and made.classes == ("a", "b")
    assert made.train.values is not None and made.train.values.shape == (len(made.train.rows), 2)
    torch.testing.assert_close(made.train.pixels[0, -1], torch.from_numpy(given.images[made.train.rows[0] + 3]))


def test_fewer_images_are_drawn_from_training_alone() -> None:
    whole, some = task(faces()), task(faces(), images=10)
    assert len(some.train.rows) == 10 and set(some.train.rows) <= set(whole.train.rows) and set(some.test.rows) == set(whole.test.rows)


def test_values_stand_beside_their_images() -> None:
    valence = np.linspace(-1, 1, 60)
    made = task(faces(valence=valence, arousal=-valence), target="affect")
    for part in (made.train, made.val, made.test):
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
    given = faces()
    made = task(given, kind="identity", test=0.2, validation=0.2)
    assert len(made.classes) == 10 and made.target == "label" and not made.scored
    for part, expected in ((made.train, 4), (made.val, 1), (made.test, 1)):
        assert torch.bincount(part.labels).tolist() == [expected] * 10
        assert [made.classes[label] for label in part.labels] == given.metadata["subject"].iloc[part.rows].tolist()
        torch.testing.assert_close(part.pixels, torch.from_numpy(given.images[part.rows]))


def test_identity_leaves_out_who_has_too_few_images() -> None:
    given = faces()
    rare = given.metadata["subject"].where(given.metadata.index > 1, other="seldom seen")
    made = task(FaceDataset(given.images, given.labels, given.classes, given.metadata.assign(subject=rare), "some"), kind="identity")
    assert "seldom seen" not in made.classes and len(made.classes) == 10
    for subjects in (pd.Series("the only one", given.metadata.index), pd.Series([str(row) for row in given.metadata.index])):
        with pytest.raises(DataError, match="nobody to tell apart"):
            task(FaceDataset(given.images, given.labels, given.classes, given.metadata.assign(subject=subjects), "some"), kind="identity")
    with pytest.raises(DataError, match="knows no subjects, so nobody can be told apart"):
        task(faces(persons=None), kind="identity")
