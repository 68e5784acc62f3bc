"""A user's data are split by what does not leak, the paper's own as in the paper; and the report says what test and training share."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from platform.data.check import describe_subjects
from platform.report.copies import describe_run_copies, describe_run_split
from search_spaces.study import STUDIES
from tests import tiny
from trainables.cell import Cell, Data
from trainables.data.copy_guard import measure_overlap
from trainables.data.dataset import DataError, FaceDataset
from trainables.data.source import Source
from trainables.data.task import TASKS, Task
from trainables.loop import train_cell
from trainables.settings import resolve_settings
from trainables.storage.store import RunFolder

CPU = torch.device("cpu")
COUNTS = {"anger": 60, "fear": 60, "happiness": 60}


def make_sequences(subjects: int = 12, frames: int = 5, known: str = "subject sequence") -> FaceDataset:
    """Return 180 images of sequences of one class each, with the metadata `known`."""
    faces = tiny.faces(COUNTS)
    faces = faces.take_rows(np.argsort(faces.labels, kind="stable"))
    rows = np.arange(len(faces))
    metadata = {"subject": [f"S{row // frames % subjects:03}" for row in rows], "sequence": [f"{row // frames:03}" for row in rows]}
    table = faces.metadata.reset_index(drop=True).assign(**{name: metadata[name] for name in known.split()})
    return replace(faces, metadata=table, parts=())


def build(faces: FaceDataset, **settings: Any) -> Task:
    kind = TASKS.find("balanced")
    wanted = {"classes": tiny.CLASSES, "size": 32, "split": 0.5, "partner": None} | settings
    return kind.build(resolve_settings(kind.settings, wanted, "balanced"), {"children": faces}, 0, CPU)


@pytest.mark.parametrize(
    ("known", "subjects", "unit", "shared"),
    [
        ("subject sequence", 12, "subject", {"subject": 0, "sequence": 0}),
        ("subject sequence", 2, "sequence", {"subject": 1, "sequence": 0}),
        ("sequence", 12, "sequence", {"sequence": 0}),
        ("subject", 12, "subject", {"subject": 0}),
    ],
)
def test_auto_is_the_first_unit_that_does_not_leak(known: str, subjects: int, unit: str, shared: dict[str, int]) -> None:
    """With two persons a split by subject is impossible, and sequences are kept together."""
    task = build(make_sequences(subjects, known=known), by="auto")
    overlap = measure_overlap(task)
    assert task.unit == unit and {name: min(1, numbers["shared"]) for name, numbers in overlap.items()} == shared
    assert all(numbers["known"] == len(task.test.rows) for numbers in overlap.values())


def test_an_image_without_a_person_is_one_of_its_own() -> None:
    """One empty cell of the column does not turn a split by person into one by image."""
    faces = make_sequences(known="subject")
    metadata = faces.metadata.assign(subject=faces.metadata["subject"].where(np.arange(len(faces)) != 7))
    task = build(replace(faces, metadata=metadata), by="auto")
    assert task.unit == "subject" and measure_overlap(task)["subject"]["shared"] == 0 and task.warnings == ()
    with pytest.raises(DataError, match="has no subject"):
        build(replace(faces, metadata=metadata), by="subject")


def test_persons_that_are_too_few_to_be_kept_apart_are_a_warning() -> None:
    (warning,) = build(make_sequences(2, known="subject"), by="auto").warnings
    assert warning == "persons in training and test: split by image, because a class has fewer than 3 persons"
    assert build(make_sequences(2), by="auto").warnings[0].startswith("persons in training and test: split by sequence")
    assert build(make_sequences(2, known="subject"), by="image").warnings == ()


@pytest.mark.parametrize(("known", "unit"), [("subject sequence", "subject"), ("sequence", "sequence"), ("", "image")])
@pytest.mark.parametrize("name", ["adaptation", "populations", "transfer", "held_out"])
def test_other_tasks_keep_persons_or_else_sequences_together(name: str, known: str, unit: str) -> None:
    """Where a set has no official split; and they state the unit by which they have split."""
    faces, kind = make_sequences(known=known), TASKS.find(name)
    own: dict[str, dict[str, Any]] = {
        "adaptation": {"role": "a", "classes": tiny.CLASSES},
        "populations": {"test": ("a",), "classes": tiny.CLASSES, "test_share": 0.3, "validation": 0.2},
        "transfer": {"labelled": {"a": tiny.CLASSES}, "pool": ("b",), "test": 0.3, "validation": 0.3},
        "held_out": {"target": "a", "by": "fold", "classes": tiny.CLASSES},
    }
    pool = tiny.faces(COUNTS, seed=1)
    task = kind.build(resolve_settings(kind.settings, own[name], name), {"a": faces, "b": pool}, 0, CPU)
    assert task.unit == unit and all(numbers["shared"] == 0 for numbers in measure_overlap(task).values())
    assert set(measure_overlap(task)) == set(known.split())


def test_an_official_split_is_stated_as_such() -> None:
    faces, kind = make_sequences(), TASKS.find("populations")
    parts = np.array(["train", "val", "test"])[np.arange(len(faces)) % 3]
    settings = resolve_settings(kind.settings, {"test": ("a",), "classes": tiny.CLASSES}, "populations")
    task = kind.build(settings, {"a": replace(faces, metadata=faces.metadata.assign(split=parts))}, 0, CPU)
    assert task.unit == "official split" and measure_overlap(task)["subject"]["shared"] == len(task.test.rows)


def test_a_person_in_both_populations_of_one_set_is_in_training() -> None:
    """And persons of an unlabelled pool count."""
    children, kind = replace(make_sequences(), title="FER2013, children"), TASKS.find("balanced")
    adults = replace(children, images=255 - children.images, parts=(), title="FER2013, adults")
    settings = resolve_settings(kind.settings, {"classes": tiny.CLASSES, "size": 32, "by": "subject"}, "balanced")
    task = kind.build(settings, {"children": children, "adults": adults}, 0, CPU)
    assert measure_overlap(task)["subject"]["shared"] == len(task.test.rows)
    kind = TASKS.find("transfer")
    settings = resolve_settings(
        kind.settings, {"labelled": {"a": tiny.CLASSES}, "pool": ("b",), "test": 0.3, "validation": 0.3}, "transfer"
    )
    task = kind.build(settings, {"a": children, "b": adults}, 0, CPU)
    assert measure_overlap(task)["subject"]["shared"] == len(task.test.rows)


def test_by_image_frames_of_a_sequence_are_on_both_sides() -> None:
    task = build(make_sequences(), by="image")
    overlap = measure_overlap(task)
    trained = set(task.train.groups["sequence"])
    assert overlap["sequence"]["shared"] == sum(name in trained for name in task.test.groups["sequence"]) > 30
    assert overlap["subject"]["shared"] == len(task.test.rows)
    assert build(tiny.faces(COUNTS), by="auto").unit == "image" and measure_overlap(build(tiny.faces(COUNTS), by="auto")) == {}
    with pytest.raises(DataError, match="knows no sequences, so it cannot be split by sequence; use by=image"):
        build(tiny.faces(COUNTS), by="sequence")


def test_a_person_in_the_partner_set_is_in_training() -> None:
    children, kind = make_sequences(), TASKS.find("balanced")
    settings = resolve_settings(kind.settings, {"classes": tiny.CLASSES, "size": 32, "by": "subject"}, "balanced")
    adults = replace(children, images=255 - children.images, parts=())
    task = kind.build(settings, {"children": children, "adults": adults}, 0, CPU)
    assert measure_overlap(task)["subject"]["shared"] == len(task.test.rows)


@pytest.mark.parametrize(
    ("kind", "settings", "by"),
    [("faces", {}, "image"), ("fer2013", {}, "image"), ("folders", {}, "auto"), ("folders", {"by": "image"}, "image")],
)
def test_the_papers_own_sets_keep_the_papers_split(kind: str, settings: dict[str, Any], by: str) -> None:
    study = STUDIES.find("adults_as_augmentation")("pocket").with_seeds(1)
    for name, value in settings.items():
        study = study.with_setting(name, value)
    own = Data(Source("faces"), "", "")
    data = {"children": Data(Source(kind, "" if kind == "faces" else "/nowhere"), "", ""), "adults": own}
    assert {cell.task_settings["by"] for cell in study.make_cells(data)} == {by}
    data = {"children": own, "adults": Data(Source("folders", "/nowhere"), "", "")}
    assert {cell.task_settings["by"] for cell in study.make_cells(data)} == {"image"}, "the adults are never split"


def train_folder(tmp_path: Path, by: str) -> tuple[Cell, RunFolder]:
    """Train one epoch on a folder of frames S1_2_3.png: person 1, sequence 2."""
    from PIL import Image

    faces = make_sequences()
    for row, image in enumerate(faces.images):
        folder = tmp_path / "set" / tiny.CLASSES[faces.labels[row]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(folder / f"{faces.metadata['subject'].iloc[row]}_{row}.png")
    source = Source("folders", str(tmp_path / "set"), options=(("subject", "(S[0-9]+)_"),))
    data = {"children": Data(source, source.read_faces(32, "grey").fingerprint, "frames")}
    study = replace(tiny.study(partner=None), axes={"method": ("SL(c)",), "split": (0.5,), "ratio": (1,), "seed": (0,)})
    (cell,) = (study.with_setting("by", by) if by else study).make_cells(data)
    folder = RunFolder(str(tmp_path / f"run {by}"))
    folder.put_grid(study.name, study.scale, [cell])
    train_cell(cell, folder)
    return cell, folder


def test_result_and_report_state_unit_and_overlap(tmp_path: Path) -> None:
    from platform.report.read_run_folder import read_folder

    cell, folder = train_folder(tmp_path, "")
    split = folder.get_result(cell.key)["split"]
    assert split["unit"] == "subject" and split["overlap"]["subject"]["shared"] == 0 < split["overlap"]["subject"]["known"]
    runs = read_folder(folder)
    assert describe_run_split(runs).startswith("Unit of the split: subject. 0 of ") and describe_run_copies(runs) == (
        "No test image has an identical or mirrored copy in training."
    )
    _, folder = train_folder(tmp_path, "image")
    text = describe_run_split(read_folder(folder))
    assert text.startswith("Unit of the split: image. ")
    assert re.search(r"[1-9]\d* of \d+ test images \(\d+%\) show a person who is in training, too\.$", text)


def test_the_check_says_it() -> None:
    (line,) = [finding for finding in describe_subjects(make_sequences()) if "sequences" in finding.text]
    assert line.text.startswith("36 sequences of 5 to 5 images") and "--set by=subject" in line.text and not line.doubt
