"""DDCF, the Dartmouth Database of Children's Faces (Dalrymple et al. 2013): 80 children of 6 to 16 years, eight expressions, five views."""

import re
from pathlib import Path

from trainables.data.dataset import DataError, FaceDataset, Release, register_reader
from trainables.data.files import list_files, require_folder
from trainables.data.gather import (
    FoundPicture,
    build_data_set,
    describe_contradictions,
    describe_lacking,
    describe_unnamed,
    require_population,
)

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
"""of the file names, a slip of the release among them"""
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
    """Read the photographs; the folder says the expression, and the name, too: where they differ, the folder is believed and a note made.

    "Pleased" (a smile without teeth) is a class of its own, `pleased`, or with `pleased=happiness` part of happiness, or with
    `pleased=drop` left out. Folders called "edited" are passed over.

    Facts: `source`, `subject`, `age` (years, true ages), `sex`, `ethnicity` and `view`. DataError names the file.
    """
    require_population(path, population, "children", "children, of 6 to 16 years")
    if pleased not in ("", "happiness", "drop"):
        raise DataError(f"{path}: pleased={pleased!r} is neither happiness nor drop")
    root = require_folder(path, f"folders with {EXAMPLE}")
    found, other, wrong = [], [], []
    who: dict[str, tuple[str, str]] = {}
    for file in list_files(root):
        parts = [part.lower() for part in Path(file).parts]
        if any("edited" in part for part in parts[:-1]):
            continue
        name = _NAME.fullmatch(Path(file).stem)
        said = next((FOLDERS[part] for part in parts[:-1] if part in FOLDERS), None)
        token = (name[4] or "").lower() if name else ""
        if not name or (token and token not in TOKENS and not said) or not (said or token):
            other.append(file)
            continue
        number, years, sex = str(int(name[1])), name[2], name[3].upper()
        if who.setdefault(number, (years, sex)) != (years, sex):
            raise DataError(f"{root / file}: S{number} is of {who[number][0]} years and {who[number][1]} in another file; one is misnamed")
        emotion = said or TOKENS[token]
        if said and token in TOKENS and TOKENS[token] != said:
            wrong.append((file, f"its name says {TOKENS[token]}, its folder {said}"))
        metadata = {"subject": f"S{int(number):02d}", "age": float(years), "sex": sex, "ethnicity": "caucasian", "view": name[5].lower()}
        found.append(FoundPicture(file, emotion, metadata))
    if not found:
        raise DataError(f"{root}: no image is named like {EXAMPLE}; found {other[0] if other else 'none'}")
    notes = [*describe_lacking(found, RELEASE), *describe_contradictions(root, wrong, len(found)), *describe_unnamed(other, EXAMPLE)]
    if pleased:
        count = sum(each.emotion == "pleased" for each in found)
        notes.append(f"{count:,} pleased faces {'count as happiness' if pleased == 'happiness' else 'are left out'}")
        renamed = {"pleased": "happiness"} if pleased == "happiness" else {}
        found = [
            FoundPicture(each.file, renamed.get(str(each.emotion), each.emotion), each.metadata)
            for each in found
            if pleased != "drop" or each.emotion != "pleased"
        ]
    classes = set(FOLDERS.values()) - ({"pleased"} if pleased else set())
    title = "DDCF, children of 6 to 16"
    return build_data_set(root, found, title=title, size=size, colour=colour, classes=classes, notes=notes, crop=crop, landmarks=landmarks)
