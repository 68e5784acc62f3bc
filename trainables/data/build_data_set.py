"""Build a data set in memory from the pictures that a reader found (file, expression, metadata)."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trainables.data import decoded_cache
from trainables.data.dataset import CLASSES, DataError, Doubt, FaceDataset, Release
from trainables.data.decode import CENTRE, CROPS, Box, DecodeOptions, Item
from trainables.data.files import describe_skipped, list_files, parse_number, read_columns
from trainables.data.landmarks import assign_boxes

PARTS = ("train", "val", "test")
UNREADABLE = 0.05
"""Maximum share of unreadable files. A few broken downloads are left out. A folder of other content is refused."""
CHILD, ADULT = 12, 25
"""Years. By an estimated age, children are this old or younger and adults this old or older. Ages in between are uncertain."""
CONTRADICTED = 0.05
"""Maximum share of files whose names contradict their folders. A few errors are noted. More of them indicate a wrong copy."""


@dataclass(frozen=True)
class FoundPicture:
    """One picture that a reader found."""

    file: str
    """path within the data set's folder"""
    emotion: str | None
    """canonical name, or one of the data set's own; None if not labelled"""
    metadata: dict[str, Any] = field(default_factory=dict)
    frame: int = 0
    of: int = 0
    """number of frames taken from the clip; 0: `file` is a picture"""
    box: Box | None = None


def order_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Return class names in the canonical order, then a data set's own in alphabetical order."""
    present = set(names)
    return tuple(name for name in CLASSES if name in present) + tuple(sorted(present - set(CLASSES)))


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
    """Decode the found pictures to a data set. Its rows are in the order train, val, test, and within these in the order found.

    The first metadata column is `source`, the file within `root` (and `#k` for frame k of a clip). Pictures that cannot be read, or in
    which `crop` detects no face, are left out and noted. Raises DataError if more than 5 % of the files cannot be read, or none is left.
    """
    notes = list(notes)
    if not found:
        raise DataError(f"{root}: no image is left ({'; '.join(notes) or 'none was found'})")
    if any("split" in picture.metadata for picture in found):
        # In this order, each part is one piece of the cache file.
        found = sorted(found, key=lambda picture: PARTS.index(picture.metadata["split"]))
    items = [Item(picture.file, picture.frame, picture.of, picture.box) for picture in found]
    rows, faceless = decode_pictures(root, items, size, colour, crop, landmarks)
    notes += _describe_left_out(root, items, rows, faceless) + describe_skipped(root, (picture.file for picture in found if not picture.of))
    pictures = [found[row] for row in rows.kept]
    metadata = pd.DataFrame(
        [{"source": f"{picture.file}#{picture.frame}" if picture.of else picture.file, **picture.metadata} for picture in pictures]
    )
    for name in ("mouth_open",):
        if name in metadata:
            metadata[name] = metadata[name].astype("boolean")
    metadata = metadata.dropna(axis="columns", how="all")
    names = order_classes(classes)
    code = {name: number for number, name in enumerate(names)} | {None: -1}
    labels = np.array([code[picture.emotion] for picture in pictures], np.int64)
    return FaceDataset(rows.values, labels, names, metadata, title, tuple(notes), origin=rows.key)


def decode_pictures(
    root: Path, items: Sequence[Item], size: int, colour: str, crop: str = "", landmarks: Path | None = None, offset: float = CENTRE
) -> tuple[decoded_cache.DecodedRows, set[int]]:
    """Return the items' pictures, and the indices of the items in which `crop` detected no face.

    `crop` is one of CROPS. `landmarks` is a file of boxes or eyes to use instead (`landmarks.assign_boxes`). Without them, pictures are cut
    to a square at `offset` (`decode.crop_square`).
    """
    if crop not in CROPS:
        raise DataError(f"crop={crop}: no such way to cut faces out (known: {', '.join(CROPS[1:])}; or landmarks=FILE)")
    if crop and landmarks:
        raise DataError(f"crop={crop} and landmarks={landmarks} are both given; one of them decides what is cut out")
    if crop:
        boxes = decoded_cache.decode_rows(root, items, DecodeOptions(0, crop=crop))
        detected = [(int(row), box.tolist()) for row, box in zip(boxes.kept, boxes.values, strict=True)]
        faces = [items[row]._replace(box=tuple(box)) for row, box in detected if box[2] > 0]
        face_rows = np.array([row for row, box in detected if box[2] > 0], np.int64)
        faceless = {row for row, box in detected if box[2] <= 0}
        rows = decoded_cache.decode_rows(root, faces, DecodeOptions(size, colour))
        failed = boxes.failed | {int(face_rows[row]): reason for row, reason in rows.failed.items()}
        failed |= {row: f"{root / items[row].file}: no face is found in it" for row in faceless}
        return decoded_cache.DecodedRows(rows.values, face_rows[rows.kept], dict(sorted(failed.items())), rows.key), faceless
    if landmarks:
        items = assign_boxes(landmarks, items)
    return decoded_cache.decode_rows(root, items, DecodeOptions(size, colour, offset=offset)), set()


