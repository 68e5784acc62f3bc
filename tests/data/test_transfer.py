"""Tests of the task `transfer`.

No person is in two parts, official splits are kept, validation is halved into gate and selection, and the pool's labels are only its truth.
"""

from typing import Any

import numpy as np
import pandas as pd
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
CLASSES = ("anger", "fear", "happiness")
COUNTS = {"anger": 30, "contempt": 9, "fear": 41, "happiness": 25}
POOL = {"anger": 5, "fear": 6, "surprise": 7}
PARTS = ("train", "gate", "val", "test")


def roles(**more: FaceDataset) -> dict[str, FaceDataset]:
    return {"labelled": tiny.faces(COUNTS, subjects=40), "pool": tiny.faces(POOL, seed=1)} | more


def built(faces: dict[str, FaceDataset] | None = None, seed: int = 0, **settings: Any) -> Task:
    kind = TASKS.find("transfer")
    values = {"labelled": {"labelled": CLASSES}, "size": 32, "validation": 0.2} | settings
    return kind.build(resolve_settings(kind.settings, values, "task"), faces or roles(), seed, CPU)


def part(task: Task, name: str) -> Images:
    images = getattr(task, name)
    assert isinstance(images, Images)
    return images


def counts(task: Task, name: str) -> list[int]:
    return torch.bincount(part(task, name).labels, minlength=len(task.classes)).tolist()


def official(splits: list[str | None], counts: dict[str, int] | None = None) -> FaceDataset:
    """Return faces whose images cycle through these official splits."""
    faces = tiny.faces(counts or COUNTS)
    faces.metadata["split"] = [splits[row % len(splits)] for row in range(len(faces))]
    return faces


@given(st.integers(0, 2**32 - 1), st.integers(12, 60), st.sampled_from([0.2, 0.3, 0.45]), st.sampled_from([0.2, 0.3]))
def test_no_person_is_in_two_parts_and_every_part_has_every_class(seed: int, subjects: int, test: float, validation: float) -> None:
    faces = roles(labelled=tiny.faces(COUNTS, seed=seed % 7, subjects=subjects))
    try:
        task = built(faces, seed, test=test, validation=validation)
    except DataError as error:  # with so few persons a part may get no image of a class
        assert "and none is in the" in str(error) and subjects < 40
        return
    subject = faces["labelled"].metadata["subject"].to_numpy(str)
    people = [set(subject[part(task, name).rows]) for name in PARTS]
    rows = [set(part(task, name).rows.tolist()) for name in PARTS]
    for i in range(4):
        for j in range(i):
            assert not people[i] & people[j] and not rows[i] & rows[j]
    assert sum(map(len, rows)) == 30 + 41 + 25
    assert all(all(counts(task, name)) for name in PARTS)


def test_the_texts_proportions() -> None:
    """100 persons with equally many images: 45 % train, 45 % test, and 10 % validation, which is halved."""
    task = built(roles(labelled=tiny.faces({"anger": 200, "fear": 200, "happiness": 200}, subjects=100)), validation=0.1)
    for name, share in zip(PARTS, (0.45, 0.05, 0.05, 0.45), strict=True):
        assert all(abs(count - 200 * share) <= 3 for count in counts(task, name))


def test_where_nobody_is_known_each_image_is_dealt_alone() -> None:
    task = built(roles(labelled=tiny.faces(COUNTS)))
    for number, total in enumerate((30, 41, 25)):
        sizes = [counts(task, name)[number] for name in PARTS]
        assert sum(sizes) == total and np.abs(np.array(sizes) - np.array((0.35, 0.1, 0.1, 0.45)) * total).max() < 1
    assert task.metadata["subject"].tolist() == [""] * len(task.test.rows)


def test_one_without_a_name_is_a_person_of_his_own() -> None:
    faces = roles()
    faces["labelled"].metadata.loc[faces["labelled"].metadata.index[::3], "subject"] = None
    named = faces["labelled"].metadata["subject"]
    task = built(faces)
    people = [set(named.iloc[part(task, name).rows].dropna()) for name in PARTS]
    assert all(not people[i] & people[j] for i in range(4) for j in range(i))


@pytest.mark.parametrize("splits", [["train", "train", "val", "test"], ["train", "train", "test"], ["train", "train", "train", "val"]])
def test_an_official_split_is_kept_and_what_it_lacks_is_cut_from_training(splits: list[str | None]) -> None:
    faces = roles(labelled=official(splits))
    task = built(faces)
    split = faces["labelled"].metadata["split"].to_numpy(str)
    held = np.concatenate([task.gate.rows, task.val.rows]) if task.gate else np.array([])
    assert set(split[task.train.rows]) == {"train"}
    assert set(split[task.test.rows]) == ({"test"} if "test" in splits else {"train"})
    assert set(split[held]) == ({"val"} if "val" in splits else {"train"})
    if "test" in splits:
        expected = np.isin(faces["labelled"].labels, [0, 2, 3]) & (split == "test")
        assert set(task.test.rows) == set(np.flatnonzero(expected))
    assert abs(len(task.val.rows) - len(held) / 2) <= 2


