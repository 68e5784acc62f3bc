"""Check a copy of a data set: counts, sizes, duplicates, and what is missing. Draw a contact sheet of each class."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from platform.terminal.progress import format_count
from trainables.data import decoded_cache, duplicates
from trainables.data.dataset import DataError, Doubt, FaceDataset, find_reader
from trainables.data.source import Source
from trainables.storage.private_folder import choose_private, make_private, open_private

SHOWN, COLUMNS, CELL = 80, 16, 64
"""images on a contact sheet, images in a row, and pixels of an image's side"""


class DataFinding(NamedTuple):
    text: str
    doubt: bool = False


def check_data_set(source: Source, size: int, sheets: Path | None) -> Iterator[DataFinding]:
    """Yield all findings on a copy, read in colour at `size` pixels. Raises DataError where the copy cannot be read at all."""
    reader = find_reader(source.kind)
    if sheets and source.path and Path(sheets).absolute().is_relative_to(Path(source.path).absolute()):
        raise DataError(f"--sheets {sheets} lies in the data set's own folder; name another place")
    faces = source.read_faces(size, "rgb")
    yield DataFinding(f"{faces.title}: {len(faces):,} images of {len(faces.classes)} classes, fingerprint {faces.fingerprint}")
    if reader.licence:
        yield DataFinding(f"licence: {reader.licence}; ask for it: {reader.source}")
    yield from (DataFinding(note, isinstance(note, Doubt)) for note in faces.notes)
    yield from count_images(faces)
    yield from describe_subjects(faces)
    yield from describe_people(faces)
    yield from describe_sizes(source, faces)
    yield from find_copies(faces, "the same to the last bit", duplicates.find_identical(faces.images))
    yield from find_copies(faces, "the same to the last bit if one is mirrored", duplicates.find_mirrored(faces.images, faces.hashes))
    yield from find_copies(faces, "nearly the same", duplicates.find_near(faces.images, faces.hashes))
    folder = choose_private(sheets) if sheets else decoded_cache.get_cache_folder() / "sheets" / f"{source.kind}-{faces.fingerprint}"
    yield DataFinding(f"contact sheets: {folder}")
    draw_sheets(faces, folder)
    if dict(source.options).get("crop"):
        yield from draw_rejected(source, faces, size, folder)


def count_images(faces: FaceDataset) -> Iterator[DataFinding]:
    """Count images by class and part of the split."""
    names = np.array([*faces.classes, "unlabelled"], object)[faces.labels]
    parts = faces.metadata["split"].fillna("no part").to_numpy(str) if "split" in faces.metadata else np.full(len(faces), "all")
    for part in dict.fromkeys(parts):
        counts = Counter(names[parts == part])
        text = ", ".join(f"{name} {counts[name]:,}" for name in (*faces.classes, "unlabelled") if counts[name])
        yield DataFinding(f"{part}: {(parts == part).sum():,} images: {text}")
    for name in faces.classes:
        if not (names == name).any():
            yield DataFinding(f"class {name} has no image", True)


def describe_subjects(faces: FaceDataset) -> Iterator[DataFinding]:
    """Report the number of subjects, how many images each has, and subjects that are in two parts of the split."""
    if "subject" not in faces.metadata:
        return
    known = faces.metadata["subject"].dropna()
    counts = known.value_counts()
    unknown = len(faces) - len(known)
    yield DataFinding(
        f"{len(counts):,} subjects, {counts.min():,} to {counts.max():,} images each" + (f"; {unknown:,} without a subject" * bool(unknown))
    )
    if "sequence" in faces.metadata:
        lengths = faces.metadata["sequence"].value_counts()
        frames = f"{len(lengths):,} sequences of {lengths.min():,} to {lengths.max():,} images, which are nearly the same"
        yield DataFinding(f"{frames}: split by subject or sequence, not by image (--set by=subject)")
    if "split" in faces.metadata:
        parts = faces.metadata.groupby("subject")["split"].nunique()
        if len(divided := parts[parts > 1]):
            yield DataFinding(f"{len(divided):,} subjects are in two parts of the split, such as {divided.index[0]}", True)


def describe_people(faces: FaceDataset) -> Iterator[DataFinding]:
    """Report the metadata on the people in the images."""
    for field in ("sex", "age_group", "ethnicity"):
        if field in faces.metadata:
            values = ", ".join(f"{value} {count:,}" for value, count in faces.metadata[field].value_counts(dropna=False).items())
            yield DataFinding(f"{field}: {values.replace('nan', 'unknown')}")
    if "age" in faces.metadata and len(ages := faces.metadata["age"].dropna()):
        yield DataFinding(f"ages: {ages.min():g} to {ages.max():g} years, median {ages.median():g}")


