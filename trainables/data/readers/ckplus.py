"""CK+ (Lucey et al. 2010): image sequences of adults from neutral to the peak of an expression; and CK+48, three frames of each."""

import re
from collections import defaultdict
from pathlib import Path

from trainables.data.build_data_set import FoundPicture, build_data_set, describe_lacking, describe_unnamed, require_population
from trainables.data.dataset import DataError, FaceDataset, Release, register_reader
from trainables.data.files import find_folder, find_root, list_files, read_lines

CODES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
FOLDERS = {
    "anger": "anger",
    "contempt": "contempt",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "sadness": "sadness",
    "surprise": "surprise",
}
"""Class folders of CK+48, which has no neutral faces."""
SEQUENCES, SUBJECTS = 327, 118
COUNTS = dict(zip(CODES[1:], (45, 18, 59, 25, 69, 28, 83), strict=True))
"""Labelled sequences by class."""
IMAGES = ("cohn-kanade-images", "extended-cohn-kanade-images")
LABELS = ("Emotion", "Emotion_labels")
EXAMPLE = "S005/001/S005_001_00000011.png"

_NAME = re.compile(r"(S\d{3})_(\d{3})_(\d{8})", re.IGNORECASE)


@register_reader(
    "ckplus",
    "CK+'s cohn-kanade-images and Emotion (peak=N frames of each sequence, the first as neutral), or CK+48's folders of classes",
    ("peak", "crop", "landmarks"),
    source="jeffcohn.net, by a signed agreement",
    licence="non-commercial research; no redistribution",
    release=Release(subjects=SUBJECTS),
)
def read_ckplus(
    path: str, *, size: int, colour: str, population: str | None = None, peak: str = "3", crop: str = "", landmarks: Path | None = None
) -> FaceDataset:
    """Read the 327 sequences that have an emotion file: the last `peak` frames with its label, the first frame as neutral.

    A sequence without an emotion file has no label and is left out. CK+48 is read as it is: its frames come from the same sequences, at
    48 x 48.

    Metadata: `source`, `subject`, `sequence`, `place` (the frame's number). Frames of a sequence are near duplicates, so split by
    subject. Raises DataError with the file.
    """
    require_population(path, population, "adults", "adults of 18 to 50")
    if not peak.isdecimal() or not int(peak):
        raise DataError(f"{path}: peak={peak!r} is not a number of frames, 1 or more")
    root = find_root(path, f"CK+'s {IMAGES[0]} and {LABELS[0]}, or CK+48's folders", *IMAGES, "CK+48", "contempt")
    images = find_folder(root, *IMAGES)
    small = not images
    pictures, notes = _read_small(root) if small else _read_official(root, images, int(peak))
    release = Release(981, SUBJECTS, classes={name: 3 * count for name, count in COUNTS.items()}) if small else Release(subjects=SUBJECTS)
    notes += describe_lacking(pictures, release)
    title, classes = ("CK+48", CODES[1:]) if small else ("CK+", CODES)
    return build_data_set(
        root, pictures, title=title, size=size, colour=colour, classes=classes, notes=notes, crop=crop, landmarks=landmarks
    )


def _read_official(root: Path, place: str, peak: int) -> tuple[list[FoundPicture], list[str]]:
    labels = find_folder(root, *LABELS)
    if not labels:
        raise DataError(f"{root}: has {place}, but no folder {' or '.join(LABELS)}; unpack the emotion labels there")
    sequences: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    unnamed, misplaced = [], []
    for file in list_files(root, below=place):
        name = _NAME.fullmatch(Path(file).stem)
        if not name:
            unnamed.append(file)
            continue
        if [part.upper() for part in Path(file).parts[-3:-1]] != [name[1].upper(), name[2]]:
            misplaced.append(file)
        sequences[name[1].upper(), name[2]].append((name[3], file))
    if misplaced:
        raise DataError(f"{root / misplaced[0]}: does not lie in the folder that its name says; expected {place}/{EXAMPLE}")
    emotions = _read_emotions(root, labels)
    if missing := sorted(set(emotions) - set(sequences)):
        raise DataError(
            f"{root}: sequence {'/'.join(missing[0])} has a label and no images ({len(missing)} such); unpack the whole release"
        )
    pictures = []
    for (subject, sequence), emotion in sorted(emotions.items()):
        frames = sorted(sequences[subject, sequence])
        peaks = frames[1:][-peak:]
        for number, file in [frames[0], *peaks]:
            frame_emotion = "neutral" if number == frames[0][0] else emotion
            pictures.append(
                FoundPicture(file, frame_emotion, {"subject": subject, "sequence": f"{subject}/{sequence}", "place": int(number)})
            )
    notes = [f"{len(emotions):,} of {len(sequences):,} sequences are labelled; the others are left out"]
    differing = [name for name in COUNTS if sum(label == name for label in emotions.values()) != COUNTS[name]]
    if differing:
        lacking = describe_lacking([FoundPicture(str(key), emotion) for key, emotion in emotions.items()], Release(classes=COUNTS))
        notes += [type(note)(note.replace("images", "sequences", 1)) for note in lacking]
    return pictures, [*notes, *describe_unnamed(unnamed, EXAMPLE)]


def _read_emotions(root: Path, labels: str) -> dict[tuple[str, str], str]:
    """Return the emotion of each labelled sequence, by (subject, sequence)."""
    emotions: dict[tuple[str, str], str] = {}
    for file in list_files(root, {".txt"}, labels):
        name = re.fullmatch(_NAME.pattern + "_emotion", Path(file).stem, re.IGNORECASE)
        if not name:
            continue
        lines = [line for _, line in read_lines(root / file)]
        try:
            code = float(lines[0]) if len(lines) == 1 else -1.0
        except ValueError:
            code = -1.0
        if code not in range(len(CODES)):
            raise DataError(f"{root / file}: {' '.join(lines)[:40]!r} is not one code from 0 to {len(CODES) - 1}")
        key = name[1].upper(), name[2]
        if emotions.setdefault(key, CODES[int(code)]) != CODES[int(code)]:
            raise DataError(f"{root / file}: sequence {'/'.join(key)} has another label in a second file")
    if not emotions:
        raise DataError(f"{root / labels}: holds no file like S005/001/S005_001_00000011_emotion.txt")
    return emotions


def _read_small(root: Path) -> tuple[list[FoundPicture], list[str]]:
    """Read CK+48."""
    folder = find_folder(root, "CK+48")
    pictures, unnamed = [], []
    emotion_of: dict[str, str] = {}
    for file in list_files(root, below=folder):
        name, parts = _NAME.fullmatch(Path(file).stem), Path(file).parts
        if not name or len(parts) < 2 or parts[-2].lower() not in FOLDERS:
            unnamed.append(file)
            continue
        subject, sequence, emotion = name[1].upper(), f"{name[1].upper()}/{name[2]}", FOLDERS[parts[-2].lower()]
        if emotion_of.setdefault(sequence, emotion) != emotion:
            raise DataError(f"{root / file}: sequence {sequence} is {emotion_of[sequence]} in another file; one folder is wrong")
        pictures.append(FoundPicture(file, emotion, {"subject": subject, "sequence": sequence, "place": int(name[3])}))
    return pictures, describe_unnamed(unnamed, "anger/S010_004_00000017.png")