def test_images_and_labels_are_those_of_their_rows() -> None:
    """Rows are numbered through the concatenated labelled roles, in the order of their names, and then through the extra roles."""
    faces = roles(more=tiny.faces({"anxiety": 20, "fear": 3}, seed=2), game=tiny.faces({"fear": 12, "joy": 4}, seed=3))
    task = built(faces, labelled={"more": ("anxiety",), "labelled": CLASSES}, extra={"game": ("fear",)})
    assert task.classes == (*CLASSES, "anxiety")
    whole = [faces["labelled"], faces["more"], faces["game"]]
    pixels = np.concatenate([dataset.images for dataset in whole])
    names = [dataset.classes[label] for dataset in whole for label in dataset.labels]
    for name in PARTS:
        images = part(task, name)
        assert np.array_equal(images.pixels.numpy(), pixels[images.rows])
        assert [task.classes[label] for label in images.labels] == [names[row] for row in images.rows]
    extra = task.train.rows >= len(whole[0]) + len(whole[1])
    assert extra.sum() == 12 and all(not (part(task, name).rows >= len(whole[0]) + len(whole[1])).any() for name in PARTS[1:])
    assert counts(task, "train")[1] > 12 and counts(task, "gate")[3] == 2
    fewer = built(faces, labelled={"more": ("anxiety",), "labelled": CLASSES}, extra={"game": ("fear",)}, extra_images=5)
    assert len(fewer.train.rows) == len(task.train.rows) - 7 and fewer.split_hash == task.split_hash


def test_two_roles_of_one_data_set_keep_its_persons_together() -> None:
    whole = tiny.faces(COUNTS, subjects=30)
    task = built(roles(labelled=whole, eighth=whole), labelled={"labelled": CLASSES, "eighth": ("contempt",)}, validation=0.4, test=0.3)
    people = [set(whole.metadata["subject"].to_numpy(str)[part(task, name).rows % len(whole)]) for name in PARTS]
    assert all(not people[i] & people[j] for i in range(4) for j in range(i))


def test_the_pools_labels_are_the_truth_where_it_is_known() -> None:
    """The truth is a data set's labels, or its metadata column `truth` if it has no labels. A class that is not the task's is unknown."""
    blind = tiny.faces({"fear": 4, "joy": 3}, seed=5)
    truth = [blind.classes[label] for label in blind.labels]
    blind.metadata["truth"] = truth
    blind = FaceDataset(blind.images, np.full(7, -1), blind.classes, blind.metadata, "blind")
    faces = roles(blind=blind)
    pool = built(faces, pool=("pool", "blind")).partners["pool"]
    names = truth + [faces["pool"].classes[label] for label in faces["pool"].labels]
    assert [CLASSES[label] if label >= 0 else "" for label in pool.labels] == [name if name in CLASSES else "" for name in names]
    assert np.array_equal(pool.pixels.numpy(), np.concatenate([blind.images, faces["pool"].images]))
    del blind.metadata["truth"]
    assert built(faces, pool=("blind",)).partners["pool"].labels.tolist() == [-1] * 7


def test_a_seed_gives_the_split_whatever_is_learnt_from_besides() -> None:
    first = built()
    same = [built(), built(roles(pool=tiny.faces(POOL, seed=9))), built(roles(game=tiny.faces(POOL, seed=8)), extra={"game": ("fear",)})]
    assert {task.split_hash for task in same} == {first.split_hash}
    others = [built(seed=1), built(test=0.3), built(validation=0.3), built(labelled={"labelled": CLASSES[:2]})]
    assert len({first.split_hash, *(task.split_hash for task in others)}) == 5


def aimed(seed: int = 0, faces: dict[str, FaceDataset] | None = None, **settings: Any) -> tuple[dict[str, FaceDataset], Task]:
    datasets = roles(**{"aim": tiny.faces({"anger": 20, "fear": 26, "joy": 9}, seed=4, subjects=25)} | (faces or {}))
    return datasets, built(datasets, seed, target={"aim": ("anger", "fear")}, **settings)