def describe_sizes(source: Source, faces: FaceDataset) -> Iterator[DataFinding]:
    """Report the sizes of the picture files, where the metadata name files, and the number of animated ones."""
    root = Path(source.path)
    sizes: Counter[str] = Counter()
    animated = 0
    folders = [root, *(sorted(entry for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else [])]
    for name in faces.metadata["source"]:
        file = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if file is None:
            return
        with suppress(Exception), Image.open(file) as picture:  # decoders may raise any exception for a damaged file
            sizes[f"{picture.width}x{picture.height}"] += 1
            animated += getattr(picture, "n_frames", 1) > 1
    if sizes:
        common = ", ".join(f"{size} {count:,}" for size, count in sizes.most_common(5))
        yield DataFinding(f"sizes: {common}" + (f" and {len(sizes) - 5:,} others" if len(sizes) > 5 else ""))
    if animated:
        yield DataFinding(f"{format_count(animated, 'picture')} {'is' if animated == 1 else 'are'} animated; the first frame is used", True)


def find_copies(faces: FaceDataset, how: str, groups: Sequence[np.ndarray]) -> Iterator[DataFinding]:
    """Report groups of copies, and which of them lie across parts of the split or have different labels.

    Frames of one clip are not copies.
    """
    metadata = faces.metadata
    if (sequence := next((name for name in ("clip", "sequence") if name in metadata), None)) is not None:
        groups = [group for group in groups if metadata[sequence].iloc[group].nunique() > 1]
    if not groups:
        yield DataFinding(f"no two images are {how}")
        return
    across_parts = [group for group in groups if _have_different_values(metadata, "split", group)]
    disagreeing = [group for group in groups if len(set(faces.labels[group])) > 1]
    images = sum(map(len, groups))
    first = " and ".join(metadata["source"].iloc[groups[0][:2]])
    yield DataFinding(
        f"{format_count(len(groups), 'group')} of images {'is' if len(groups) == 1 else 'are'} {how} ({images:,} images), such as {first}"
    )
    parts = metadata["split"].to_numpy(object) if "split" in metadata else faces.labels
    for affected, fault, values in (
        (across_parts, "lie across parts of the split", parts),
        (disagreeing, "carry different labels", faces.labels),
    ):
        if affected:
            other = next(row for row in affected[0] if values[row] != values[affected[0][0]])
            example = " and ".join(metadata["source"].iloc[[affected[0][0], other]])
            yield DataFinding(f"{len(affected):,} of these groups {fault}, such as {example}", "bit" in how)


def _have_different_values(metadata: pd.DataFrame, name: str, rows: np.ndarray) -> bool:
    return name in metadata and metadata[name].iloc[rows].nunique() > 1


def draw_sheets(faces: FaceDataset, place: Path) -> None:
    """Draw a contact sheet of each class from evenly spaced images of the class."""
    make_private(place)
    for code, name in ((-1, "unlabelled"), *enumerate(faces.classes)):
        rows = np.flatnonzero(faces.labels == code)
        if len(rows):
            sample = rows[np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).round().astype(int)]
            save_sheet(faces.images[sample], place / f"{name}.png")


def save_sheet(images: np.ndarray, file: Path) -> None:
    """Save images, uint8 [n, 3, s, s], as one picture with COLUMNS images in a row."""
    sheet = np.full((-(-len(images) // COLUMNS) * CELL, min(COLUMNS, len(images)) * CELL, 3), 255, np.uint8)
    for number, image in enumerate(images):
        y, x = number // COLUMNS * CELL, number % COLUMNS * CELL
        sheet[y : y + CELL, x : x + CELL] = cv2.resize(image.transpose(1, 2, 0), (CELL, CELL), interpolation=cv2.INTER_AREA)
    with open_private(file, "wb") as out:
        Image.fromarray(sheet).save(out, "PNG")


def draw_rejected(source: Source, faces: FaceDataset, size: int, place: Path) -> Iterator[DataFinding]:
    """Draw the images in which no face was found on a separate sheet."""
    uncropped = replace(source, options=tuple(option for option in source.options if option[0] != "crop")).read_faces(size, "rgb")
    rows = np.flatnonzero(~uncropped.metadata["source"].isin(faces.metadata["source"]).to_numpy())
    if len(rows):
        save_sheet(uncropped.images[rows[: 4 * SHOWN]], place / "rejected.png")
        yield DataFinding(f"{len(rows):,} images without a face: {place / 'rejected.png'}")
