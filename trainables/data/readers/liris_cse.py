"""LIRIS-CSE (Khan et al. 2019): 208 clips of twelve children watching films, their expressions spontaneous."""

import re
from pathlib import Path
from typing import Any

from trainables.data.dataset import DataError, FaceDataset, Release, register_reader
from trainables.data.files import CLIPS, find_folder, find_root, list_files, read_columns
from trainables.data.gather import FoundPicture, build_data_set, describe_lacking, describe_unnamed, list_clip_frames, require_population
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
"""of the names, slips of the release among them"""
REMARKS = {"aloud", "movingperson"}
CLASSES = sorted(set(TOKENS.values()))
PARTICIPANTS = "summaryParticipansts"
"""the release's spelling"""
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
    """Read `frames` frames of each clip; a clip whose name has two expressions carries the first as its label.

    Facts: `source`, `subject` (S1 to S12), `clip`, `frame`, `second` (the other expression), and `age` and `sex` where the table of
    participants (xlsx or csv) is there. DataError names the file.
    """
    require_population(path, population, "children", "children, of 4 to 12 years")
    root = find_root(path, f"the clips {EXAMPLE}", "videos_208")
    place = find_folder(root, "videos_208")
    who = _read_participants(root)
    found, other = [], []
    files = list_files(root, CLIPS, place)
    stills = {file.rsplit("/", 1)[0] for file in list_files(root, below=place) if file.count("/") > place.count("/") + 1}
    for file in [*files, *sorted(stills)]:
        stem = Path(file).stem if file in files else Path(file).name
        subject, *tokens = stem.split("_")
        if not re.fullmatch(r"[Ss]\d{1,2}", subject):
            other.append(file)
            continue
        words = [token.lower() for token in tokens if not token.isdecimal() and token.lower() not in REMARKS]
        if not words or any(word not in TOKENS for word in words):
            raise DataError(f"{root / file}: {'_'.join(tokens)!r} is no expression of LIRIS-CSE (known: {', '.join(TOKENS)})")
        shown = [TOKENS[word] for word in words]
        metadata: dict[str, Any] = {"subject": subject.upper(), "second": shown[1] if len(shown) > 1 else None, "clip": stem}
        found += list_clip_frames(root, file, shown[0], metadata | who.get(subject.upper(), {}), frames)
    if not found:
        raise DataError(f"{root}: no clip is named like {EXAMPLE}; found {other[0] if other else 'none'}")
    clips = list({each.metadata["clip"]: FoundPicture(each.metadata["clip"], each.emotion, each.metadata) for each in found}.values())
    notes = [*describe_lacking(clips, Release(images=208, subjects=12)), *describe_unnamed(other, EXAMPLE)]
    notes += ["ages and sexes are not known: there is no table of participants"] if not who else []
    title = "LIRIS-CSE, children of 4 to 12"
    return build_data_set(root, found, title=title, size=size, colour=colour, classes=CLASSES, notes=notes, crop=crop, landmarks=landmarks)


def _read_participants(root: Path) -> dict[str, dict[str, Any]]:
    """Age and sex of each child, from the table of participants, where there is one."""
    columns = ("Sr. No", "Sex", "Age")
    who: dict[str, dict[str, Any]] = {}
    rows: list[tuple[int, list[str]]] = []
    file = next((each for each in sorted(root.iterdir()) if each.stem.lower().startswith(PARTICIPANTS.lower()[:17])), root)
    if file.suffix.lower() == ".xlsx":
        sheet = read_sheet(file)
        names = [name.lower() for name in sheet[0]] if sheet else []
        if missing := [name for name in columns if name.lower() not in names]:
            raise DataError(f"{file}: has no column {', '.join(missing)}; expected {', '.join(columns)}")
        order = [names.index(name.lower()) for name in columns]
        rows = [(line, [row[place] for place in order]) for line, row in enumerate(sheet[1:], 2) if len(row) > max(order)]
    elif file.suffix.lower() == ".csv":
        text = file.read_text(encoding="utf-8-sig", errors="replace")
        rows = list(read_columns(file, columns, separator=";" if ";" in text.partition("\n")[0] else ","))
    for line, (name, sex, age) in rows:
        match = re.fullmatch(r"[Ss]?(\d{1,2})(?:\.0)?", name)
        if match and sex[:1].upper() in ("F", "M") and re.fullmatch(r"\d{1,2}(\.\d+)?", age):
            who[f"S{match[1]}"] = {"sex": sex[0].upper(), "age": float(age)}
        elif any((name, sex, age)):
            raise DataError(f"{file}, row {line}: {name!r}, {sex!r}, {age!r} are no number, sex and age of a child")
    return who
