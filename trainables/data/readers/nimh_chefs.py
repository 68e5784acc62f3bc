"""NIMH-ChEFS (Egger et al. 2011): 59 children of 10 to 17 years, five expressions, gaze straight or averted."""

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

FOLDERS = {"afraid": "fear", "angry": "anger", "happy": "happiness", "neutral": "neutral", "sad": "sadness"}
GAZES = {"direct": "straight", "averted": "averted"}
LETTERS = {"F": "fear", "A": "anger", "H": "happiness", "N": "neutral", "S": "sadness"}
"""Expressions in the file names: F is afraid, A is angry."""
RELEASE = Release(images=534)
SLIPS = {"F6_2FA_5449": "M6"}
"""File names in the release that name the wrong child, with the child in the picture."""
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
    """Read the photographs. The folder gives expression and gaze, the name gives the child.

    Other parts of the name are wrong in some files of the release. A file whose letter contradicts its folder is noted; the copy is
    refused if there are many. A file whose name does not start with a child, such as DSC_4644.JPG (a copy), is left out. Metadata:
    `source`, `subject` (such as F10), `sex`, `gaze` (straight or averted). Raises DataError with the file.
    """
    require_population(path, population, "children", "children, of 10 to 17 years")
    root = require_folder(path, f"folders with {EXAMPLE}")
    pictures, unnamed, contradictions = [], [], []
    for file in list_files(root):
        parts, stem = Path(file).parts, Path(file).stem
        folder = re.fullmatch(r"([a-z]+)[_ ](direct|averted)", parts[-2].lower()) if len(parts) > 1 else None
        if not folder or folder[1] not in FOLDERS:
            unnamed.append(file)
            continue
        subject = _SUBJECT.match(SLIPS.get(stem, stem))
        if not subject:
            unnamed.append(file)
            continue
        emotion, letter = FOLDERS[folder[1]], _EMOTION.match(stem)
        if letter and LETTERS[letter[1].upper()] != emotion:
            contradictions.append((file, f"its name says {LETTERS[letter[1].upper()]}"))
        metadata = {"subject": f"{subject[1].upper()}{int(subject[2]):02d}", "sex": subject[1].upper(), "gaze": GAZES[folder[2]]}
        pictures.append(FoundPicture(file, emotion, metadata))
    if not pictures:
        raise DataError(f"{root}: no image lies in a folder as in {EXAMPLE}; found {unnamed[0] if unnamed else 'none'}")
    notes = [
        *describe_lacking(pictures, RELEASE),
        *describe_contradictions(root, contradictions, len(pictures)),
        *describe_unnamed(unnamed, EXAMPLE),
    ]
    title, classes = "NIMH-ChEFS, children of 10 to 17", FOLDERS.values()
    return build_data_set(
        root, pictures, title=title, size=size, colour=colour, classes=classes, notes=notes, crop=crop, landmarks=landmarks
    )
