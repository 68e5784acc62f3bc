"""Any folder of face images: an unlabelled pool, or further images of one class."""

from pathlib import Path

import numpy as np
import pandas as pd

from trainables.data.dataset import SUFFIXES, DataError, Doubt, FaceDataset, register_reader
from trainables.data.decode import Item
from trainables.data.files import list_files
from trainables.data.gather import PARTS, UNREADABLE, decode_pictures


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
    """Read every image below the folder, cut to 1:1 and resized by `crop_square`, in the order of their paths.

    Without `label` no image has one (-1). Where each image lies in a folder train, val or test of the given one, that is its official
    split. `population` is taken on trust: a folder does not say who is a child. Hidden files and files that are no images by their
    suffix are passed over; images that cannot be read are skipped and counted in the notes.

    Facts: `source` (path within the folder) and `split` where there is one. Raises DataError naming the folder: no such folder, no
    image in it, some images in a split and some not, or more than 5 % of the images unreadable.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"{folder}: {'is a file, not a folder of images' if folder.exists() else 'no such folder'}")
    files = list_files(folder)
    if not files:
        raise DataError(f"{folder}: holds no image ({', '.join(sorted(SUFFIXES))})")
    inside = [file.split("/")[0] in PARTS and "/" in file for file in files]
    if any(inside) and not all(inside):
        raise DataError(f"{folder}: has a split ({', '.join(PARTS)}), but {files[inside.index(False)]} lies outside it")

    rows, faceless = decode_pictures(folder, [Item(file) for file in files], size, colour, crop, landmarks)
    kept = [files[row] for row in rows.kept]
    broken = [why for row, why in rows.failed.items() if row not in faceless]
    skipped = f"{len(broken):,} of {len(files):,} images cannot be read"
    if len(broken) > UNREADABLE * len(files):
        raise DataError(f"{folder}: {skipped}, more than {UNREADABLE:.0%}; the first: {broken[0]}")
    notes = [Doubt(f"{skipped} and are left out; the first: {broken[0]}")] if broken else []
    if faceless:
        notes.append(Doubt(f"in {len(faceless):,} of {len(files):,} images no face is found; they are left out"))
    if not kept:
        raise DataError(f"{folder}: no image is left ({'; '.join(notes)})")
    metadata = pd.DataFrame({"source": kept})
    if all(inside):
        metadata["split"] = [file.split("/")[0] for file in kept]
    title = ", ".join(filter(None, [f"images of {folder.name}", population, label or "unlabelled"]))
    labels = np.full(len(kept), 0 if label else -1)
    return FaceDataset(rows.values, labels, (label,) if label else (), metadata, title, tuple(notes), origin=rows.key)
