"""The task `populations`: each person is in one part, no route or choice of classes changes the split; unions of data sets; refusals."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import tiny
from trainables.data.dataset import DataError, FaceDataset
from trainables.data.task import TASKS, Images, Task
from trainables.registry import BadRequest
from trainables.settings import resolve_settings

CPU = torch.device("cpu")
COUNTS = {"anger": 40, "contempt": 20, "fear": 45, "happiness": 38}
CLASSES = ("anger", "fear", "happiness")


def roles(**more: FaceDataset) -> dict[str, FaceDataset]:
    return {"children": tiny.faces(COUNTS, subjects=30), "adults": tiny.faces(COUNTS, seed=1, subjects=25)} | more


def built(faces: dict[str, FaceDataset] | None = None, seed: int = 0, **settings: Any) -> Task:
    kind = TASKS.find("populations")
    values = {"classes": CLASSES, "size": 32, "test_share": 0.25, "validation": 0.2} | settings
    return kind.build(resolve_settings(kind.settings, values, "task"), faces or roles(), seed, CPU)


def rows(images: Images) -> set[int]:
    return set(images.rows.tolist())


@given(st.integers(0, 2**32 - 1))
def test_no_person_is_in_two_parts(seed: int) -> None:
    faces = roles()
    task = built(faces, seed)
    subjects = faces["children"].metadata["subject"].to_numpy(str)
    parts = [set(subjects[part.rows]) for part in (task.train, task.val, task.test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    labelled = np.isin(faces["children"].labels, [0, 2, 3]).sum()
    assert len(task.train.rows) + len(task.val.rows) + len(task.test.rows) == labelled
    assert np.array_equal(task.metadata["subject"], subjects[task.test.rows])


@given(st.integers(0, 1000))
def test_adults_change_nothing_of_the_childrens_test(seed: int) -> None:
    children, adults = built(seed=seed), built(seed=seed, train=("adults",))
    assert adults.split_hash == children.split_hash and rows(adults.test) == rows(children.test)
    assert torch.equal(adults.test.pixels, children.test.pixels) and torch.equal(adults.test.labels, children.test.labels)
    assert rows(children.tests["own"]) == rows(children.test)
    own, trained = adults.tests["own"], adults.train
    assert not rows(own) & rows(trained) and not rows(own) & rows(adults.val)


@given(st.integers(0, 1000))
def test_fewer_classes_are_the_same_images_without_the_others(seed: int) -> None:
    full_task, narrow_task = built(seed=seed), built(seed=seed, classes=("anger", "happiness"))
    assert full_task.split_hash == narrow_task.split_hash
    for part in ("train", "val", "test"):
        full, narrow = getattr(full_task, part), getattr(narrow_task, part)
        expected = {row for row, label in zip(full.rows.tolist(), full.labels.tolist(), strict=True) if CLASSES[label] != "fear"}
        assert rows(narrow) == expected


def test_grey_is_the_luma_of_the_same_images() -> None:
    images = np.repeat(roles()["children"].images, 3, 1) // np.array([1, 2, 4], np.uint8)[:, None, None]
    colour = FaceDataset(images, **_rest())
    rgb, grey = built({"children": colour}), built({"children": colour}, grey=True)
    assert (rgb.channels, grey.channels) == (3, 1) and rows(rgb.test) == rows(grey.test)
    red, green, blue = rgb.test.pixels.double().unbind(1)
    assert (grey.test.pixels[:, 0] - (0.299 * red + 0.587 * green + 0.114 * blue)).abs().max() <= 0.51


def _rest() -> dict[str, Any]:
    children = roles()["children"]
    return {"labels": children.labels, "classes": children.classes, "metadata": children.metadata, "title": children.title}


def test_a_union_counts_each_set_once_and_keeps_namesakes_apart() -> None:
    faces = roles(more=renamed(tiny.faces(COUNTS, seed=2, subjects=30), "more faces, children"), again=roles()["children"])
    single, union, repeated = (built(faces, test=test) for test in (("children",), ("children", "more"), ("children", "again")))
    sizes = [sum(len(part.rows) for part in (task.train, task.val, task.test)) for task in (single, union, repeated)]
    assert sizes[1] == 2 * sizes[0] and sizes[2] == sizes[0]
    assert {name.partition(": ")[0] for name in union.metadata["subject"]} == {"tiny faces", "more faces"}
    assert max(union.test.rows.max(), union.train.rows.max()) >= len(faces["children"])


@given(st.integers(0, 1000))
def test_a_person_of_a_set_in_two_roles_is_one_person(seed: int) -> None:
    faces = roles(turned=renamed(tiny.faces(COUNTS, seed=2, subjects=30), "tiny faces, angle 45"))
    task = built(faces, seed, test=("children", "turned"))
    parts = [set(part.groups["subject"]) for part in (task.train, task.val, task.test)]
    assert len(set.union(*parts)) == 30 == sum(map(len, parts))


def test_an_official_split_is_kept() -> None:
    faces = tiny.faces(COUNTS)
    faces.metadata["split"] = [("train", "train", "val", "test")[row % 4] for row in range(len(faces))]
    task = built({"children": faces})
    assert {row % 4 for row in rows(task.test)} == {3} and {row % 4 for row in rows(task.val)} == {2}
    assert {row % 4 for row in rows(task.train)} == {0, 1}


def renamed(faces: FaceDataset, title: str) -> FaceDataset:
    return FaceDataset(faces.images, faces.labels, faces.classes, faces.metadata, title)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": ("adult",)}, r"^unknown role 'adult'; did you mean adults\?"),
        ({"test": ()}, r"^test: names no role; nothing to test on$"),
        ({"train": ("children",)}, r"^role children is trained on and has the images of children, which are tested on; leave it out"),
        ({"train": ("children", "adults")}, r"^role children is trained on and has the images of children"),
        ({"test_share": 0.6, "validation": 0.4}, r"^test_share 0\.6 and validation 0\.4 leave nothing to train on$"),
        ({"classes": ("anger", "surprise")}, r"^tiny faces: has no class surprise"),
        (
            {"test": ("children", "photos")},
            r"^children, photos: rendered faces \(photos\) and photographs together; leave out what you have",
        ),
        ({"test": ("few",)}, r"^tiny faces: class fear has no image in the (selection|test) part \(test_share 0\.25, validation 0\.2\)$"),
    ],
)
def test_what_does_not_fit_is_one_line(settings: dict[str, Any], message: str) -> None:
    few = tiny.faces({"anger": 30, "fear": 2, "happiness": 30}, seed=5)
    faces = roles(photos=renamed(tiny.faces(COUNTS, seed=3), "rendered faces"), few=few)
    with pytest.raises(BadRequest, match=message) as caught:
        built(faces, **settings)
    assert isinstance(caught.value, DataError) or "unknown" in message
