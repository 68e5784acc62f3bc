"""Any folder of face images: an unlabelled pool, or additional images of one class."""

from pathlib import Path

import numpy as np
import pandas as pd

from trainables.data.build_data_set import PARTS, UNREADABLE, decode_pictures
from trainables.data.dataset import DataError, Doubt, FaceDataset, register_reader
from trainables.data.decode import Item
from trainables.data.files import COMMON, describe_skipped, list_files


@register_reader(
    "images",
    "any folder of cropped face images; unlabelled, or label=NAME for all; train/, val/, test/ in it are its split",
    ("label", "crop", "landmarks"),
    source="any folder (MegaFace was withdrawn by its authors in 2020)",
    licence="that of the images",
)
def read_images(
    path: str,
    *,
    size: int,
    colour: str,
    population: str | None = None,
    label: str = "",
    crop: str = "",
    landmarks: Path | None = None,
) -> FaceDataset:
    """Read every image below the folder, in the order of their paths, cropped to 1:1 and resized by `crop_square`.

    Without `label`, no image has a label (-1). If every image lies in a subfolder train, val or test, that subfolder is its official
    split. `population` is not verified, because a folder does not say who is a child. Hidden files and files without an image suffix
    are ignored. Unreadable images are skipped and counted in the notes.

    Metadata: `source` (path within the folder) and `split` if there is one. Raises DataError with the folder if it does not exist or
    holds no image, if only some images lie in a split, or if more than 5 % of the images are unreadable.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"{folder}: {'is a file, not a folder of images' if folder.exists() else 'no such folder'}")
    files = list_files(folder)
    if not files:
        raise DataError(f"{folder}: holds no image ({COMMON})")
    in_split = [file.split("/")[0] in PARTS and "/" in file for file in files]
    if any(in_split) and not all(in_split):
        raise DataError(f"{folder}: has a split ({', '.join(PARTS)}), but {files[in_split.index(False)]} lies outside it")

    rows, faceless = decode_pictures(folder, [Item(file) for file in files], size, colour, crop, landmarks)
    sources = [files[row] for row in rows.kept]
    unreadable = [reason for row, reason in rows.failed.items() if row not in faceless]
    skipped = f"{len(unreadable):,} of {len(files):,} images cannot be read"
    if len(unreadable) > UNREADABLE * len(files):
        raise DataError(f"{folder}: {skipped}, more than {UNREADABLE:.0%}; the first: {unreadable[0]}")
    notes: list[str] = [Doubt(f"{skipped} and are left out; the first: {unreadable[0]}")] if unreadable else []
    if faceless:
        notes.append(Doubt(f"in {len(faceless):,} of {len(files):,} images no face is found; they are left out"))
    notes += describe_skipped(folder, files)
    if not sources:
        raise DataError(f"{folder}: no image is left ({'; '.join(notes)})")
    metadata = pd.DataFrame({"source": sources})
    if all(in_split):
        metadata["split"] = [file.split("/")[0] for file in sources]
    title = ", ".join(filter(None, [f"images of {folder.name}", population, label or "unlabelled"]))
    labels = np.full(len(sources), 0 if label else -1)
    return FaceDataset(rows.values, labels, (label,) if label else (), metadata, title, tuple(notes), origin=rows.key)
