"""The task `balanced`: all methods share one balanced split, which separates persons if requested and is identified by its hash."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests import tiny
from trainables.data.dataset import DataError, FaceDataset
from trainables.data.task import TASKS, Task, describe_images, get_known_metadata
from trainables.registry import BadRequest
from trainables.settings import resolve_settings

CPU = torch.device("cpu")
CHILDREN = {"anger": 30, "contempt": 9, "fear": 41, "happiness": 25}
ADULTS = {"anger": 5, "fear": 6, "happiness": 7, "neutral": 8}
CLASSES = ("fear", "anger", "happiness")
"""a subset of a data set's classes, in another order"""


def built(faces: dict[str, FaceDataset] | None = None, seed: int = 0, **settings: Any) -> Task:
    kind = TASKS.find("balanced")
    faces = faces or {"children": tiny.faces(CHILDREN), "adults": tiny.faces(ADULTS, seed=1)}
    return kind.build(resolve_settings(kind.settings, {"classes": CLASSES, "size": 32, "split": 0.5} | settings, "task"), faces, seed, CPU)


def counts(task: Task, part: str) -> list[int]:
    return torch.bincount(getattr(task, part).labels, minlength=len(task.classes)).tolist()


@pytest.mark.parametrize(("settings", "each"), [({}, 13), ({"split": 0.9}, 23), ({"per_class": 10}, 5)])
def test_training_is_balanced_and_the_rest_halved(settings: dict[str, Any], each: int) -> None:
    """Half of the smallest class's 25 images is 12.5, which rounds to 13."""
    task = built(**settings)
    assert counts(task, "train") == [each] * 3
    for number, total in enumerate((41, 30, 25)):
        val, test = counts(task, "val")[number], counts(task, "test")[number]
        assert val + test == total - each and abs(val - test) <= 1
    assert (
        not set(task.train.rows) & set(task.val.rows)
        | set(task.train.rows) & set(task.test.rows)
        | set(task.val.rows) & set(task.test.rows)
    )


def test_images_and_labels_are_those_of_their_rows() -> None:
    roles = {"children": tiny.faces(CHILDREN), "adults": tiny.faces(ADULTS, seed=1)}
    task = built(roles)
    assert task.classes == CLASSES and (task.channels, task.size) == (1, 32)
    parts = [(images, roles["children"]) for images in (task.train, task.val, task.test)] + [(task.partners["adults"], roles["adults"])]
    for images, faces in parts:
        assert np.array_equal(images.pixels.numpy(), faces.images[images.rows])
        assert [CLASSES[label] for label in images.labels] == [faces.classes[label] for label in faces.labels[images.rows]]
    assert len(task.partners["adults"].labels) == 5 + 6 + 7  # all images except those of the class that the task lacks


def test_a_seed_gives_the_split_whatever_else_is_set() -> None:
    """Every method gets the same split under one seed, so that results can be paired. Any setting of the split changes its hash."""
    first = built()
    for same in (built(), built(partner=None), built(faces={"children": tiny.faces(CHILDREN), "adults": tiny.faces(ADULTS, seed=9)})):
        assert same.split_hash == first.split_hash
        assert all(np.array_equal(getattr(same, part).rows, getattr(first, part).rows) for part in ("train", "val", "test"))
    assert built(partner=None).partners == {}
    other_faces = {"children": tiny.faces(CHILDREN, seed=5), "adults": tiny.faces(ADULTS)}
    others = [built(seed=1), built(split=0.7), built(per_class=10), built(classes=CLASSES[::-1]), built(faces=other_faces)]
    assert len({first.split_hash, *(other.split_hash for other in others)}) == len(others) + 1


def test_by_subject_no_person_is_in_two_parts() -> None:
    faces = {"children": tiny.faces(CHILDREN, subjects=20), "adults": tiny.faces(ADULTS)}
    by_person, by_image = (built(faces, by=by) for by in ("subject", "image"))

    def people(task: Task) -> list[set[str]]:
        return [set(faces["children"].metadata["subject"].to_numpy(str)[images.rows]) for images in (task.train, task.val, task.test)]

    train, val, test = people(by_person)
    assert train and val and test and not (train & val | train & test | val & test)
    assert len(set(counts(by_person, "train"))) == 1
    train, val, test = people(by_image)
    assert train & val and train & test
    assert by_person.metadata["subject"].tolist() == faces["children"].metadata["subject"].to_numpy(str)[by_person.test.rows].tolist()
    assert by_person.split_hash != by_image.split_hash


