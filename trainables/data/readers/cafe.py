"""CAFE, the Child Affective Facial Expression set (LoBue & Thrasher 2015), as Databrary's volume 30 hands it out."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from trainables.data.dataset import CLASSES, DataError, Doubt, FaceDataset, Release, register_reader
from trainables.data.decode import Item
from trainables.data.files import list_files
from trainables.data.gather import decode_pictures

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
    ("crop", "landmarks"),
    source="databrary.org/volume/30, to authorised investigators",
    licence="research by authorised investigators; no redistribution",
    release=RELEASE,
)
def read_cafe(
    path: str, *, size: int, colour: str, population: str | None = None, crop: str = "", landmarks: Path | None = None
) -> FaceDataset:
    """Read `sessions/` in the given folder, or in the one folder of it that has one; cut to 1:1 and resized by `crop_square`.

    A child is named by sex, ethnicity and number, and a session is one child's. So a session with two children is an error: one of
    the files is misnamed or misplaced, and a person-wise split would put a child on both sides. A child in two sessions is one subject
    all the same (the safe side) and is noted. Images that are not named like the example, or do not lie in a session, are counted in
    the notes; other files and hidden ones are passed over.

    Facts: `source` (path from `sessions` on), `subject` (such as F-EA-14), `sex`, `ethnicity` (the two letters of the name: AA, AS, EA,
    LA, PI, SA), `mouth_open` and `session`. The mouth is open where the name says "open" or "tongue", closed otherwise; of surprise,
    which has no closed variant, it is unknown. The age of a photograph (2 to 8 years) is not given.

    Raises DataError naming the folder or the file.
    """
    if population not in (None, "children"):
        raise DataError(f"{path}: CAFE has no population {population!r}: it has only children, of 2 to 8 years")
    sessions = _find_sessions(Path(path))
    files = [sessions / file for file in list_files(sessions)]
    named = [(file, name) for file in files if file.parent.parent == sessions and (name := _NAME.fullmatch(file.stem))]
    if not named:
        found = next((file.relative_to(sessions.parent).as_posix() for file in files or sorted(sessions.rglob("*"))), "nothing")
        raise DataError(f"{sessions}: no image is named like {EXAMPLE}; found {found}")
    metadata = pd.DataFrame([_parse_name(file, name) for file, name in named])
    classes = tuple(name for name in CLASSES if name in EMOTIONS.values())
    labels = np.array([classes.index(name) for name in metadata.pop("emotion")])
    metadata["mouth_open"] = metadata["mouth_open"].astype("boolean")
    notes = _check_subjects(metadata, sessions.parent)
    if passed := len(files) - len(named):
        notes.append(Doubt(f"{passed:,} images are not named like {EXAMPLE} and are left out"))
    if (len(named), metadata["subject"].nunique()) != (RELEASE.images, RELEASE.subjects):
        here = f"{len(named):,} photographs of {metadata['subject'].nunique()} children"
        notes.append(Doubt(f"{here}, where the release has {RELEASE.images:,} of {RELEASE.subjects}"))
    rows, faceless = decode_pictures(
        sessions, [Item(file.relative_to(sessions).as_posix()) for file, _ in named], size, colour, crop, landmarks
    )
    for row, why in rows.failed.items():  # a released photograph is readable
        if row not in faceless:
            raise DataError(why)
    if faceless:
        notes.append(f"in {len(faceless):,} of {len(named):,} photographs no face is found; they are left out")
    metadata, labels = metadata.iloc[rows.kept].reset_index(drop=True), labels[rows.kept]
    return FaceDataset(rows.values, labels, classes, metadata, "CAFE, children of 2 to 8", tuple(notes), origin=rows.key)


def _find_sessions(folder: Path) -> Path:
    """The `sessions` folder: of Databrary's own folder, or of the folder that it was put in."""
    if not folder.is_dir():
        raise DataError(f"{folder}: {'is a file, not the folder with sessions/' if folder.exists() else 'no such folder'}")
    found = [place for place in (folder / "sessions", *sorted(folder.glob("*/sessions"))) if place.is_dir()]
    if not found:
        inside = ", ".join(sorted(entry.name for entry in folder.iterdir())[:3]) or "nothing: it is empty"
        raise DataError(f"{folder}: has no folder sessions (CAFE's layout is {EXAMPLE}); it has {inside}")
    if len(found) > 1:
        raise DataError(f"{folder}: has {found[0]} and {found[1]}; name the one that is meant")
    return found[0]


def _parse_name(file: Path, name: re.Match[str]) -> dict[str, str | bool | None]:
    """What one file's name and place say."""
    token, sex, ethnicity, number = name.groups()
    known = _TOKEN.fullmatch(token.lower())
    if known is None:
        raise DataError(f"{file}: {token!r} is no expression of CAFE (known: {', '.join(EMOTIONS)}, each alone or with open or tongue)")
    emotion, mouth = known.groups()
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
    """A note on children in several sessions; DataError for a session with several children."""
    for session, group in metadata.groupby("session", sort=True):
        if group["subject"].nunique() > 1:
            first, other = group.drop_duplicates("subject")["source"].iloc[:2]
            raise DataError(f"{folder}: session {session} is one child's, but has {first} and {other}; move or rename the wrong one")
    sessions = metadata.groupby("subject")["session"].nunique()
    several = ", ".join(sessions[sessions > 1].index)
    return [f"children with more than one session, each kept as one subject: {several}"] if several else []
