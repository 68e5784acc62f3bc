"""No image of a test set is trained on: planted copies, mirrored and re-compressed ones, in every task of every study, and in files."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from search_spaces.study import STUDIES
from tests import tiny
from tests.test_methods import cell as make_any_cell
from trainables.cell import Data
from trainables.data import copy_guard
from trainables.data.copy_guard import guard_task, list_copy_warnings
from trainables.data.dataset import CLASSES, DataError, FaceDataset
from trainables.data.decode import crop_square
from trainables.data.image_hashes import hash_images
from trainables.data.source import Source
from trainables.data.task import TASKS, Images, Task
from trainables.loop import list_ancestor_warnings, make_task, train_cell
from trainables.registry import BadRequest
from trainables.settings import resolve_settings
from trainables.storage.store import RunFolder

CPU = torch.device("cpu")
STOCK = np.random.default_rng(5).integers(0, 256, (40, 1, 8, 8), np.uint8)
"""different images, of which every other one is the mirror image of the one before it"""
STOCK[1::2] = STOCK[::2, ..., ::-1]
NAMES = ("anger", "fear")


def images(numbers: list[int]) -> Images:
    """Return images of STOCK; the label is the number's parity."""
    rows = np.array(numbers, np.int64)
    return Images(torch.from_numpy(STOCK[rows]), torch.from_numpy(rows // 2 % 2), np.arange(len(rows)))


def make(**parts: list[int]) -> Task:
    """Return a task of these images of STOCK; `partner` is a partner set."""
    sides = {name: images(numbers) for name, numbers in parts.items()}
    partners = {"adults": sides.pop("partner")} if "partner" in sides else {}
    return Task(NAMES, **{"gate": None} | sides, split_hash="", metadata={}, partners=partners)


def list_sides(task: Task) -> Iterator[tuple[str, Images]]:
    """Yield the sides in the order of the guard; training and partners are one side."""
    yield "test", task.test
    yield from (("test", other) for other in task.tests.values())
    yield "selection", task.val
    if task.gate is not None:
        yield "gate", task.gate
    yield "training", task.train
    yield from (("training", other) for other in task.partners.values())


def list_contents(side: Images) -> list[list[bytes]]:
    """Return by image the bytes of its frames, the same for mirrored ones: an oracle without hashes."""
    pixels = side.pixels[:].numpy()
    frames = pixels.reshape(len(pixels), -1, *pixels.shape[-3:])
    return [[min(frame.tobytes(), np.ascontiguousarray(frame[..., ::-1]).tobytes()) for frame in item] for item in frames]


def find_shared(task: Task) -> list[tuple[str, str]]:
    """Return the pairs of different sides of which the later one has an image, or half of a clip, of the earlier one."""
    sides = [(name, list_contents(side)) for name, side in list_sides(task)]
    shared = []
    for number, (name, items) in enumerate(sides):
        known = {frame for item in items for frame in item}
        for other, contents in sides[number + 1 :]:
            if other != name and any(2 * sum(frame in known for frame in item) >= len(item) for item in contents):
                shared.append((name, other))
    return shared


SIDE = st.lists(st.integers(0, 39), min_size=1, max_size=12)


@given(SIDE, SIDE, SIDE, SIDE, SIDE)
def test_an_image_stays_on_its_first_side(test: list[int], val: list[int], gate: list[int], train: list[int], partner: list[int]) -> None:
    """By a plain loop: what is left of each side is what no earlier side has, and nothing else is lost."""
    task = make(test=test, val=val, gate=gate, train=train, partner=partner)
    seen = {number // 2 for number in test}
    expected = {}
    for name, numbers in (("val", val), ("gate", gate), ("train", train), ("partner", partner)):
        expected[name] = [number for number in numbers if number // 2 not in seen]
        seen |= {number // 2 for number in numbers} if name in ("val", "gate") else set()
    labels = {number // 2 % 2 for number in train}
    if not all(expected.values()) or {number // 2 % 2 for number in expected["train"]} != labels:
        with pytest.raises(DataError, match="nothing is left of"):
            guard_task(task, "drop", 0)
        return
    guarded = guard_task(task, "drop", 0)
    assert not find_shared(guarded) and guarded.test is task.test
    for name, side in (("val", guarded.val), ("gate", guarded.gate), ("train", guarded.train), ("partner", guarded.partners["adults"])):
        assert np.array_equal(side.pixels.numpy(), STOCK[expected[name]])
        assert side.labels.tolist() == [number // 2 % 2 for number in expected[name]]
    copied = sum(number // 2 in {other // 2 for other in train + partner} for number in test)
    assert guarded.copies["copied"] == copied and guarded.copies["test"] == len(test)


def test_policies() -> None:
    task = make(test=[0, 2, 4], val=[6, 8], train=[1, 2, 10, 12, 14])
    dropped, allowed = guard_task(task, "drop", 0), guard_task(task, "allow", 0)
    assert len(dropped.train.rows) == 3 and dropped.copies["sides"]["training"] == {
        "images": 5, "copies": 2, "near": 0, "dropped": 2, "unused": 0,
    }  # fmt: skip
    assert allowed.train is task.train and allowed.copies["copied"] == 2
    assert list_copy_warnings(dropped.copies) == [
        "copies left out: 2 of 3 test images (67%) had copies in training; left out: 2 of 5 images of training"
    ]
    (warning,) = list_copy_warnings(allowed.copies)
    assert warning.startswith("test images in training: 2 of 3 test images (67%)")
    with pytest.raises(DataError, match=r"2 of 5 images of training are copies of images that the task tests"):
        guard_task(task, "refuse", 0)
    (warning,) = list_copy_warnings(guard_task(make(test=[0, 2], val=[1, 6], train=[10, 12]), "allow", 0).copies)
    assert warning.startswith("test images in selection: 1 of 2 images of selection")
    clean = guard_task(make(test=[0], val=[2], train=[4, 6]), "refuse", 0)
    assert clean.copies["sides"] == {} and list_copy_warnings(clean.copies) == []


def test_a_share_below_one_percent_is_counted_without_a_warning() -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (450, 1, 8, 8), np.uint8))

    def part(rows: slice) -> Images:
        return Images(pixels[rows], torch.zeros(len(pixels[rows]), dtype=torch.int64), np.arange(len(pixels[rows])))

    for copies, warned in ((3, 0), (4, 1)):
        task = Task(("anger",), part(slice(301 - copies, 400)), part(slice(400, 450)), part(slice(0, 301)), "", {})
        found = guard_task(task, "drop", 0).copies
        assert found["copied"] == copies and len(list_copy_warnings(found)) == warned


def test_a_balanced_training_set_stays_balanced() -> None:
    task = replace(make(test=[0, 4], val=[8], train=[0, 4, 12, 16, 20, 2, 6, 10, 14, 18]), balanced=True)
    guarded = guard_task(task, "drop", 0)
    assert torch.bincount(guarded.train.labels).tolist() == [3, 3]
    assert guarded.copies["sides"]["training"] == {"images": 10, "copies": 2, "near": 0, "dropped": 2, "unused": 2}
    again, other = guard_task(task, "drop", 0), guard_task(task, "drop", 1)
    assert np.array_equal(again.train.rows, guarded.train.rows) and len(other.train.rows) == 6


def make_clips(frames: np.ndarray) -> Images:
    """Return clips, uint8 [n, frames, 1, 8, 8], all of one class."""
    return Images(torch.from_numpy(frames), torch.zeros(len(frames), dtype=torch.int64), np.arange(len(frames)))


@pytest.mark.parametrize(("shared", "left"), [(1, [1, 2, 3]), (2, [1, 2]), (3, [1, 2])])
def test_a_clip_is_a_copy_if_half_of_its_frames_are(shared: int, left: list[int]) -> None:
    """Mirrored frames count. The first clip of training is the one for selection."""
    clips = np.random.default_rng(1).integers(0, 256, (6, 4, 1, 8, 8), np.uint8)
    train = clips[:4].copy()
    train[3, :shared] = clips[5, 4 - shared :, ..., ::-1]
    guarded = guard_task(Task(("anger",), make_clips(train), make_clips(clips[:1]), make_clips(clips[5:]), "", {}), "drop", 0)
    assert guarded.train.rows.tolist() == left


def test_black_frames_make_no_clip_a_copy() -> None:
    clips = np.random.default_rng(1).integers(0, 256, (12, 4, 1, 8, 8), np.uint8)
    clips[:, :3] = 0  # fade-in
    task = Task(("anger",), make_clips(clips[:6]), make_clips(clips[6:9]), make_clips(clips[9:]), "", {})
    assert guard_task(task, "drop-near", 0).copies["sides"] == {}


def test_many_images_alike_need_little_memory() -> None:
    """A thousand placeholders on each side are a million pairs."""
    rng = np.random.default_rng(0)
    face = rng.integers(0, 256, (1, 16, 16), np.uint8)
    alike = np.clip(face.astype(int) + rng.integers(-2, 3, (2000, 1, 16, 16)), 0, 255).astype(np.uint8)
    train, test = (
        Images(torch.from_numpy(part), torch.zeros(1000, dtype=torch.int64), np.arange(1000)) for part in (alike[:1000], alike[1000:])
    )
    tracemalloc.start()
    copies = guard_task(Task(("anger",), train, make(test=[0], val=[2], train=[4]).val, test, "", {}), "drop", 0).copies
    assert copies["near"] > 900 and tracemalloc.get_traced_memory()[1] < 300e6
    tracemalloc.stop()


@pytest.mark.parametrize("size", [(100, 75), (49, 48), (65, 48), (48, 49), (250, 187), (48, 48), (33, 32)])
@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_the_square_of_a_mirrored_picture_is_the_mirrored_square(size: tuple[int, int], colour: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    square, mirrored = (crop_square(image, 48, colour) for image in (picture, np.ascontiguousarray(picture[:, ::-1])))
    assert square.shape[1:] == (48, 48) and np.array_equal(hash_images(square[None])[:, 0], hash_images(mirrored[None])[:, 0])


@pytest.fixture(scope="module")
def portraits() -> np.ndarray:
    return Source("faces", population="children").read_faces(48, "grey").images


def alter(face: np.ndarray, how: str) -> np.ndarray:
    """Return a near twin of a face, uint8 [1, s, s]."""
    if how == "recompressed":
        return cv2.imdecode(cv2.imencode(".jpg", face[0], [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_GRAYSCALE)[None]
    if how == "brightened":
        return np.clip(face * 0.9 + 12, 0, 255).astype(np.uint8)
    return alter(np.ascontiguousarray(face[..., ::-1]), "recompressed")


@pytest.mark.parametrize("how", ["recompressed", "brightened", "mirrored"])
def test_near_twins_are_counted_and_left_out_where_asked(portraits: np.ndarray, how: str) -> None:
    faces, labels = portraits[:120], torch.zeros(120, dtype=torch.int64)
    twins = np.stack([alter(face, how) for face in faces[:20]])

    def part(pixels: np.ndarray) -> Images:
        return Images(torch.from_numpy(pixels), labels[: len(pixels)], np.arange(len(pixels)))

    task = Task(("anger",), part(np.concatenate((faces[60:], twins))), part(faces[40:60]), part(faces[:40]), "", {})
    counted, dropped = guard_task(task, "drop", 0), guard_task(task, "drop-near", 0)
    assert 17 <= counted.copies["near"] <= 20 and counted.copies["copied"] == 0 and len(counted.train.rows) == 80
    assert len(dropped.train.rows) == 80 - counted.copies["near"] and (dropped.train.rows[:60] == np.arange(60)).all()
    (warning,) = list_copy_warnings(counted.copies)
    assert warning.startswith("near twins: ") and "copies=drop-near" in warning


def make_role(role: str, number: int, size: int, channels: int, classes: tuple[str, ...]) -> FaceDataset:
    """Return a data set with all metadata that tasks ask for. A third of its images are in the other roles, mirrored in every other one."""
    shared = np.random.default_rng(0).integers(0, 256, (90, channels, size, size), np.uint8)
    own = np.random.default_rng(100 + number).integers(0, 256, (180, channels, size, size), np.uint8)
    pixels = np.concatenate((own, shared[..., ::-1] if number % 2 else shared, own[:60], own[60:90, ..., ::-1]))
    pixels = np.random.default_rng(number).permutation(pixels)
    count = len(pixels)
    clip = np.arange(count) // 5
    labels = clip % len(classes)
    metadata = pd.DataFrame({"source": [f"{role} {row}" for row in range(count)]})
    metadata["subject"] = [f"{role} person {number % 30}" for number in clip]
    metadata["split"] = np.array(["test", "val", "train", "train"])[clip // len(classes) % 4]
    votes = {f"votes_{name}": (labels == code) * 7.0 for code, name in enumerate(classes)}
    affect = {name: np.linspace(-1, 1, count) for name in ("valence", "arousal")}
    several = {f"emoreact_{name}": (labels == code) * 1.0 for code, name in enumerate(classes)}
    clips = {"clip": clip, "frame": np.arange(count) % 5, "exemplar": np.arange(count) % 3 + 1}
    extra = pd.DataFrame(votes | affect | several | clips)
    return FaceDataset(pixels, labels, classes, pd.concat((metadata, extra), axis=1), f"noise of {role}")


@pytest.mark.parametrize("name", sorted(STUDIES.import_all()))
def test_no_task_of_a_study_shares_an_image_between_its_sides(name: str) -> None:
    """Every kind of task that the study has, its prerequisites' among them, on data sets full of copies."""
    study = STUDIES.find(name)("pocket")
    roles = {role: Data(Source("faces"), "", "") for role in study.roles}
    found, copied = set(), 0
    for cell in study.with_seeds(1).make_cells(roles):
        if (key := repr((cell.task, cell.task_settings))) in found:
            continue
        kind = TASKS.find(cell.task)
        small = {"size": 16} | ({"per_class": None} if "per_class" in cell.task_settings else {})
        settings: Any = resolve_settings(kind.settings, cell.task_settings | small, cell.task)
        channels = 1 if settings.colour == "grey" else 3
        classes = tuple(dict.fromkeys((*CLASSES, *getattr(settings, "classes", ()))))
        sets = {role: make_role(role, number, 16, channels, classes) for number, role in enumerate(cell.data)}
        task = kind.build(settings, sets, cell.seed, CPU)
        guarded = guard_task(task, settings.copies, cell.seed)
        found.add(key)
        assert find_shared(task) and not find_shared(guarded), key
        assert torch.equal(guarded.test.pixels, task.test.pixels)
        copied += guarded.copies["copied"]
        without = replace(
            task,
            **{side: getattr(task, side) and getattr(task, side)._replace(hashes=None) for side in ("train", "val", "gate", "test")},
            **{sets: {role: side._replace(hashes=None) for role, side in getattr(task, sets).items()} for sets in ("tests", "partners")},
        )
        assert guard_task(without, settings.copies, cell.seed).copies == guarded.copies, "the hashes that a task hands over are its images'"
    assert found and copied


def write_noise(folder: Path, copied: bool) -> Data:
    """Write noise with random labels as train|val|test/CLASS; with `copied`, every test image is in train as well."""
    rng = np.random.default_rng(3)
    for part, count in (("train", 112), ("val", 56), ("test", 56)):
        for number in range(count):
            picture = Image.fromarray(rng.integers(0, 256, (32, 32), np.uint8))
            label = tiny.CLASSES[number % 3]
            for place in (part, "train") if copied and part == "test" else (part,):
                (folder / place / label).mkdir(parents=True, exist_ok=True)
                picture.save(folder / place / label / f"{part}{number}.png")
    source = Source("folders", str(folder))
    return Data(source, source.read_faces(32, "grey").fingerprint, "noise")


@pytest.mark.parametrize(("policy", "learnt"), [("drop", False), ("allow", True)])
def test_noise_cannot_be_learnt_unless_copies_are_allowed(roles: dict[str, Data], tmp_path: Path, policy: str, learnt: bool) -> None:
    """A network that has learnt its test images by heart scores far above chance on noise; without them it does not."""
    data = write_noise(tmp_path / "noise", copied=True)
    cell = make_any_cell(roles, "from_scratch", "", epochs=40, batch=28, augment="none")
    task = {"target": "children", "by": "official", "classes": tiny.CLASSES, "size": 32, "copies": policy}
    settings = resolve_settings(TASKS.find("held_out").settings, task, "held_out").model_dump(mode="json")
    cell = replace(cell, task="held_out", task_settings=settings, data={"children": data})
    result = train_cell(cell, RunFolder(str(tmp_path / "run")))
    right = result["metrics"]["test/accuracy"] * 56
    low, high = 56 / 3 - 4 * np.sqrt(56 * 2 / 9), 56 / 3 + 4 * np.sqrt(56 * 2 / 9)  # four standard deviations of a binomial count
    assert right > high if learnt else low <= right <= high
    assert result["copies"]["copied"] == 56
    assert result["copies"]["sides"]["training"] == {
        "images": 168, "copies": 56, "near": 0, "dropped": 0 if learnt else 56, "unused": 0,
    }  # fmt: skip
    assert [flag.partition(":")[0] for flag in result["flags"]] == ["test images in training" if learnt else "copies left out"]


def test_one_set_in_both_roles(tmp_path: Path) -> None:
    """The ages were forgotten once, so the adults are all of the set, the children's test images among them."""
    sources = tiny.files(tmp_path)
    sources["adults"] = replace(sources["adults"], options=(), population=None)
    data = tiny.data(sources)
    task = make_task(tiny.cell(data, "SL(c+a)"), CPU)
    assert task.copies["copied"] == len(task.test.rows) and not find_shared(task)
    assert any(warning.startswith("copies left out: ") for warning in list_copy_warnings(task.copies))
    assert np.array_equal(task.test.rows, make_task(tiny.cell(data, "SL(c)"), CPU).test.rows)


def test_a_setting_of_every_study(roles: dict[str, Data]) -> None:
    refused = tiny.cell(roles, "SL(c)", copies="refuse")
    assert make_task(refused, CPU).copies["policy"] == "refuse" and refused.key != tiny.cell(roles, "SL(c)").key
    with pytest.raises(BadRequest, match="copies"):
        tiny.cell(roles, "SL(c)", copies="some")


def test_one_line_says_what_was_found() -> None:
    assert copy_guard.describe_copies(guard_task(make(test=[0], val=[2], train=[4, 6]), "drop", 0).copies).endswith(
        "no image is on two sides of training, selection and test"
    )
    line = copy_guard.describe_copies(guard_task(make(test=[0, 2], val=[4, 0], train=[6, 2, 10]), "drop", 0).copies)
    assert line == (
        "copies=drop: selection: 1 copies and 0 near twins among 2 images, 1 left out; training: 1 copies and 0 near twins among 3 images, "
        "1 left out; 1 of 2 test images had copies in training"
    )


@pytest.mark.parametrize("seen", [True, False])
def test_a_parent_that_has_seen_the_test_images_is_a_warning(roles: dict[str, Data], tmp_path: Path, seen: bool) -> None:
    """The parent is trained on the adults' file. If that holds the children too, at another size, it has seen their test images."""
    folder = RunFolder(str(tmp_path / "run"))
    sources = tiny.files(tmp_path)
    whole = replace(sources["adults"], options=(), population=None) if seen else sources["adults"]
    persons = {"persons": Data(whole, whole.read_faces(48, "rgb").fingerprint, "all")}
    child = replace(tiny.cell(roles, "SL(c)"), data=tiny.data(sources))
    parent = make_any_cell(roles, "supervised", "c", epochs=1)
    settings = {"target": "persons", "partner": None, "classes": tiny.CLASSES, "size": 48, "colour": "rgb", "split": 0.9}
    task = resolve_settings(TASKS.find("balanced").settings, settings, "balanced").model_dump(mode="json")
    parent = replace(parent, task="balanced", task_settings=task, data=persons)
    train_cell(parent, folder)
    warnings = list_ancestor_warnings(replace(child, parent=parent.key), folder, make_task(child, CPU))
    assert [warning.partition(":")[0] for warning in warnings] == ["test images in the parent's training"] * seen
    (tmp_path / "run" / "cells" / parent.key / "cell.json").write_text("{")
    (warning,) = list_ancestor_warnings(replace(child, parent=parent.key), folder, make_task(child, CPU))
    assert "cannot be read" in warning