def test_subjects_are_empty_where_unknown() -> None:
    task = built()
    assert task.metadata.keys() == {"subject"} and task.metadata["subject"].tolist() == [""] * len(task.test.labels)


def test_one_missing_subject_hides_no_other() -> None:
    children = tiny.faces(CHILDREN, subjects=20)
    children.metadata.loc[children.metadata.index[::7], "subject"] = None
    faces = {"children": children, "adults": tiny.faces(ADULTS)}
    task = built(faces)
    assert task.metadata["subject"].tolist() == ["" if row % 7 == 0 else f"child {row % 20}" for row in task.test.rows]
    with pytest.raises(DataError, match=r"row 0 has no subject: a split by subject needs one for every image \(\d+ lack it\)"):
        built(faces, by="subject")


COLUMNS: dict[str, Any] = {
    "sex": ["F", "M", None],
    "age": [3, 4, 5],
    "ethnicity": [None, None, None],
    "mouth_open": pd.array([True, None, False], dtype="boolean"),
}


def test_facts_are_those_of_the_test_images_and_never_objects() -> None:
    """Unknown values are empty strings or NaN. A column without known values is left out. Ages are floats, whatever the reader returned."""
    children = tiny.faces(CHILDREN)
    for name, values in COLUMNS.items():
        children.metadata[name] = pd.Series(values).iloc[children.metadata.index % 3].array
    task = built({"children": children, "adults": tiny.faces(ADULTS)})
    rows = task.test.rows % 3
    assert task.metadata.keys() == {"subject", "sex", "age", "mouth_open"}
    assert task.metadata["sex"].tolist() == [("F", "M", "")[row] for row in rows]
    assert task.metadata["age"].dtype == float and task.metadata["age"].tolist() == [3.0 + row for row in rows]
    np.testing.assert_array_equal(task.metadata["mouth_open"], np.array([1.0, np.nan, 0.0])[rows])


@pytest.mark.parametrize(("values", "kind"), [([0, 1], "i"), ([True, False], "b"), (pd.array([True, False], dtype="boolean"), "b")])
def test_numbers_all_known_stay_what_they_are(values: Any, kind: str) -> None:
    children = tiny.faces(CHILDREN)
    children.metadata["mouth_open"] = pd.Series(values).iloc[children.metadata.index % 2].array
    column = get_known_metadata(children, np.array([3, 0]))["mouth_open"]
    assert column.dtype.kind == kind and column.tolist() == list(values)[::-1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "subject"}, r"^tiny faces: knows no subjects, so it cannot be split by subject; use by=image$"),
        ({"split": 0.99}, r"^class happiness has 25 images: a training share of 0\.99 leaves its val part empty$"),
        ({"split": 0.01}, r"^class happiness has 25 images: a training share of 0\.01 leaves its train part empty$"),
        ({"classes": ("anger", "joy", "shame")}, r"^tiny faces: has no class joy, shame; it has anger, contempt, fear, happiness$"),
        ({"classes": ("anger", "contempt")}, r"^tiny faces: has no class contempt; it has anger, fear, happiness, neutral$"),
        ({"target": "kids"}, r"^unknown role 'kids'.* \(known: adults, children\)$"),
        ({"partner": "adult"}, r"^unknown role 'adult'; did you mean adults\?"),
        ({"split": 1.0}, "setting split=1.0 of task: input should be less than 1"),
        ({"per_class": 0}, "setting per_class=0 of task: input should be greater than or equal to 1"),
        ({"by": "person"}, "setting by='person' of task: input should be 'image', 'subject', 'sequence' or 'auto'"),
        ({"clases": CLASSES}, r"unknown setting of task 'clases'; did you mean classes\?"),
    ],
)
def test_what_cannot_be_split_is_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        built(**settings)
    assert "\n" not in str(caught.value)


def test_an_empty_class_is_named() -> None:
    faces = {"children": tiny.faces({"anger": 20, "fear": 0, "happiness": 20}), "adults": tiny.faces(ADULTS)}
    with pytest.raises(DataError, match=r"^class fear has 0 images: a training share of 0\.5 leaves its train part empty$"):
        built(faces)


def test_how_little_balancing_trains_is_said() -> None:
    """A set of thousands of images trains a few of each class if one class is rare."""
    task = built({"children": tiny.faces({"anger": 600, "fear": 10, "happiness": 600}), "adults": tiny.faces(ADULTS, seed=1)})
    assert task.warnings == ("few training images: 15 of 1,210 images, 5 a class, because the rarest class, fear, has 10",)
    assert describe_images(task) == "images: 15 training (5 a class), 598 selection, 597 test, 18 adults"
    assert built().warnings == built(per_class=1).warnings == ()