def _describe_left_out(root: Path, items: Sequence[Item], rows: decoded_cache.DecodedRows, faceless: set[int]) -> list[str]:
    broken = {items[row].file: reason for row, reason in rows.failed.items() if row not in faceless}
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
    """Raise DataError if a set that has only children (or only adults) is asked for the others."""
    if asked not in (None, has):
        raise DataError(f"{path}: has no population {asked!r}: it has only {who}")


def describe_lacking(found: Sequence[FoundPicture], release: Release) -> list[str]:
    """Return notes on what the official release has and this copy lacks, by number of files, subjects, splits and classes."""
    files = {picture.file: picture for picture in found}.values()
    subjects = len({picture.metadata.get("subject") for picture in files} - {None})
    splits, classes = (
        Counter(values) for values in ([picture.metadata.get("split") for picture in files], [picture.emotion for picture in files])
    )
    expected = [("images", release.images, len(files)), ("subjects", release.subjects, subjects)]
    expected += [(f"{name} images", count, splits[name]) for name, count in release.splits.items()]
    expected += [(f"images of {name}", count, classes[name]) for name, count in release.classes.items()]
    return [Doubt(f"{actual:,} {noun}, where the release has {count:,}") for noun, count, actual in expected if count and actual != count]


def describe_contradictions(root: Path, said: Sequence[tuple[str, str]], files: int) -> list[str]:
    """Return a note on files whose names contradict what decides their labels. `said` lists (file, how).

    Raises DataError for more than one such file if their share exceeds CONTRADICTED.
    """
    if not said:
        return []
    first = f"{said[0][0]} ({said[0][1]})"
    if len(said) > max(1, CONTRADICTED * files):
        count = f"{len(said):,} of {files:,} files"
        raise DataError(f"{root}: {count} contradict their folders or tables; the first: {first}; is this the release?")
    return [Doubt(f"{len(said):,} of {files:,} files contradict their folders or tables, which are believed; the first: {first}")]


def describe_unnamed(names: Sequence[str], example: str) -> list[str]:
    """Return a note on files that are not named as in the release and are left out."""
    if not names:
        return []
    return [Doubt(f"{len(names):,} images are not named like {example} and are left out; the first: {names[0]}")]


def list_clip_frames(root: Path, file: str, emotion: str | None, metadata: dict[str, Any], frames: str) -> list[FoundPicture]:
    """Return `frames` evenly spaced frames of a clip.

    The clip is a file, or a folder of its frames as pictures, in the natural order of their names.
    """
    if not frames.isdecimal() or not int(frames):
        raise DataError(f"{root}: frames={frames!r} is not a number of frames, 1 or more")
    count = int(frames)
    if (root / file).is_dir():
        paths = sorted(
            list_files(root, below=file), key=lambda path: [int(part) if part.isdecimal() else part for part in _make_natural_key(path)]
        )
        chosen = [paths[index] for index in np.linspace(0, len(paths) - 1, count).round().astype(int)]
        return [FoundPicture(path, emotion, metadata | {"frame": number}) for number, path in enumerate(chosen)]
    return [FoundPicture(file, emotion, metadata | {"frame": number}, number, count) for number in range(count)]


def _make_natural_key(name: str) -> list[str]:
    return re.split(r"(\d+)", name)


def is_of_population(years: Any, population: str) -> Any:
    """Return whether an age in years, or each of an array of ages, is of children (12 or under) or of adults (25 or over)."""
    return years <= CHILD if population == "children" else years >= ADULT


def select_by_age(
    file: Path, found: Sequence[FoundPicture], population: str | None, title: str
) -> tuple[list[FoundPicture], str, list[str]]:
    """Return the images of a population by a csv `file,age` (years): 12 or under, 25 or over. Also return the data set's title, and notes.

    The csv's `file` is as in `source`, or the file's name alone. Raises DataError for an image without an age.
    """
    ages = {name: parse_number(age, f"{file}, line {line}", "age", -1, 130) for line, (name, age) in read_columns(file, ("file", "age"))}
    aged = []
    for picture in found:
        age = ages.get(picture.file, ages.get(Path(picture.file).name))
        if age is None:
            raise DataError(f"{file}: has no line for {picture.file}; give each image its age")
        aged.append(replace(picture, metadata=picture.metadata | {"age": max(age, 0.0)}))
    if population is None:
        return aged, title, []
    chosen = [picture for picture in aged if is_of_population(picture.metadata["age"], population)]
    years = f"{CHILD} or under" if population == "children" else f"{ADULT} or over"
    return chosen, f"{title}, {population} of {years}", [f"{population}: {len(chosen):,} of {len(found):,} images, by {file.name}"]
