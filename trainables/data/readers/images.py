"""Any folder of face images: an unlabelled pool, or further images of one class."""

from pathlib import Path

import numpy as np
import pandas as pd

from trainables.data.dataset import SUFFIXES, DataError, Faces, decode, reader, square

PARTS = ("train", "val", "test")
UNREADABLE = 0.05
"""share of the files that may be unreadable: a few broken downloads are skipped, a folder of something else is refused"""


@reader(
    "images", "any folder of cropped face images; unlabelled, or label=NAME for all; train/, val/, test/ in it are its split", ("label",)
)
def read(path: str, *, size: int, colour: str, population: str | None = None, label: str = "") -> Faces:
    """Read every image below the folder, cut to 1:1 and resized by `square`, in the order of their paths.

    Without `label` no image has one (-1). Where each image lies in a folder train, val or test of the given one, that is its official
    split. `population` is taken on trust: a folder does not say who is a child. Hidden files and files that are no images by their
    suffix are passed over; images that cannot be read are skipped and counted in the notes.

    Facts: `source` (path within the folder) and `split` where there is one. Raises DataError naming the folder: no such folder, no
    image in it, some images in a split and some not, or more than 5 % of the images unreadable.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"{folder}: {'is a file, not a folder of images' if folder.exists() else 'no such folder'}")
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    files = [file for file in files if not any(part.startswith(".") for part in file.split("/"))]
    if not files:
        raise DataError(f"{folder}: holds no image ({', '.join(sorted(SUFFIXES))})")
    inside = [file.split("/")[0] in PARTS and "/" in file for file in files]
    if any(inside) and not all(inside):
        raise DataError(f"{folder}: has a split ({', '.join(PARTS)}), but {files[inside.index(False)]} lies outside it")

    images = np.empty((len(files), 1 if colour == "grey" else 3, size, size), np.uint8)  # at once: a pool may fill half the memory
    kept: list[str] = []
    first = ""
    for file in files:
        try:
            images[len(kept)] = square(decode(folder / file, size), size, colour)
            kept.append(file)
        except DataError as error:
            first = first or str(error)
    skipped = len(files) - len(kept)
    if skipped > UNREADABLE * len(files):
        raise DataError(f"{folder}: {skipped:,} of {len(files):,} images cannot be read, more than {UNREADABLE:.0%}; the first: {first}")
    facts = pd.DataFrame({"source": kept})
    if all(inside):
        facts["split"] = [file.split("/")[0] for file in kept]
    title = ", ".join(filter(None, [f"images of {folder.name}", population, label or "unlabelled"]))
    notes = (f"{skipped:,} of {len(files):,} images cannot be read and are left out; the first: {first}",) if skipped else ()
    labels = np.full(len(kept), 0 if label else -1)
    return Faces(images[: len(kept)], labels, (label,) if label else (), facts, title, notes)
