"""Gather: from what a reader found (a file, an expression, metadata) to a data set in memory."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trainables.data import cache
from trainables.data.dataset import CLASSES, DataError, Doubt, FaceDataset, Release
from trainables.data.decode import CROPS, Box, DecodeOptions, Item
from trainables.data.files import list_files, parse_number, read_columns
from trainables.data.landmarks import assign_boxes

PARTS = ("train", "val", "test")
UNREADABLE = 0.05
"""share of the files that may be unreadable: a few broken downloads are left out, a folder of something else is refused"""
CHILD, ADULT = 12, 25
"""years: by an estimate, children are this old or younger, adults this old or older; in between it is unsure"""
CONTRADICTED = 0.05
"""share of the files whose names may contradict what their folders say: a few slips are noted, more are a wrong copy"""


@dataclass(frozen=True)
class FoundPicture:
    """One picture that a reader found."""

    file: str
    """within the data set's folder"""
    emotion: str | None
    """canonical name, or one of the data set's own; None: not labelled"""
    metadata: dict[str, Any] = field(default_factory=dict)
    frame: int = 0
    of: int = 0
    """frames taken of the clip; 0: `file` is a picture"""
    box: Box | None = None


def order_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Class names in the canonical order, then a data set's own by the alphabet."""
    every = set(names)
    return tuple(name for name in CLASSES if name in every) + tuple(sorted(every - set(CLASSES)))


def build_data_set(
    root: Path,
    found: Sequence[FoundPicture],
    *,
    title: str,
    size: int,
    colour: str,
    classes: Collection[str],
    notes: Iterable[str] = (),
    crop: str = "",
    landmarks: Path | None = None,
) -> FaceDataset:
    """Decode what was found: a data set whose rows stand in the order train, val, test, and within these as found.

    The first fact is `source`, the file within `root` (and `#k` for frame k of a clip). What cannot be read, or has no face where
    `crop` looks for one, is left out and noted; DataError where that is more than 5 % of the files, or nothing is left.
    """
    notes = list(notes)
    if not found:
        raise DataError(f"{root}: no image is left ({'; '.join(notes) or 'none was found'})")
    if any("split" in each.metadata for each in found):
        found = sorted(found, key=lambda each: PARTS.index(each.metadata["split"]))  # so that a part is one piece of the file it lies in
    items = [Item(each.file, each.frame, each.of, each.box) for each in found]
    rows, faceless = decode_pictures(root, items, size, colour, crop, landmarks)
    notes += _describe_left_out(root, items, rows, faceless)
    kept = [found[row] for row in rows.kept]
    metadata = pd.DataFrame([{"source": f"{each.file}#{each.frame}" if each.of else each.file, **each.metadata} for each in kept])
    for name in ("mouth_open",):
        if name in metadata:
            metadata[name] = metadata[name].astype("boolean")
    metadata = metadata.dropna(axis="columns", how="all")
    names = order_classes(classes)
    code = {name: number for number, name in enumerate(names)} | {None: -1}
    labels = np.array([code[each.emotion] for each in kept], np.int64)
    return FaceDataset(rows.values, labels, names, metadata, title, tuple(notes), origin=rows.key)


def decode_pictures(
    root: Path, items: Sequence[Item], size: int, colour: str, crop: str = "", landmarks: Path | None = None
) -> tuple[cache.DecodedRows, set[int]]:
    """The items' pictures, and those of the items in which no face was found, where `crop` asks for one.

    `crop` is one of CROPS; `landmarks` is a file of boxes or eyes instead (`landmarks.assign_boxes`).
    """
    if crop not in CROPS:
        raise DataError(f"crop={crop}: no such way to cut faces out (known: {', '.join(CROPS[1:])}; or landmarks=FILE)")
    if crop and landmarks:
        raise DataError(f"crop={crop} and landmarks={landmarks} are both given; one of them decides what is cut out")
    if crop:
        boxes = cache.decode_rows(root, items, DecodeOptions(0, crop=crop))
        found = [(int(row), box.tolist()) for row, box in zip(boxes.kept, boxes.values, strict=True)]
        faces = [items[row]._replace(box=tuple(box)) for row, box in found if box[2] > 0]
        where = np.array([row for row, box in found if box[2] > 0], np.int64)
        faceless = {row for row, box in found if box[2] <= 0}
        rows = cache.decode_rows(root, faces, DecodeOptions(size, colour))
        failed = boxes.failed | {int(where[row]): why for row, why in rows.failed.items()}
        failed |= {row: f"{root / items[row].file}: no face is found in it" for row in faceless}
        return cache.DecodedRows(rows.values, where[rows.kept], dict(sorted(failed.items())), rows.key), faceless
    if landmarks:
        items = assign_boxes(landmarks, items)
    return cache.decode_rows(root, items, DecodeOptions(size, colour)), set()