@given(st.integers(0, 2**32 - 1))
def test_a_target_is_tested_on_and_the_rest_of_it_is_unlabelled(seed: int) -> None:
    faces, task = aimed(seed)
    subject, start = faces["aim"].metadata["subject"].to_numpy(str), len(faces["labelled"])
    assert sum(counts(task, name)[0] for name in PARTS[:3]) == 30, "the labelled role is split among training and validation alone"
    tested = task.test.rows - start
    assert np.array_equal(task.test.pixels.numpy(), faces["aim"].images[tested]) and counts(task, "test")[2] == 0
    assert [task.classes[label] for label in task.test.labels] == [faces["aim"].classes[faces["aim"].labels[row]] for row in tested]
    assert task.metadata["subject"].tolist() == subject[tested].tolist()
    others = np.setdiff1d(np.flatnonzero(faces["aim"].labels != faces["aim"].classes.index("joy")), tested)
    pool, before = task.partners["pool"], len(faces["pool"])
    assert np.array_equal(pool.pixels[before:].numpy(), faces["aim"].images[others])
    assert not set(subject[others]) & set(subject[tested]), "a person is in the pool and tested on"
    assert abs(len(tested) - 0.45 * 46) < 6


def test_a_targets_official_test_set_is_kept_and_needs_no_other_pool() -> None:
    aim = official(["train", "test", "val"], {"anger": 12, "fear": 12})
    faces, task = aimed(faces={"aim": aim}, pool=())
    split = aim.metadata["split"].to_numpy(str)
    assert set(split[task.test.rows - len(faces["labelled"])]) == {"test"}
    assert len(task.partners["pool"].rows) == (split != "test").sum()


def test_a_seed_gives_the_target_too() -> None:
    hashes = [aimed()[1].split_hash, aimed()[1].split_hash, aimed(1)[1].split_hash, built().split_hash]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3


EMPTY = FaceDataset(np.zeros((0, 1, 32, 32), np.uint8), np.zeros(0, np.int64), (), pd.DataFrame({"source": []}), "nothing")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pool": ()}, r"^the unlabelled pool is empty: pool names no role$"),
        ({"pool": ("empty",)}, r"^the unlabelled pool is empty: role empty$"),
        ({"pool": ("pol",)}, r"^unknown role 'pol'; did you mean pool\? \(known: empty, labelled, pool, same\)$"),
        ({"labelled": {"labeled": CLASSES}}, r"^unknown role 'labeled'; did you mean labelled\?"),
        ({"labelled": {}}, r"^labelled: names no role with classes; nothing to learn from$"),
        ({"labelled": {"labelled": ("anger", "joy")}}, r"^tiny faces: has no class joy; it has anger, contempt, fear, happiness$"),
        ({"extra": {"pool": ("surprise",)}}, r"^role pool gives the class surprise, which no labelled role gives$"),
        ({"extra": {"same": ("fear",)}}, r"^role same is the same data set as labelled: it would be trained on its test images$"),
        ({"pool": ("same",)}, r"^role same is the same data set as labelled: it would be trained on its test images$"),
        ({"pool": ("labelled",)}, r"^role labelled is the same data set as labelled: it would be trained on its test images$"),
        ({"target": {"same": ("fear",)}}, r"^role labelled is the same data set as same: it would be trained on its test images$"),
        ({"target": {"pool": ("fear",)}}, r"^role pool is the same data set as pool: it would be trained on its test images$"),
        ({"target": {"pool": ("surprise",)}}, r"^role pool gives the class surprise, which no labelled role gives$"),
        ({"test": 0.7, "validation": 0.3}, r"^test 0\.7 and validation 0\.3 leave nothing to train on$"),
        ({"test": 1.0}, r"^setting test=1\.0 of task: input should be less than 1$"),
        ({"extra_images": 0}, r"^setting extra_images=0 of task: input should be greater than or equal to 1$"),
    ],
)
def test_what_makes_no_sense_is_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        built(roles(empty=EMPTY, same=roles()["labelled"]), **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("sizes", "called"), [((30, 0), "training"), ((30, 1), r"\w+"), ((30, 3), r"\w+")])
def test_a_class_that_a_part_would_lack_is_named(sizes: tuple[int, int], called: str) -> None:
    with pytest.raises(DataError, match=rf"^tiny faces: class fear has {sizes[1]} images, and none is in the {called} part \(test 0\.45"):
        built(roles(labelled=tiny.faces(dict(zip(("anger", "fear"), sizes, strict=True)))), labelled={"labelled": ("anger", "fear")})


@pytest.mark.parametrize(("missing", "called"), [("val", "(gate|selection)"), ("test", "test")])
def test_an_official_part_without_a_class_is_named(missing: str, called: str) -> None:
    faces = official(["train", "train", "val", "test"])
    fear = faces.labels == 2
    faces.metadata.loc[fear & (faces.metadata["split"] == missing).to_numpy(), "split"] = "train"
    with pytest.raises(DataError, match=rf"class fear has 41 images, and none is in the {called} part"):
        built(roles(labelled=faces))
