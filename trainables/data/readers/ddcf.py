"""DDCF, Dartmouth Database of Children's Faces (Dalrymple et al. 2013): 80 children of 6 to 16 years, eight expressions, five views."""

import re
from pathlib import Path

from trainables.data.build_data_set import (
    FoundPicture,
    build_data_set,
    describe_contradictions,
    describe_lacking,
    describe_unnamed,
    require_population,
)
from trainables.data.dataset import DataError, FaceDataset, Release, register_reader
from trainables.data.files import list_files, require_folder

FOLDERS = {
    "afraid": "fear",
    "angry": "anger",
    "disgusted": "disgust",
    "happy": "happiness",
    "neutral": "neutral",
    "pleased": "pleased",
    "sad": "sadness",
    "surprised": "surprise",
}
TOKENS = {
    "afraid": "fear",
    "angry": "anger",
    "disgust": "disgust",
    "digust": "disgust",
    "happyteeth": "happiness",
    "happynoteeth": "pleased",
    "happy": "happiness",
    "neutral": "neutral",
    "pleased": "pleased",
    "sad": "sadness",
    "surprise": "surprise",
}
"""Expressions in the file names, including a misspelling in the release."""
VIEWS = ("far left", "far right", "front", "left", "right")
RELEASE = Release(images=6_366, subjects=80)
EXAMPLE = "Afraid/S04/S04_13yoM_Afraid_far left 1.jpg"

_NAME = re.compile(r"S(\d+)_(\d+)yo([MF])(?:_([A-Za-z]+))??(?:_exp)?_(far left|far right|front|left|right)\W*.*", re.IGNORECASE)


@register_reader(
    "ddcf",
    f"DDCF: folders with files like {EXAMPLE}; pleased=happiness: a smile without teeth is one",
    ("pleased", "crop", "landmarks"),
    source="faceblind.org, by request",
    licence="research; no redistribution",
    release=RELEASE,
)
def read_ddcf(
    path: str, *, size: int, colour: str, population: str | None = None, pleased: str = "", crop: str = "", landmarks: Path | None = None
) -> FaceDataset:
    """Read the photographs. Folder and file name both give the expression. Where they differ, the folder is used and the file is noted.

    "Pleased" (a smile without teeth) is a class of its own, `pleased`. With `pleased=happiness` it is part of happiness; with
    `pleased=drop` it is left out. Folders with "edited" in their names are ignored.

    Metadata: `source`, `subject`, `age` (true age in years), `sex`, `ethnicity` and `view`. Raises DataError with the file.
    """
    require_population(path, population, "children", "children, of 6 to 16 years")
    if pleased not in ("", "happiness", "drop"):
        raise DataError(f"{path}: pleased={pleased!r} is neither happiness nor drop")
    root = require_folder(path, f"folders with {EXAMPLE}")
    pictures, unnamed, contradictions = [], [], []
    children: dict[str, tuple[str, str]] = {}
    for file in list_files(root):
        parts = [part.lower() for part in Path(file).parts]
        if any("edited" in part for part in parts[:-1]):
            continue
        name = _NAME.fullmatch(Path(file).stem)
        folder_emotion = next((FOLDERS[part] for part in parts[:-1] if part in FOLDERS), None)
        token = (name[4] or "").lower() if name else ""
        if not name or (token and token not in TOKENS and not folder_emotion) or not (folder_emotion or token):
            unnamed.append(file)
            continue
        number, years, sex = str(int(name[1])), name[2], name[3].upper()
        if children.setdefault(number, (years, sex)) != (years, sex):
            raise DataError(
                f"{root / file}: S{number} is of {children[number][0]} years and {children[number][1]} in another file; one is misnamed"
            )
        emotion = folder_emotion or TOKENS[token]
        if folder_emotion and token in TOKENS and TOKENS[token] != folder_emotion:
            contradictions.append((file, f"its name says {TOKENS[token]}, its folder {folder_emotion}"))
        metadata = {"subject": f"S{int(number):02d}", "age": float(years), "sex": sex, "ethnicity": "caucasian", "view": name[5].lower()}
        pictures.append(FoundPicture(file, emotion, metadata))
    if not pictures:
        raise DataError(f"{root}: no image is named like {EXAMPLE}; found {unnamed[0] if unnamed else 'none'}")
    notes = [
        *describe_lacking(pictures, RELEASE),
        *describe_contradictions(root, contradictions, len(pictures)),
        *describe_unnamed(unnamed, EXAMPLE),
    ]
    if pleased:
        count = sum(picture.emotion == "pleased" for picture in pictures)
        notes.append(f"{count:,} pleased faces {'count as happiness' if pleased == 'happiness' else 'are left out'}")
        renamed = {"pleased": "happiness"} if pleased == "happiness" else {}
        pictures = [
            FoundPicture(picture.file, renamed.get(str(picture.emotion), picture.emotion), picture.metadata)
            for picture in pictures
            if pleased != "drop" or picture.emotion != "pleased"
        ]
    classes = set(FOLDERS.values()) - ({"pleased"} if pleased else set())
    title = "DDCF, children of 6 to 16"
    return build_data_set(
        root, pictures, title=title, size=size, colour=colour, classes=classes, notes=notes, crop=crop, landmarks=landmarks
    )