def _describe_left_out(root: Path, items: Sequence[Item], rows: cache.DecodedRows, faceless: set[int]) -> list[str]:
    broken = {items[row].file: why for row, why in rows.failed.items() if row not in faceless}
    files = len({item.file for item in items})
    notes: list[str] = []
    if len(broken) > UNREADABLE * files:
        first = next(iter(broken.values()))
        raise DataError(f"{root}: {len(broken):,} of {files:,} images cannot be read, more than {UNREADABLE:.0%}; the first: {first}")
    if broken:
        first = next(iter(broken.values()))
        notes.append(Doubt(f"{len(broken):,} of {files:,} images cannot be read and are left out; the first: {first}"))
    if faceless:
        first = items[min(faceless)].file
        notes.append(f"in {len(faceless):,} of {len(items):,} images no face is found; they are left out; the first: {first}")
    if not len(rows.kept):
        raise DataError(f"{root}: no image is left ({'; '.join(notes)})")
    return notes


def require_population(path: str, asked: str | None, has: str, who: str) -> None:
    """DataError where a set that has only children (or adults) is asked for the others."""
    if asked not in (None, has):
        raise DataError(f"{path}: has no population {asked!r}: it has only {who}")


def describe_lacking(found: Sequence[FoundPicture], release: Release) -> list[str]:
    """What the official release has and this copy lacks, by number of files, subjects, splits and classes."""
    files = {each.file: each for each in found}.values()
    subjects = len({each.metadata.get("subject") for each in files} - {None})
    splits, classes = (Counter(each) for each in ([each.metadata.get("split") for each in files], [each.emotion for each in files]))
    wanted = [("images", release.images, len(files)), ("subjects", release.subjects, subjects)]
    wanted += [(f"{name} images", count, splits[name]) for name, count in release.splits.items()]
    wanted += [(f"images of {name}", count, classes[name]) for name, count in release.classes.items()]
    return [Doubt(f"{here:,} {what}, where the release has {count:,}") for what, count, here in wanted if count and here != count]


def describe_contradictions(root: Path, said: Sequence[tuple[str, str]], files: int) -> list[str]:
    """A note on the files whose names contradict what decides their labels; DataError where they are many. `said`: (file, how)."""
    if not said:
        return []
    first = f"{said[0][0]} ({said[0][1]})"
    if len(said) > max(1, CONTRADICTED * files):
        many = f"{len(said):,} of {files:,} files"
        raise DataError(f"{root}: {many} contradict their folders or tables; the first: {first}; is this the release?")
    return [Doubt(f"{len(said):,} of {files:,} files contradict their folders or tables, which are believed; the first: {first}")]


def describe_unnamed(names: Sequence[str], example: str) -> list[str]:
    """A note on files that are not named as the release names them, and are left out."""
    if not names:
        return []
    return [Doubt(f"{len(names):,} images are not named like {example} and are left out; the first: {names[0]}")]


def list_clip_frames(root: Path, file: str, emotion: str | None, metadata: dict[str, Any], frames: str) -> list[FoundPicture]:
    """The `frames` evenly spaced frames of a clip, which is a file, or a folder of its frames as pictures, in the order of their names."""
    if not frames.isdecimal() or not int(frames):
        raise DataError(f"{root}: frames={frames!r} is no number of frames, 1 or more")
    count = int(frames)
    if (root / file).is_dir():
        every = sorted(
            list_files(root, below=file), key=lambda each: [int(part) if part.isdecimal() else part for part in _make_natural_key(each)]
        )
        chosen = [every[place] for place in np.linspace(0, len(every) - 1, count).round().astype(int)]
        return [FoundPicture(each, emotion, metadata | {"frame": number}) for number, each in enumerate(chosen)]
    return [FoundPicture(file, emotion, metadata | {"frame": number}, number, count) for number in range(count)]


def _make_natural_key(name: str) -> list[str]:
    return re.split(r"(\d+)", name)


def select_by_age(
    file: Path, found: Sequence[FoundPicture], population: str | None, title: str
) -> tuple[list[FoundPicture], str, list[str]]:
    """The images of a population by a csv `file,age` (years): 12 or under, 25 or over. Also the data set's title, and notes.

    `file` is as in `source`, or the file's name alone. DataError for an image without an age.
    """
    ages = {name: parse_number(age, f"{file}, line {line}", "age", -1, 130) for line, (name, age) in read_columns(file, ("file", "age"))}
    aged = []
    for each in found:
        age = ages.get(each.file, ages.get(Path(each.file).name))
        if age is None:
            raise DataError(f"{file}: has no line for {each.file}; give each image its age")
        aged.append(replace(each, metadata=each.metadata | {"age": max(age, 0.0)}))
    if population is None:
        return aged, title, []
    chosen = [each for each in aged if (each.metadata["age"] <= CHILD if population == "children" else each.metadata["age"] >= ADULT)]
    years = f"{CHILD} or under" if population == "children" else f"{ADULT} or over"
    return chosen, f"{title}, {population} of {years}", [f"{population}: {len(chosen):,} of {len(found):,} images, by {file.name}"]
