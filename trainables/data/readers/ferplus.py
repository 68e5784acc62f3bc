"""FER+ (Barsoum et al. 2016): FER2013's pictures with ten votes each, from its official folders or joined to FER2013's csv."""

from pathlib import Path

import numpy as np
import pandas as pd

from trainables.data.dataset import CLASSES, VOTES, DataError, Doubt, FaceDataset, Release, register_reader
from trainables.data.files import find_root, parse_number, read_columns, resolve_within
from trainables.data.gather import FoundPicture, build_data_set
from trainables.data.readers import fer2013

NAMES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""the order of the votes; then unknown and NF (no face)"""
COLUMNS = (*NAMES, "unknown", "NF")
FOLDERS = {"FER2013Train": "train", "FER2013Valid": "val", "FER2013Test": "test"}
RULES = ("majority", "probability")
RELEASE = Release(images=35_710, splits={"train": 28_558, "val": 3_579, "test": 3_573})
MAJORITY = {
    "fer2013new.csv": (25_060, 3_199, 3_153),
    "label.csv": (25_045, 3_191, 3_137),
    "label.csv, with the votes of fer2013new.csv,": (25_057, 3_199, 3_153),
}
"""training, validation and test images that the majority rule leaves; the release's two tables differ in the votes of 1,602 pictures"""


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
    """Read pictures and votes; a picture without a label by the rule is left out.

    The rules are those of the published code. Votes of a single rater are dropped first. `majority`: the class with more than half of
    the votes that remain. `probability`: at most three classes that together have 75 % of the votes (and more than half); the label
    is the first of them. Pictures that come out as unknown or as no face are left out.

    The release's tables differ: label.csv in the folders is another state of the votes than fer2013new.csv, in 1,602 pictures; with
    `votes=fer2013new.csv` folders are read with the latter's, by the name of the picture. A csv is joined by the order of its rows,
    never by the number in a picture's name, which counts faces and not rows. `copies=keep` keeps what stands in the set more than
    once, as published; else copies are dropped as the kind fer2013 drops them.

    Facts: `source`, `split`, and `votes_CLASS` of the eight classes (what is left of them, unknown and no face excluded). FER+ does
    not say who is a child: "adults" is everybody. DataError names file and line.
    """
    if rule not in RULES:
        raise DataError(f"{path}: unknown rule {rule!r} (known: {', '.join(RULES)})")
    if copies not in ("drop", "keep"):
        raise DataError(f"{path}: copies={copies!r} is neither drop nor keep")
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
    """The label of one picture's ten votes, an index into COLUMNS, and the votes that count: float [10]."""
    votes = np.where(np.asarray(votes, float) <= 1, 0, votes)
    total = votes.sum()
    kept = votes.copy()
    good = votes.max() > total / 2
    if rule == "probability":
        kept, left, covered, classes, going = np.zeros(len(votes)), votes.copy(), 0.0, 0, True
        while covered < 0.75 * total and classes < 3 and going:
            most = left.max()
            for place in np.flatnonzero(left == most):  # all that share the rank, up to unknown or no face
                kept[place], left[place] = most, 0
                covered, classes = covered + most, classes + 1
                if place >= len(NAMES):
                    going = False
                    if kept.sum() > most:  # classes came before it
                        kept[place], classes = 0, classes - 1
                    break
        good = kept.sum() > total / 2 and classes <= 3
    return (int(kept.argmax()) if good else COLUMNS.index("unknown")), kept


def _make_found(text: list[str], where: str, rule: str, split: str) -> FoundPicture | None:
    """What ten votes say, as a Found without a file; None for no label."""
    votes = np.array([parse_number(vote, where, "vote", 0, 10) for vote in text])
    chosen, kept = decide_label(votes, rule)
    if chosen >= len(NAMES):
        return None
    by_name = dict(zip(NAMES, kept, strict=False))
    return FoundPicture("", NAMES[chosen], {"split": split} | {f"{VOTES}{name}": int(by_name[name]) for name in CLASSES})


