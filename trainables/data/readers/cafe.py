"""CAFE, the Child Affective Facial Expression set (LoBue & Thrasher 2015), in the layout of Databrary volume 30."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from trainables.data.build_data_set import decode_pictures
from trainables.data.dataset import CLASSES, DataError, Doubt, FaceDataset, Release, register_reader
from trainables.data.decode import CENTRE, Item
from trainables.data.files import list_files, parse_number

RELEASE = Release(images=1_192, subjects=154)
EMOTIONS = {
    "angry": "anger",
    "disgust": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
}
EXAMPLE = "sessions/6401/10541-happy_F-EA-14.jpg"

_NAME = re.compile(r"(?:\d+-)?([a-z]+)_([FM])-([A-Z]{2})-(\d+)", re.IGNORECASE)
_TOKEN = re.compile(rf"({'|'.join(EMOTIONS)})(open|[a-z]*tongue[a-z]*)?")


@register_reader(
    "cafe",
    "CAFE as Databrary hands it out: sessions/SESSION/ASSET-EMOTION_SEX-ETHNICITY-NUMBER.jpg",
    ("crop", "landmarks", "offset"),
    source="databrary.org/volume/30, to authorised investigators",
    licence="research by authorised investigators; no redistribution",
    release=RELEASE,
)
def read_cafe(
    path: str,
    *,
    size: int,
    colour: str,
    population: str | None = None,
    crop: str = "",
    landmarks: Path | None = None,
    offset: str = str(CENTRE),
) -> FaceDataset:
    """Read `sessions/` in the given folder or in its one subfolder that has it. Images are cut to 1:1 and resized by `crop_square`.

    `offset` is the share of a portrait photograph's spare height that is cut off above the square, from 0 (the square is at the top) to 1.
    The default is the centre. Virgolin et al. 2022 (section 3.1) cut to 1:1 and do not say where.

    Sex, ethnicity and number identify a child, and a session belongs to one child. A session with two children is therefore an error: a
    file is misnamed or misplaced, and a split by person would put a child on both sides. A child with two sessions is kept as one
    subject, which is the safe choice, and is noted. Images that are not named like the example or do not lie in a session are counted
    in the notes. Other files and hidden files are ignored.

    Metadata: `source` (path from `sessions` on), `subject` (such as F-EA-14), `sex`, `ethnicity` (the two letters in the name: AA, AS,
    EA, LA, PI, SA), `mouth_open` and `session`. The mouth is open if the name says "open" or "tongue". Otherwise it is closed, or
    unknown for surprise, which has no closed variant. The release does not give the age of a photograph (2 to 8 years).

    Raises DataError with the folder or the file.
    """
    if population not in (None, "children"):
        raise DataError(f"{path}: CAFE has no population {population!r}: it has only children, of 2 to 8 years")
    above = parse_number(offset, path, "offset", 0, 1)
    if above != CENTRE and (crop or landmarks):
        raise DataError(f"{path}: offset={offset} is of the whole photograph's square, and {'crop' if crop else 'landmarks'} cuts another")
    sessions = _find_sessions(Path(path))
    files = [sessions / file for file in list_files(sessions)]
    named = [(file, name) for file in files if file.parent.parent == sessions and (name := _NAME.fullmatch(file.stem))]
    if not named:
        first = next((file.relative_to(sessions.parent).as_posix() for file in files or sorted(sessions.rglob("*"))), "nothing")
        raise DataError(f"{sessions}: no image is named like {EXAMPLE}; found {first}")
    metadata = pd.DataFrame([_parse_name(file, name) for file, name in named])
    classes = tuple(name for name in CLASSES if name in EMOTIONS.values())
    labels = np.array([classes.index(name) for name in metadata.pop("emotion")])
    metadata["mouth_open"] = metadata["mouth_open"].astype("boolean")
    notes = _check_subjects(metadata, sessions.parent)
    if unnamed := len(files) - len(named):
        notes.append(Doubt(f"{unnamed:,} images are not named like {EXAMPLE} and are left out"))
    if (len(named), metadata["subject"].nunique()) != (RELEASE.images, RELEASE.subjects):
        present = f"{len(named):,} photographs of {metadata['subject'].nunique()} children"
        notes.append(Doubt(f"{present}, where the release has {RELEASE.images:,} of {RELEASE.subjects}"))
    rows, faceless = decode_pictures(
        sessions, [Item(file.relative_to(sessions).as_posix()) for file, _ in named], size, colour, crop, landmarks, above
    )
    for row, reason in rows.failed.items():  # every photograph of the release is readable, so this copy is damaged
        if row not in faceless:
            raise DataError(reason)
    if faceless:
        notes.append(f"in {len(faceless):,} of {len(named):,} photographs no face is found; they are left out")
    metadata, labels = metadata.iloc[rows.kept].reset_index(drop=True), labels[rows.kept]
    return FaceDataset(rows.values, labels, classes, metadata, "CAFE, children of 2 to 8", tuple(notes), origin=rows.key)


def _find_sessions(folder: Path) -> Path:
    """Return the `sessions` folder of the given folder (Databrary's own), or of one of its subfolders."""
    if not folder.is_dir():
        raise DataError(f"{folder}: {'is a file, not the folder with sessions/' if folder.exists() else 'no such folder'}")
    folders = [candidate for candidate in (folder / "sessions", *sorted(folder.glob("*/sessions"))) if candidate.is_dir()]
    if not folders:
        inside = ", ".join(sorted(entry.name for entry in folder.iterdir())[:3]) or "nothing: it is empty"
        raise DataError(f"{folder}: has no folder sessions (CAFE's layout is {EXAMPLE}); it has {inside}")
    if len(folders) > 1:
        raise DataError(f"{folder}: has {folders[0]} and {folders[1]}; name the one that is meant")
    return folders[0]


def _parse_name(file: Path, name: re.Match[str]) -> dict[str, str | bool | None]:
    """Return the metadata in one file's name and path."""
    token, sex, ethnicity, number = name.groups()
    match = _TOKEN.fullmatch(token.lower())
    if match is None:
        raise DataError(f"{file}: {token!r} is not an expression of CAFE (known: {', '.join(EMOTIONS)}, each alone or with open or tongue)")
    emotion, mouth = match.groups()
    return {
        "source": "/".join(file.parts[-3:]),
        "subject": f"{sex}-{ethnicity}-{int(number):02d}".upper(),
        "sex": sex.upper(),
        "ethnicity": ethnicity.upper(),
        "mouth_open": None if emotion == "surprise" and mouth is None else mouth is not None,
        "session": file.parent.name,
        "emotion": EMOTIONS[emotion],
    }


def _check_subjects(metadata: pd.DataFrame, folder: Path) -> list[str]:
    """Return a note on children with several sessions. Raise DataError for a session with several children."""
    for session, group in metadata.groupby("session", sort=True):
        if group["subject"].nunique() > 1:
            first, other = group.drop_duplicates("subject")["source"].iloc[:2]
            raise DataError(f"{folder}: session {session} is one child's, but has {first} and {other}; move or rename the wrong one")
    sessions = metadata.groupby("subject")["session"].nunique()
    several = ", ".join(sessions[sessions > 1].index)
    return [f"children with more than one session, each kept as one subject: {several}"] if several else []
