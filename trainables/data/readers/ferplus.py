"""FER+ (Barsoum et al. 2016): FER2013's pictures with ten votes each, from its official folders or joined to FER2013's csv."""

from pathlib import Path

import numpy as np
import pandas as pd

from trainables.data.build_data_set import FoundPicture, build_data_set
from trainables.data.dataset import CLASSES, VOTES, DataError, Doubt, FaceDataset, Release, register_reader
from trainables.data.files import find_root, parse_number, read_columns, resolve_within
from trainables.data.readers import fer2013

NAMES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""In the order of the vote columns, which end with unknown and NF (no face)."""
COLUMNS = (*NAMES, "unknown", "NF")
FOLDERS = {"FER2013Train": "train", "FER2013Valid": "val", "FER2013Test": "test"}
RULES = ("majority", "probability")
RELEASE = Release(images=35_710, splits={"train": 28_558, "val": 3_579, "test": 3_573})
MAJORITY = {
    "fer2013new.csv": (25_060, 3_199, 3_153),
    "label.csv": (25_045, 3_191, 3_137),
    "label.csv, with the votes of fer2013new.csv,": (25_057, 3_199, 3_153),
}
"""Training, validation and test images that the majority rule labels. The release's two tables differ in the votes of 1,602 pictures."""


@register_reader(
    "ferplus",
    "FER+: the folders FER2013Train, FER2013Valid, FER2013Test; or fer2013.csv with votes=fer2013new.csv; rule=majority or probability",
    ("votes", "rule", "copies"),
    source="github.com/microsoft/FERPlus (votes); pictures as fer2013",
    licence="votes MIT; pictures as fer2013",
    release=RELEASE,
)
def read_ferplus(
    path: str,
    *,
    size: int,
    colour: str,
    population: str | None = None,
    votes: Path | None = None,
    rule: str = "majority",
    copies: str = "drop",
) -> FaceDataset:
    """Read pictures and votes. A picture that the rule gives no label is left out.

    The rules are those of the published code. A class with a single vote loses it first. `majority`: the label is the class with more
    than half of the remaining votes. `probability`: classes are taken in decreasing order of votes, tied classes together, until they
    have 75 % of the votes or number three. If at most three were taken and they have more than half of the votes, the label is the
    first of them. Pictures whose label is unknown or no face are left out.

    The release's tables differ: label.csv in the folders and fer2013new.csv have different votes for 1,602 pictures. With
    `votes=fer2013new.csv` (which need not be named in a folder that holds both csv files), folders are read with the votes of that file,
    matched by the picture's name. A csv is joined by the order of its rows, never by the number in a picture's name, which counts faces
    and not rows. `copies=keep` keeps pictures that occur more than once, as published; otherwise copies are dropped as in the kind
    fer2013.

    Metadata: `source`, `split`, and `votes_CLASS` of the eight classes (the votes that the rule keeps, without unknown and no face).
    FER+ does not say who is a child, so "adults" means every image. Raises DataError with file and line.
    """
    if rule not in RULES:
        raise DataError(f"{path}: unknown rule {rule!r} (known: {', '.join(RULES)})")
    if copies not in ("drop", "keep"):
        raise DataError(f"{path}: copies={copies!r} is neither drop nor keep")
    if votes is None and all(Path(path, name).is_file() for name in ("fer2013.csv", "fer2013new.csv")):
        path, votes = str(Path(path, "fer2013.csv")), Path(path, "fer2013new.csv")
    if population == "children":
        raise DataError(f"{path}: FER+ does not say who is a child; the kind fer2013 takes ages=FILE")
    faces = _join_csv(Path(path), votes, rule, size, colour) if Path(path).is_file() else _read_folders(path, votes, rule, size, colour)
    notes = [f"by the {rule} rule", *faces.notes]
    if population == "adults":
        notes.append("adults: used whole, children among them: FER+ knows no ages")
    keep = np.ones(len(faces), bool)
    if copies == "drop":
        keep, dropped = fer2013.find_distinct(faces.images[:, 0], faces.labels, faces.metadata["split"].tolist())
        notes += dropped
    metadata = faces.metadata.loc[keep].reset_index(drop=True)
    origin = faces.origin if keep.all() else ""
    images = faces.images if keep.all() else faces.images[keep]
    return FaceDataset(images, faces.labels[keep], faces.classes, metadata, "FER+", tuple(notes), origin=origin)


def decide_label(votes: np.ndarray, rule: str) -> tuple[int, np.ndarray]:
    """Return the label of one picture's ten votes, an index into COLUMNS, and the votes that count: float [10]."""
    votes = np.where(np.asarray(votes, float) <= 1, 0, votes)
    total = votes.sum()
    counted = votes.copy()
    decided = votes.max() > total / 2
    if rule == "probability":
        counted, remaining, covered, class_count, unfinished = np.zeros(len(votes)), votes.copy(), 0.0, 0, True
        while covered < 0.75 * total and class_count < 3 and unfinished:
            top_votes = remaining.max()
            for column in np.flatnonzero(remaining == top_votes):  # all columns of equal rank, up to unknown or no face
                counted[column], remaining[column] = top_votes, 0
                covered, class_count = covered + top_votes, class_count + 1
                if column >= len(NAMES):
                    unfinished = False
                    if counted.sum() > top_votes:  # classes were taken before it
                        counted[column], class_count = 0, class_count - 1
                    break
        decided = counted.sum() > total / 2 and class_count <= 3
    return (int(counted.argmax()) if decided else COLUMNS.index("unknown")), counted


