"""EmoReact (Nojavanasghari et al. 2016): 1,102 clips of 63 children reacting to things; eight labels, any number of them at once."""

import re
from pathlib import Path
from typing import Any

from trainables.data.build_data_set import FoundPicture, build_data_set, describe_lacking, list_clip_frames, require_population
from trainables.data.dataset import SHOWN, DataError, FaceDataset, Release, register_reader
from trainables.data.files import CLIPS, find_folder, find_root, list_files, parse_number, read_columns, read_lines

LABELS = ("curiosity", "uncertainty", "excitement", "happiness", "surprise", "disgust", "fear", "frustration")
"""In the order of the label files' columns; a last column holds valence, from 1 to 7."""
SPLITS = {"train": "Train", "val": "Validation", "test": "Test"}
RELEASE = Release(images=1_102, splits={"train": 432, "val": 303, "test": 367})


@register_reader(
    "emoreact",
    "EmoReact: Data/Train|Validation|Test/*.mp4 (or folders of frames), Labels/*_labels.text, *_names.txt; subjects=FILE of clip,subject",
    ("frames", "subjects", "crop", "landmarks"),
    source="behnaznojavan.com/data, by a form",
    licence="research under its agreement; no redistribution",
    release=RELEASE,
)
def read_emoreact(
    path: str,
    *,
    size: int,
    colour: str,
    population: str | None = None,
    frames: str = "8",
    subjects: Path | None = None,
    crop: str = "",
    landmarks: Path | None = None,
) -> FaceDataset:
    """Read `frames` evenly spaced frames of each clip.

    Line i of a label file belongs to line i of the names file of its part, never to a position in a folder listing.

    Metadata: `source`, `split`, `clip`, `frame`, `emoreact_LABEL` (0 or 1), `valence` (rescaled from 1 to 7 to -1 to 1), and `subject`
    if `subjects`, a csv `clip,subject`, is given, because the release does not say who is in a clip. The label is that of the clip if
    the clip has exactly one; otherwise there is none. Raises DataError with file and line.
    """
    require_population(path, population, "children", "children, of 4 to 14 years")
    root = find_root(path, "EmoReact's Data and Labels", "Data")
    subject_of = _read_subjects(subjects) if subjects else {}
    pictures: list[FoundPicture] = []
    missing: list[str] = []
    for split, name in SPLITS.items():
        folder = find_folder(root, f"Data/{name}")
        if not folder:
            raise DataError(f"{root}: has no folder Data/{name}")
        clip_files = {Path(file).stem: file for file in list_files(root, CLIPS, folder)}
        clip_files |= {
            Path(file).parent.name: str(Path(file).parent) for file in list_files(root, below=folder) if str(Path(file).parent) != folder
        }
        for clip_name, metadata, labels in _read_labels(root, split):
            if clip_name not in clip_files:
                missing.append(clip_name)
                continue
            if subjects and clip_name not in subject_of:
                raise DataError(f"{subjects}: has no line for {clip_name}")
            clip_metadata = {"split": split, "clip": clip_name} | ({"subject": subject_of[clip_name]} if subjects else {}) | metadata
            pictures += list_clip_frames(root, clip_files[clip_name], labels[0] if len(labels) == 1 else None, clip_metadata, frames)
    if not pictures:
        raise DataError(f"{root}: none of the named clips lies in Data; the first: {missing[0] if missing else 'none is named'}")
    clips = [FoundPicture(picture.metadata["clip"], None, picture.metadata) for picture in pictures if picture.frame == 0]
    notes = describe_lacking(clips, RELEASE)
    notes += [f"{len(missing):,} named clips are not there; the first: {missing[0]}"] if missing else []
    title = "EmoReact, children of 4 to 14"
    return build_data_set(
        root, pictures, title=title, size=size, colour=colour, classes=LABELS, notes=notes, crop=crop, landmarks=landmarks
    )


def _read_labels(root: Path, split: str) -> list[tuple[str, dict[str, Any], list[str]]]:
    """Return each clip of a part: its name without suffix, its metadata and its labels."""
    names_file = _find_file(root, rf"{split}_names\.txt")
    labels_file = _find_file(root, rf"{split}_labels\.te?xt")
    names = [_unquote_line(line) for _, line in read_lines(names_file)]
    rows = list(read_columns(labels_file, [*LABELS, "valence"], header=False))
    if len(names) != len(rows):
        raise DataError(f"{labels_file}: {len(rows):,} lines of labels, but {names_file.name} has {len(names):,} names")
    if repeated := {name for name in names if names.count(name) > 1}:
        raise DataError(f"{names_file}: {min(repeated)} is named twice")
    clips = []
    for name, (line, (*fields, valence)) in zip(names, rows, strict=True):
        where = f"{labels_file}, line {line}"
        values = [int(parse_number(text, where, "label", 0, 1)) for text in fields]
        scaled_valence = (parse_number(valence, where, "valence", 1, 7) - 4) / 3
        labels = [label for label, value in zip(LABELS, values, strict=True) if value]
        metadata = {f"{SHOWN}{label}": value for label, value in zip(LABELS, values, strict=True)}
        clips.append((Path(name).stem, metadata | {"valence": scaled_valence}, labels))
    return clips


def _unquote_line(line: str) -> str:
    """Remove the quotes of a quoted line: '80''sTOYS115_2.mp4' becomes 80'sTOYS115_2.mp4."""
    quoted = len(line) > 1 and line[0] == line[-1] == "'"
    return line[1:-1].replace("''", "'") if quoted else line


def _find_file(root: Path, pattern: str) -> Path:
    for folder in (root, root / "Labels", root / "labels"):
        if folder.is_dir():
            for file in sorted(folder.iterdir()):
                if re.fullmatch(pattern, file.name, re.IGNORECASE):
                    return file
    raise DataError(f"{root}: has no file {pattern.replace(chr(92), '').replace('te?xt', 'text')}, here or in Labels")


def _read_subjects(file: Path) -> dict[str, str]:
    return {Path(name).stem: subject for _, (name, subject) in read_columns(file, ("clip", "subject"))}
