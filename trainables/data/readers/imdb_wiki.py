"""IMDB-WIKI (Rothe, Timofte & Van Gool 2015): 523,051 faces of celebrities with their ages in the photographs; no expressions."""

import math
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from trainables.data.build_data_set import FoundPicture, build_data_set
from trainables.data.dataset import DataError, FaceDataset, register_reader
from trainables.data.files import find_root, resolve_within
from trainables.registry import join_lines

CHILD, ADULT = 12, 18
"""Years: children are this old or younger, adults this old or older."""
OLDEST = 100
COUNTS = {"imdb": 460_723, "wiki": 62_328}
FIELDS = ("dob", "photo_taken", "full_path", "gender", "name", "face_score", "second_face_score")


@register_reader(
    "imdb_wiki",
    "IMDB-WIKI: imdb_crop or wiki_crop with its .mat; score=1 is the least a face detector must have said; years=1-10 keeps these ages",
    ("score", "years"),
    source="data.vision.ee.ethz.ch/cvl/rrothe/imdb-wiki",
    licence="academic research",
)
def read_imdb_wiki(path: str, *, size: int, colour: str, population: str | None = None, score: str = "1", years: str = "") -> FaceDataset:
    """Read the cropped images with one face, an age from 0 to 100 and a detector score of at least `score`. They are unlabelled.

    The age is that in the middle of the year in which the photograph was taken. "children" are 12 or younger, "adults" 18 or older.
    `years` keeps the ages from its first number to its second, both included.
    Metadata: `source`, `subject` (the celebrity), `sex`, `age`. Raises DataError with the file and the row of its table.
    """
    try:
        minimum = float(score)
    except ValueError:
        minimum = math.nan
    if math.isnan(minimum):
        raise DataError(f"{path}: score={score!r} is not a number")
    youngest, oldest = _parse_years(years, path)
    root = find_root(path, "imdb.mat or wiki.mat with its folders of images", "imdb.mat", "wiki.mat")
    name = "imdb" if (root / "imdb.mat").is_file() else "wiki"
    columns = _read_mat_fields(root / f"{name}.mat", name)
    pictures, dropped = [], {"have no face, or a poor one": 0, "have a second face": 0, f"have no age from 0 to {OLDEST}": 0}
    faceless, several, ageless = dropped
    for row in range(len(columns["full_path"])):
        where = f"{root / name}.mat, row {row}"
        values = [
            _get_number(columns[field][row], where, field) for field in ("dob", "photo_taken", "gender", "face_score", "second_face_score")
        ]
        born, taken, sex, face_score, second_score = values
        if not face_score >= minimum:
            dropped[faceless] += 1
            continue
        if not math.isnan(second_score):
            dropped[several] += 1
            continue
        age = _compute_age(born, taken)
        if not 0 <= age <= OLDEST:
            dropped[ageless] += 1
            continue
        file = resolve_within(_get_text(columns["full_path"][row]), where)
        metadata = {"subject": _get_text(columns["name"][row]) or file, "sex": {0.0: "F", 1.0: "M"}.get(sex), "age": float(age)}
        if youngest <= age <= oldest and (population is None or (age <= CHILD if population == "children" else age >= ADULT)):
            pictures.append(FoundPicture(file, None, metadata))
    notes = [f"left out: {count:,} images that {reason}" for reason, count in dropped.items() if count]
    shown = ", ".join(filter(None, (population, years and f"ages {years}")))
    if shown:
        notes.append(f"{shown}: {len(pictures):,} images, by the age when they were taken")
    title = ", ".join(filter(None, (f"IMDB-WIKI ({name}), unlabelled", shown)))
    return build_data_set(root, pictures, title=title, size=size, colour=colour, classes=(), notes=notes)


def _parse_years(years: str, path: str) -> tuple[int, int]:
    """Return the lowest and the highest age that `years` names, such as 1-10; all ages if it is empty."""
    match = re.fullmatch(r"(\d{1,3})-(\d{1,3})", years or f"0-{OLDEST}", re.ASCII)
    if not match or int(match[1]) > int(match[2]):
        raise DataError(f"{path}: years={years!r} is not a range of ages, the lower one first, such as years=1-10")
    return int(match[1]), int(match[2])


def _read_mat_fields(file: Path, name: str) -> dict[str, np.ndarray]:
    """Return the fields of the Matlab file, one value per image."""
    try:
        struct = scipy.io.loadmat(file)[name][0, 0]
        rows = {field: np.asarray(struct[field]).ravel() for field in FIELDS}
    except (OSError, KeyError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        raise DataError(f"{file}: is not a table of IMDB-WIKI in Matlab's format ({join_lines(error, 80)})") from None
    if len({len(values) for values in rows.values()}) > 1:
        raise DataError(f"{file}: its fields have different lengths; the file is damaged")
    return rows


def _get_text(cell: Any) -> str:
    """Return the text of a Matlab cell: an array of one string, or an empty array."""
    while isinstance(cell, np.ndarray):
        if not cell.size:
            return ""
        cell = cell.flat[0]
    return str(cell)


def _get_number(cell: Any, where: str, field: str) -> float:
    try:
        return float(np.asarray(cell).flat[0])
    except (IndexError, ValueError, TypeError):
        raise DataError(f"{where}: {field} is not a number") from None


def _compute_age(born: float, taken: float) -> float:
    """Return the years from a Matlab date number to the middle of a year; NaN if there is no date."""
    try:
        birth = datetime.fromordinal(int(born) - 366)
    except (ValueError, OverflowError):
        return math.nan
    return taken - birth.year - (birth.month >= 7)
