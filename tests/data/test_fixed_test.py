"""Fixed test part: the same test images under every seed, in every kind of task, and none of them in training or selection."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests import tiny
from trainables.data.dataset import DataError, FaceDataset
from trainables.data.fixed_test import fix_test_part
from trainables.data.source import Source, parse_role, set_fixed_test
from trainables.data.task import TASKS, Task

COUNTS = {"anger": 60, "fear": 60, "happiness": 60}
CLASSES = tuple(COUNTS)
KINDS: dict[str, dict[str, Any]] = {
    "adaptation": {"role": "faces", "classes": CLASSES},
    "adaptation by person": {"role": "faces", "classes": CLASSES, "by": "subject"},
    "adaptation by exemplar": {"role": "faces", "classes": CLASSES, "by": "exemplar"},
    "balanced": {"target": "faces", "partner": None, "classes": CLASSES},
    "balanced by person": {"target": "faces", "partner": None, "classes": CLASSES, "by": "subject"},
    "held_out": {"target": "faces", "classes": CLASSES},
    "held_out by fold": {"target": "faces", "classes": CLASSES, "by": "fold"},
    "held_out by person": {"target": "faces", "classes": CLASSES, "by": "subject"},
    "populations": {"test": ("faces",), "classes": CLASSES, "size": 32},
    "transfer": {"labelled": {"faces": CLASSES}, "pool": ("pool",), "validation": 0.3},
}


def make_faces(subjects: int | None = 30) -> FaceDataset:
    return tiny.faces(COUNTS, subjects=subjects)


def build(kind: str, faces: FaceDataset, seed: int) -> Task:
    task = TASKS.find(kind.split()[0])
    return task.build(task.settings(**KINDS[kind]), {"faces": faces, "pool": tiny.faces({"anger": 20}, seed=9)}, seed, torch.device("cpu"))  # type: ignore[no-any-return]


def list_parts(task: Task) -> tuple[set[int], set[int]]:
    learnt = [part.rows for part in (task.train, task.val, task.gate) if part is not None]
    return set(np.concatenate(learnt).tolist()), set(task.test.rows.tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_no_seed_learns_or_selects_by_an_image_that_another_is_tested_on(kind: str) -> None:
    faces = fix_test_part(make_faces(), 0.3)
    tasks = [build(kind, faces, seed) for seed in range(4)]
    parts = [list_parts(task) for task in tasks]
    tests = [test for _, test in parts]
    assert all(test == tests[0] for test in tests) and 40 <= len(tests[0]) <= 68
    assert not set().union(*(learnt for learnt, _ in parts)) & tests[0]
    assert len({frozenset(task.val.rows.tolist()) for task in tasks}) == 4, "seeds draw the rest"
    persons = faces.metadata["subject"].to_numpy(object)
    if "by" not in KINDS[kind]:
        assert not set(persons[list(tests[0])]) & set(persons[list(parts[0][0])]), "whole persons"


@pytest.mark.parametrize("kind", ["adaptation", "balanced", "transfer", "populations"])
def test_without_it_seeds_are_tested_on_what_others_learn(kind: str) -> None:
    """The fault that it mends."""
    parts = [list_parts(build(kind, make_faces(), seed)) for seed in range(4)]
    assert set().union(*(learnt for learnt, _ in parts)) & set().union(*(test for _, test in parts))


@pytest.mark.parametrize("kind", KINDS)
def test_the_task_says_so(kind: str) -> None:
    assert "the test part is the same for every seed" in build(kind, fix_test_part(make_faces(), 0.3), 0).unit


@pytest.mark.parametrize("subjects", [None, 30])
def test_each_class_gives_its_share(subjects: int | None) -> None:
    faces = fix_test_part(make_faces(subjects), 0.3)
    test = faces.metadata["split"].to_numpy(object) == "test"
    for label in range(len(CLASSES)):
        assert abs(test[faces.labels == label].mean() - 0.3) < (0.02 if subjects is None else 0.08)
    assert any("the same for every seed" in note for note in faces.notes)


def test_copies_are_in_one_part() -> None:
    faces = make_faces(None)
    images = faces.images.copy()
    images[1::2] = images[::2]
    doubled = FaceDataset(images, faces.labels, faces.classes, faces.metadata, "doubled")
    test = fix_test_part(doubled, 0.3).metadata["split"].to_numpy(object) == "test"
    assert (test[1::2] == test[::2]).all()


def test_frames_of_a_clip_are_in_one_part() -> None:
    faces = make_faces(None)
    clips = np.repeat(np.arange(len(faces) // 6), 6)
    framed = FaceDataset(
        faces.images, faces.labels, faces.classes, pd.DataFrame({"clip": clips, "frame": np.arange(len(faces)) % 6}), "clips"
    )
    test = fix_test_part(framed, 0.3).metadata["split"].to_numpy(object) == "test"
    assert all(len(set(test[clips == clip])) == 1 for clip in set(clips)) and 0.2 < test.mean() < 0.4


@pytest.mark.parametrize("part", ["val", "test"])
def test_an_official_split_is_kept(part: str) -> None:
    faces = make_faces()
    faces.metadata["split"] = np.where(np.arange(len(faces)) % 4, "train", part)
    assert fix_test_part(faces, 0.3) is faces


def test_it_changes_what_the_data_are() -> None:
    assert len({make_faces().fingerprint, fix_test_part(make_faces(), 0.3).fingerprint, fix_test_part(make_faces(), 0.2).fingerprint}) == 3


def test_a_role_names_it() -> None:
    role, source = parse_role("wild=faces:adults/wild,fixed_test=.25")
    assert (role, source.fixed_test) == ("wild", 0.25) and parse_role(f"wild={source.to_text()}")[1] == source
    assert set_fixed_test(source, 0.4) == source, "what a user has named stays"
    assert set_fixed_test(Source("faces"), 0.4) == Source("faces", fixed_test=0.4)


@pytest.mark.parametrize("share", ["1", "-1", "nan", "a third", "1.5"])
def test_a_share_outside_0_and_1_is_one_line(share: str) -> None:
    with pytest.raises(DataError, match=f"fixed_test={share} is not a share between 0 and 1") as caught:
        parse_role(f"wild=faces,fixed_test={share}")
    assert "\n" not in str(caught.value)


def test_a_share_that_leaves_a_part_empty_is_one_line() -> None:
    with pytest.raises(DataError, match="leaves no image for training or for test"):
        fix_test_part(make_faces(1), 0.3)