def _make_found(text: list[str], where: str, rule: str, split: str) -> FoundPicture | None:
    """Return one picture's label and votes as a FoundPicture without a file, or None if there is no label."""
    votes = np.array([parse_number(vote, where, "vote", 0, 10) for vote in text])
    label, counted = decide_label(votes, rule)
    if label >= len(NAMES):
        return None
    by_name = dict(zip(NAMES, counted, strict=False))
    return FoundPicture("", NAMES[label], {"split": split} | {f"{VOTES}{name}": int(by_name[name]) for name in CLASSES})


def _read_folders(path: str, votes: Path | None, rule: str, size: int, colour: str) -> FaceDataset:
    root = find_root(path, "FER+'s folders FER2013Train, FER2013Valid, FER2013Test", *FOLDERS)
    newer_votes = _read_votes(votes) if votes else {}
    pictures, counts = [], {}
    for folder, split in FOLDERS.items():
        file = root / folder / "label.csv"
        if not file.is_file():
            raise DataError(f"{root}: has no {folder}/label.csv; the release has one in each of {', '.join(FOLDERS)}")
        seen = set()
        for line, (name, _, *fields) in read_columns(file, ("name", "box", *COLUMNS), header=False):
            where = f"{file}, line {line}"
            if (picture := resolve_within(name, where)) in seen:
                raise DataError(f"{where}: {picture} is listed a second time")
            seen.add(picture)
            if votes and picture not in newer_votes:
                raise DataError(f"{votes}: has no votes for {picture}, which {file} lists")
            if labelled := _make_found(newer_votes.get(picture, fields), where, rule, split):
                pictures.append(FoundPicture(f"{folder}/{picture}", labelled.emotion, labelled.metadata))
        counts[split] = len(seen)
    return build_data_set(
        root,
        pictures,
        title="FER+",
        size=size,
        colour=colour,
        classes=NAMES,
        notes=_describe_counts(counts, pictures, rule, list(MAJORITY)[2 if votes else 1]),
    )


def _describe_counts(pictures: dict[str, int], found: list[FoundPicture], rule: str, of_table: str) -> list[str]:
    label_counts = [sum(picture.metadata["split"] == split for picture in found) for split in FOLDERS.values()]
    by_split = ", ".join(
        f"{split} {labelled:,} of {pictures.get(split, 0):,}" for split, labelled in zip(FOLDERS.values(), label_counts, strict=True)
    )
    notes = [f"labelled: {by_split}; the others are unknown or no faces"]
    if rule == "majority" and tuple(label_counts) != MAJORITY[of_table]:
        present, released = (" / ".join(f"{count:,}" for count in counts) for counts in (label_counts, MAJORITY[of_table]))
        notes.append(Doubt(f"{present} labelled, where the release's {of_table} has {released}"))
    return notes


def _read_votes(file: Path) -> dict[str, list[str]]:
    """Return the ten votes of each named picture. The first line counts for a name that occurs twice."""
    votes: dict[str, list[str]] = {}
    for _, (name, *fields) in read_columns(file, ("Image name", *COLUMNS)):
        votes.setdefault(name, fields)
    return votes


def _join_csv(file: Path, votes: Path | None, rule: str, size: int, colour: str) -> FaceDataset:
    """Join FER2013's csv with the votes of fer2013new.csv, row by row."""
    votes = votes or file.with_name("fer2013new.csv")
    images, _, usages, key = fer2013.read_rows(file)
    labelled: list[FoundPicture] = []
    rows: list[int] = []
    pictures = dict.fromkeys(FOLDERS.values(), 0)
    row = -1
    for row, (line, (usage, name, *fields)) in enumerate(read_columns(votes, ("Usage", "Image name", *COLUMNS))):
        where = f"{votes}, line {line}"
        if row >= len(usages):
            raise DataError(f"{where}: {file.name} has only {len(usages):,} rows; are these its votes?")
        if usage != usages[row]:
            raise DataError(
                f"{where}: Usage is {usage[:20]}, but {usages[row]} in row {row} of {file.name}; are these its votes, in its order?"
            )
        if not name:  # all ten raters see no face
            continue
        split = fer2013.SPLITS[usage]
        pictures[split] += 1
        if picture := _make_found(fields, where, rule, split):
            labelled.append(FoundPicture(f"{file.name} row {row}", picture.emotion, picture.metadata))
            rows.append(row)
    if row + 1 != len(usages):
        raise DataError(f"{votes}: {row + 1:,} rows, but {file.name} has {len(usages):,}; are these its votes?")
    if not labelled:
        raise DataError(f"{votes}: no picture has a label by the {rule} rule")
    keep = np.zeros(len(images), bool)
    keep[rows] = True
    blank = keep & (images.min(axis=(1, 2)) == images.max(axis=(1, 2)))
    names = tuple(name for name in CLASSES if name in NAMES)
    values, origin = fer2013.resize_rows(file, key, images, keep, size, colour)
    notes = _describe_counts(pictures, labelled, rule, "fer2013new.csv")
    if blank.any():
        notes.append(f"{blank.sum():,} labelled pictures are constant")
    metadata = pd.DataFrame([{"source": picture.file, **picture.metadata} for picture in labelled])
    labels = np.array([names.index(str(picture.emotion)) for picture in labelled])
    return FaceDataset(values, labels, names, metadata, "FER+", tuple(notes), origin=origin)
