"""LIRIS-CSE (Khan et al. 2019): 208 clips of twelve children watching films, with spontaneous expressions."""

import re
from pathlib import Path
from typing import Any

from trainables.data.build_data_set import (
    FoundPicture,
    build_data_set,
    describe_lacking,
    describe_unnamed,
    list_clip_frames,
    require_population,
)
from trainables.data.dataset import DataError, FaceDataset, Release, register_reader
from trainables.data.files import CLIPS, find_folder, find_root, list_files, read_columns
from trainables.data.xlsx import read_sheet

TOKENS = {
    "happy": "happiness",
    "sad": "sadness",
    "fear": "fear",
    "anger": "anger",
    "surprise": "surprise",
    "suprise": "surprise",
    "surpsrise": "surprise",
    "disgust": "disgust",
}
"""Expressions in the clip names, including misspellings in the release."""
REMARKS = {"aloud", "movingperson"}
CLASSES = sorted(set(TOKENS.values()))
PARTICIPANTS = "summaryParticipansts"
"""The release's spelling."""
EXAMPLE = "videos_208/S1_happy_2.mp4"


@register_reader(
    "liris_cse",
    f"LIRIS-CSE: clips like {EXAMPLE}, or folders of their frames; frames=8 evenly spaced ones of each",
    ("frames", "crop", "landmarks"),
    source="projet.liris.cnrs.fr/lirisexpression, by an application",
    licence="research; no redistribution",
    release=Release(images=208, subjects=12),
)
def read_liris_cse(
    path: str, *, size: int, colour: str, population: str | None = None, frames: str = "8", crop: str = "", landmarks: Path | None = None
) -> FaceDataset:
    """Read `frames` frames of each clip. A clip whose name has two expressions is labelled with the first.

    Metadata: `source`, `subject` (S1 to S12), `clip`, `frame`, `second` (the other expression), and `age` and `sex` if the table of
    participants (xlsx or csv) is present. Raises DataError with the file.
    """
    require_population(path, population, "children", "children, of 4 to 12 years")
    root = find_root(path, f"the clips {EXAMPLE}", "videos_208")
    folder = find_folder(root, "videos_208")
    participants = _read_participants(root)
    pictures, unnamed = [], []
    files = list_files(root, CLIPS, folder)
    frame_folders = {file.rsplit("/", 1)[0] for file in list_files(root, below=folder) if file.count("/") > folder.count("/") + 1}
    for file in [*files, *sorted(frame_folders)]:
        stem = Path(file).stem if file in files else Path(file).name
        subject, *tokens = stem.split("_")
        if not re.fullmatch(r"[Ss]\d{1,2}", subject):
            unnamed.append(file)
            continue
        words = [token.lower() for token in tokens if not token.isdecimal() and token.lower() not in REMARKS]
        if not words or any(word not in TOKENS for word in words):
            raise DataError(f"{root / file}: {'_'.join(tokens)!r} is not an expression of LIRIS-CSE (known: {', '.join(TOKENS)})")
        emotions = [TOKENS[word] for word in words]
        metadata: dict[str, Any] = {"subject": subject.upper(), "second": emotions[1] if len(emotions) > 1 else None, "clip": stem}
        pictures += list_clip_frames(root, file, emotions[0], metadata | participants.get(subject.upper(), {}), frames)
    if not pictures:
        raise DataError(f"{root}: no clip is named like {EXAMPLE}; found {unnamed[0] if unnamed else 'none'}")
    clips = list(
        {
            picture.metadata["clip"]: FoundPicture(picture.metadata["clip"], picture.emotion, picture.metadata) for picture in pictures
        }.values()
    )
    notes = [*describe_lacking(clips, Release(images=208, subjects=12)), *describe_unnamed(unnamed, EXAMPLE)]
    notes += ["ages and sexes are not known: there is no table of participants"] if not participants else []
    title = "LIRIS-CSE, children of 4 to 12"
    return build_data_set(
        root, pictures, title=title, size=size, colour=colour, classes=CLASSES, notes=notes, crop=crop, landmarks=landmarks
    )


def _read_participants(root: Path) -> dict[str, dict[str, Any]]:
    """Return age and sex of each child from the table of participants; empty if there is none."""
    columns = ("Sr. No", "Sex", "Age")
    participants: dict[str, dict[str, Any]] = {}
    rows: list[tuple[int, list[str]]] = []
    file = next((entry for entry in sorted(root.iterdir()) if entry.stem.lower().startswith(PARTICIPANTS.lower()[:17])), root)
    if file.suffix.lower() == ".xlsx":
        sheet = read_sheet(file)
        names = [name.lower() for name in sheet[0]] if sheet else []
        if missing := [name for name in columns if name.lower() not in names]:
            raise DataError(f"{file}: has no column {', '.join(missing)}; expected {', '.join(columns)}")
        order = [names.index(name.lower()) for name in columns]
        rows = [(line, [row[column] for column in order]) for line, row in enumerate(sheet[1:], 2) if len(row) > max(order)]
    elif file.suffix.lower() == ".csv":
        text = file.read_text(encoding="utf-8-sig", errors="replace")
        rows = list(read_columns(file, columns, separator=";" if ";" in text.partition("\n")[0] else ","))
    for line, (name, sex, age) in rows:
        match = re.fullmatch(r"[Ss]?0?(\d{1,2})(?:\.0)?", name)
        if match and sex[:1].upper() in ("F", "M") and re.fullmatch(r"\d{1,2}(\.\d+)?", age):
            participants[f"S{match[1]}"] = {"sex": sex[0].upper(), "age": float(age)}
        elif any((name, sex, age)):
            raise DataError(f"{file}, row {line}: {name!r}, {sex!r}, {age!r} are not the number, sex and age of a child")
    return participants
