"""NIMH-ChEFS (Egger et al. 2011): 59 children of 10 to 17 years, five expressions, gaze straight or averted."""

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

FOLDERS = {"afraid": "fear", "angry": "anger", "happy": "happiness", "neutral": "neutral", "sad": "sadness"}
GAZES = {"direct": "straight", "averted": "averted"}
LETTERS = {"F": "fear", "A": "anger", "H": "happiness", "N": "neutral", "S": "sadness"}
"""of the name: F is afraid, A is angry"""
RELEASE = Release(images=534)
SLIPS = {"F6_2FA_5449": "M6"}
"""file names of the release that say another child than is in the picture"""
EXAMPLE = "Happy_direct/F10HS_4372.jpg"

_SUBJECT = re.compile(r"([FM])(\d{1,2})(?!\d)", re.IGNORECASE)
_EMOTION = re.compile(r"[FM]\d{1,2}[_-]?\d?[_-]?([FAHNS])", re.IGNORECASE)


@register_reader(
    "nimh_chefs",
    f"NIMH-ChEFS: folders EMOTION_GAZE with files like {EXAMPLE}",
    ("crop", "landmarks"),
    source="devepi.duhs.duke.edu/measures/nimh-chefs, by request",
    licence="research; no redistribution",
    release=RELEASE,
)
def read_nimh_chefs(
    path: str, *, size: int, colour: str, population: str | None = None, crop: str = "", landmarks: Path | None = None
) -> FaceDataset:
    """Read the photographs: the folder says expression and gaze, the name says who; some names of the release are wrong in the rest.

    A file whose letter contradicts its folder is noted (many are refused). A name that starts with no child, such as DSC_4644.JPG (a
    copy), is left out. Facts: `source`, `subject` (such as F10), `sex`, `gaze` (straight or averted). DataError names the file.
    """
    require_population(path, population, "children", "children, of 10 to 17 years")
    root = require_folder(path, f"folders with {EXAMPLE}")
    found, other, wrong = [], [], []
    for file in list_files(root):
        parts, stem = Path(file).parts, Path(file).stem
        place = re.fullmatch(r"([a-z]+)[_ ](direct|averted)", parts[-2].lower()) if len(parts) > 1 else None
        if not place or place[1] not in FOLDERS:
            other.append(file)
            continue
        subject = _SUBJECT.match(SLIPS.get(stem, stem))
        if not subject:
            other.append(file)
            continue
        emotion, letter = FOLDERS[place[1]], _EMOTION.match(stem)
        if letter and LETTERS[letter[1].upper()] != emotion:
            wrong.append((file, f"its name says {LETTERS[letter[1].upper()]}"))
        metadata = {"subject": f"{subject[1].upper()}{int(subject[2]):02d}", "sex": subject[1].upper(), "gaze": GAZES[place[2]]}
        found.append(FoundPicture(file, emotion, metadata))
    if not found:
        raise DataError(f"{root}: no image lies in a folder as in {EXAMPLE}; found {other[0] if other else 'none'}")
    notes = [*describe_lacking(found, RELEASE), *describe_contradictions(root, wrong, len(found)), *describe_unnamed(other, EXAMPLE)]
    title, classes = "NIMH-ChEFS, children of 10 to 17", FOLDERS.values()
    return build_data_set(root, found, title=title, size=size, colour=colour, classes=classes, notes=notes, crop=crop, landmarks=landmarks)
