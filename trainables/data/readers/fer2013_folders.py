"""FER2013 as folders of pictures, a form in circulation: train/angry/Training_1021836.jpg, test/angry/PublicTest_88305960.jpg."""

import re
from dataclasses import replace
from pathlib import Path

from trainables.data.build_data_set import FoundPicture, build_data_set, describe_lacking
from trainables.data.dataset import DataError, Doubt, FaceDataset, register_reader
from trainables.data.files import list_files, require_folder
from trainables.data.readers import fer2013
from trainables.data.readers.folders import NAMES, PARTS

CLASSES = tuple(fer2013.CODES.values())
EXAMPLE = "train/angry/Training_1021836.jpg"

_NAME = re.compile(r"(Training|PublicTest|PrivateTest)_\d+", re.IGNORECASE)
_USAGE = {name.lower(): split for name, split in fer2013.SPLITS.items()}


@register_reader(
    "fer2013_folders",
    f"FER2013 as folders of pictures: {EXAMPLE}, or train/angry/im0.png; part=train for the training images",
    options=("part",),
    source="as fer2013",
    licence="as fer2013",
    release=fer2013.RELEASE,
)
def read_fer2013_folders(path: str, *, size: int, colour: str, population: str | None = None, part: str | None = None) -> FaceDataset:
    """Read the pictures in the class folders. The split is given by the start of the file name, or else by the folder.

    Copies and constant images are dropped as in the kind fer2013. The numbers in the names are not the csv's rows, so no ages can be
    joined: "adults" means every image. `part` (train, val, test) keeps one part of the official split. Files named like X.jpg3.jpg,
    which come from someone's augmentation, are left out. Metadata: `source`, `split`. Raises DataError with the file.
    """
    if population == "children":
        raise DataError(f"{path}: FER2013 in folders does not say who is a child; the kind fer2013 takes ages=FILE")
    root = require_folder(path, f"folders with {EXAMPLE}")
    pictures, augmented = [], 0
    for file in list_files(root):
        parts = file.split("/")
        if re.search(r"\.(jpg|jpeg|png)\d*$", Path(file).stem, re.IGNORECASE):
            augmented += 1
            continue
        name = _NAME.fullmatch(Path(file).stem)
        emotion = NAMES.get(parts[-2].lower()) if len(parts) > 1 else None
        split = _USAGE[name[1].lower()] if name else PARTS.get(parts[0].lower())
        if emotion not in CLASSES or split is None:
            raise DataError(f"{root / file}: is in no folder of a class and of a part, as in {EXAMPLE}")
        folder_split = PARTS.get(parts[0].lower())
        if name and folder_split and (folder_split == "train") != (split == "train"):
            raise DataError(f"{root / file}: its name says {name[1]}, its folder {parts[0]}; one of them is wrong")
        pictures.append(FoundPicture(file, emotion, {"split": split}))
    if not pictures:
        raise DataError(f"{root}: holds no picture like {EXAMPLE}")
    notes = describe_lacking(pictures, fer2013.RELEASE)
    notes += [Doubt(f"{augmented:,} pictures that an augmentation made are left out")] if augmented else []
    notes += ["adults: used whole, children among them: no ages are known"] if population else []
    faces = build_data_set(root, pictures, title="FER2013", size=size, colour=colour, classes=CLASSES, notes=notes)
    keep, dropped = fer2013.find_distinct(faces.images[:, 0], faces.labels, faces.metadata["split"].tolist())
    title = faces.title
    if part is not None:
        title, keep = f"{title}, part {part}", keep & fer2013.select_part(faces.metadata["split"], part, path)
        if not keep.any():
            raise DataError(f"{root}: holds no picture of the part {part}")
    if keep.all():
        return replace(faces, title=title)
    metadata = faces.metadata.loc[keep].reset_index(drop=True)
    return FaceDataset(faces.images[keep], faces.labels[keep], faces.classes, metadata, title, (*faces.notes, *dropped))
