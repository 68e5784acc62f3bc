"""Any folder of classes: CLASS/..., or train/CLASS/..., val/CLASS/..., test/CLASS/... NovaEmotions, ENIC and others come in this form."""

import re
from collections import Counter
from pathlib import Path

from trainables.data.build_data_set import FoundPicture, build_data_set
from trainables.data.dataset import DataError, FaceDataset, register_reader
from trainables.data.files import compile_subject, describe_skipped, list_files, read_columns, require_folder

PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
SYNONYMS = {
    "anger": ("angry", "anger"),
    "contempt": ("contempt", "contemptuous"),
    "disgust": ("disgust", "disgusted"),
    "fear": ("fear", "fearful", "afraid", "scared"),
    "happiness": ("happiness", "happy", "joy", "joyful"),
    "neutral": ("neutral", "neutrality", "normal"),
    "sadness": ("sadness", "sad"),
    "surprise": ("surprise", "surprised"),
}
NAMES = {word: name for name, words in SYNONYMS.items() for word in words}
"""Known folder names in lower case, with their classes. Any other name is a class of its own."""


@register_reader(
    "folders",
    "any folder of classes: CLASS/... or train|val|test/CLASS/...; labels=FILE of folder,label; subject=PATTERN finds it in the path",
    ("labels", "subject", "crop", "landmarks"),
    source="any folder (NovaEmotions is no longer public)",
    licence="that of the images",
)
def read_folders(
    path: str,
    *,
    size: int,
    colour: str,
    population: str | None = None,
    labels: Path | None = None,
    subject: str = "",
    crop: str = "",
    landmarks: Path | None = None,
) -> FaceDataset:
    """Read every image. Its class is the folder below the root (or below train, val, test), however deep the image lies.

    The usual names of expressions are understood in upper and lower case (angry, Happy, afraid). Other names are classes of their own,
    and are noted. Numbers are refused, because they mean different classes in different copies; name them by `labels`, a csv
    `folder,label`, in which the label "-" leaves a folder out. `subject` is a regular expression; the first group of its match in the
    path is the person. `population` is not verified.

    Metadata: `source`, and `split` and `subject` where known. Raises DataError with the folder or file.
    """
    root = require_folder(path, "folders that are classes")
    renamed = _read_labels(labels) if labels else {}
    pattern = compile_subject(subject, path, "no regular expression")
    pictures: list[FoundPicture] = []
    files_by_split: dict[str, list[str]] = {}
    for file in list_files(root):
        *folders, _ = file.split("/")
        split = PARTS.get(folders[0].lower()) if folders else None
        if len(folders) < 1 + bool(split):
            raise DataError(f"{root / file}: lies in no folder of a class; for unlabelled images use the kind images")
        emotion = _find_class(folders[bool(split)], renamed, root, labels)
        if emotion == "-":
            continue
        metadata = {"split": split} if split else {}
        if subject:
            if not (person := pattern.search(file)):
                raise DataError(f"{root / file}: subject={subject} finds no person in this path")
            metadata["subject"] = person[1]
        files_by_split.setdefault(split or "", []).append(file)
        pictures.append(FoundPicture(file, emotion, metadata))
    if len(files_by_split) > 1 and "" in files_by_split:
        raise DataError(f"{root}: has a split, but {files_by_split[''][0]} lies outside it")
    if not pictures:
        raise DataError("; ".join([f"{root}: holds no image in a folder of a class", *describe_skipped(root, ())]))
    _check_depth(root, [picture.file for picture in pictures])
    classes = Counter(str(picture.emotion) for picture in pictures)
    own_classes = sorted(set(classes) - set(SYNONYMS))
    notes = [f"classes of its own, beside the eight usual ones: {', '.join(own_classes)}"] if own_classes else []
    title = ", ".join(filter(None, (f"images of {root.name}", population)))
    return build_data_set(
        root, pictures, title=title, size=size, colour=colour, classes=classes, notes=notes, crop=crop, landmarks=landmarks
    )


def _check_depth(root: Path, files: list[str]) -> None:
    """Raise DataError if all classes lie one or more folders deeper, as in archive/images/train/anger, and name the folder meant."""
    depth, common = 0, files[0].split("/")[:-1]
    while (
        depth < len(common)
        and common[depth].lower() not in PARTS
        and all(file.count("/") > depth and file.split("/")[depth] == common[depth] for file in files)
    ):
        depth += 1
    inner = {name for file in files for name in file.split("/")[depth:-1][:1]}
    if depth and common[0].lower() not in PARTS | NAMES and {name.lower() for name in inner} & {*PARTS, *NAMES}:
        below = "/".join(common[:depth])
        raise DataError(f"{root}: its classes lie in {below}, as {', '.join(sorted(inner)[:3])}; name that folder: folders:{root / below}")


def _find_class(name: str, renamed: dict[str, str], root: Path, labels: Path | None) -> str:
    key = name.lower().strip()
    if key in renamed:
        return renamed[key]
    if labels:
        raise DataError(f"{labels}: has no line for the folder {name!r} of {root}")
    if key in NAMES:
        return NAMES[key]
    if not any(letter.isalpha() for letter in key):
        raise DataError(
            f"{root}: the folder {name!r} is not a class by its name, and numbers mean another one in every copy; give labels=FILE"
        )
    return re.sub(r"\W+", "_", key)


def _read_labels(file: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    for line, (name, label) in read_columns(file, ("folder", "label")):
        if names.setdefault(name.lower(), label) != label or not label:
            raise DataError(f"{file}, line {line}: the folder {name!r} has {'a second label' if label else 'no label'}")
    return {name: NAMES.get(label.lower(), label) for name, label in names.items()}