def _read_folders(path: str, votes: Path | None, rule: str, size: int, colour: str) -> FaceDataset:
    root = find_root(path, "FER+'s folders FER2013Train, FER2013Valid, FER2013Test", *FOLDERS)
    newer = _read_votes(votes) if votes else {}
    found, counts = [], {}
    for place, split in FOLDERS.items():
        file = root / place / "label.csv"
        if not file.is_file():
            raise DataError(f"{root}: has no {place}/label.csv; the release has one in each of {', '.join(FOLDERS)}")
        seen = set()
        for line, (name, _, *given) in read_columns(file, ("name", "box", *COLUMNS), header=False):
            where = f"{file}, line {line}"
            if (picture := resolve_within(name, where)) in seen:
                raise DataError(f"{where}: {picture} is listed a second time")
            seen.add(picture)
            if votes and picture not in newer:
                raise DataError(f"{votes}: has no votes for {picture}, which {file} lists")
            if each := _make_found(newer.get(picture, given), where, rule, split):
                found.append(FoundPicture(f"{place}/{picture}", each.emotion, each.metadata))
        counts[split] = len(seen)
    return build_data_set(
        root,
        found,
        title="FER+",
        size=size,
        colour=colour,
        classes=NAMES,
        notes=_describe_counts(counts, found, rule, list(MAJORITY)[2 if votes else 1]),
    )


def _describe_counts(pictures: dict[str, int], found: list[FoundPicture], rule: str, of_table: str) -> list[str]:
    each = [sum(one.metadata["split"] == split for one in found) for split in FOLDERS.values()]
    of = ", ".join(f"{split} {labelled:,} of {pictures.get(split, 0):,}" for split, labelled in zip(FOLDERS.values(), each, strict=True))
    notes = [f"labelled: {of}; the others are unknown or no faces"]
    if rule == "majority" and tuple(each) != MAJORITY[of_table]:
        here, released = (" / ".join(f"{one:,}" for one in counts) for counts in (each, MAJORITY[of_table]))
        notes.append(Doubt(f"{here} labelled, where the release's {of_table} has {released}"))
    return notes


def _read_votes(file: Path) -> dict[str, list[str]]:
    """The ten votes of each named picture; of a name that stands twice the first."""
    votes: dict[str, list[str]] = {}
    for _, (name, *given) in read_columns(file, ("Image name", *COLUMNS)):
        votes.setdefault(name, given)
    return votes


def _join_csv(file: Path, votes: Path | None, rule: str, size: int, colour: str) -> FaceDataset:
    """FER2013's csv with the votes of fer2013new.csv, row by row."""
    votes = votes or file.with_name("fer2013new.csv")
    images, _, usages, key = fer2013.read_rows(file)
    found: list[FoundPicture] = []
    rows: list[int] = []
    pictures = dict.fromkeys(FOLDERS.values(), 0)
    row = -1
    for row, (line, (usage, name, *given)) in enumerate(read_columns(votes, ("Usage", "Image name", *COLUMNS))):
        where = f"{votes}, line {line}"
        if row >= len(usages):
            raise DataError(f"{where}: {file.name} has only {len(usages):,} rows; are these its votes?")
        if usage != usages[row]:
            raise DataError(
                f"{where}: Usage is {usage[:20]}, but {usages[row]} in row {row} of {file.name}; are these its votes, in its order?"
            )
        if not name:  # no face, by all ten
            continue
        split = fer2013.SPLITS[usage]
        pictures[split] += 1
        if each := _make_found(given, where, rule, split):
            found.append(FoundPicture(f"{file.name} row {row}", each.emotion, each.metadata))
            rows.append(row)
    if row + 1 != len(usages):
        raise DataError(f"{votes}: {row + 1:,} rows, but {file.name} has {len(usages):,}; are these its votes?")
    if not found:
        raise DataError(f"{votes}: no picture has a label by the {rule} rule")
    keep = np.zeros(len(images), bool)
    keep[rows] = True
    blank = keep & (images.min(axis=(1, 2)) == images.max(axis=(1, 2)))
    names = tuple(name for name in CLASSES if name in NAMES)
    values, origin = fer2013.resize_rows(file, key, images, keep, size, colour)
    notes = _describe_counts(pictures, found, rule, "fer2013new.csv")
    if blank.any():
        notes.append(f"{blank.sum():,} labelled pictures are constant")
    metadata = pd.DataFrame([{"source": each.file, **each.metadata} for each in found])
    labels = np.array([names.index(str(each.emotion)) for each in found])
    return FaceDataset(values, labels, names, metadata, "FER+", tuple(notes), origin=origin)
