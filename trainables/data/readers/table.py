"""A data set as a table: one row per picture, with the file, the label, and what is known of the person."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trainables.data.build_data_set import ADULT, CHILD, FoundPicture, build_data_set
from trainables.data.dataset import AFFECT, SHOWN, VOTES, DataError, Doubt, Example, FaceDataset, register_reader
from trainables.data.files import is_junk, parse_number, read_columns, resolve_within
from trainables.data.readers.folders import NAMES
from trainables.data.readers.folders import PARTS as FOLDER_PARTS
from trainables.data.table_file import TableFile, open_table
from trainables.data.unpack import ARCHIVES, unpack_archive, unpack_pictures
from trainables.registry import BadRequest

COLUMNS = {
    "file": ("file", "path", "filename", "file_name", "image", "image_path", "img", "picture"),
    "label": ("label", "emotion", "expression", "class", "category"),
    "subject": ("subject", "person", "subject_id", "identity", "participant", "actor"),
    "sequence": ("sequence", "clip", "video"),
    "age": ("age", "years"),
    "sex": ("sex", "gender"),
    "ethnicity": ("ethnicity", "race"),
    "split": ("split", "usage", "part", "subset"),
}
"""Names by which a column is recognised, in any case; an option names another."""
BOX = ("left", "top", "width", "height")
SEXES = {"f": "F", "female": "F", "woman": "F", "girl": "F", "m": "M", "male": "M", "man": "M", "boy": "M"}
PARTS = FOLDER_PARTS | {"publictest": "val", "privatetest": "test"}
MISSING = 0.05
"""Largest share of rows whose file may be missing."""
EXAMPLE = Example(
    pictures={
        f"{part}/{person}-{name}.png": (name, {"subject": person, "split": part, "sex": sex, "age": float(age)})
        for part, person, sex, age in (("train", "k01", "F", 6), ("train", "k02", "M", 7), ("test", "k03", "F", 8))
        for name in ("anger", "happiness", "neutral")
    },
    texts={
        "labels.csv": "file,label,person,gender,age,split\n"
        + "".join(
            f"{part}/{person}-{name}.png,{name.title()},{person},{sex},{age},{part}\n"
            for part, person, sex, age in (("train", "k01", "girl", 6), ("train", "k02", "Male", 7), ("test", "k03", "f", 8))
            for name in ("anger", "happiness", "neutral")
        )
    },
    required=("labels.csv",),
    classes=("anger", "happiness", "neutral"),
)


def _raise_data_errors(read: Callable[..., FaceDataset]) -> Callable[..., FaceDataset]:
    """Turn what is wrong with the table itself into a DataError, as readers promise."""

    @wraps(read)
    def wrapped(*given: Any, **options: Any) -> FaceDataset:
        try:
            return read(*given, **options)
        except BadRequest as error:
            raise error if isinstance(error, DataError) else DataError(str(error)) from None

    return wrapped


@register_reader(
    "table",
    "a table (.csv, .tsv, .parquet) of file,label and any of subject, sequence, age, sex, split, box; root=FOLDER or archive",
    ("root", "file", "label", "labels", "subject", "sequence", "age", "sex", "ethnicity", "split", "crop"),
    source="your own",
    licence="that of the images",
    example=EXAMPLE,
)
@_raise_data_errors
def read_image_table(
    path: str,
    *,
    size: int,
    colour: str,
    population: str | None = None,
    root: Path | None = None,
    file: str = "",
    label: str = "",
    labels: Path | None = None,
    subject: str = "",
    sequence: str = "",
    age: str = "",
    sex: str = "",
    ethnicity: str = "",
    split: str = "",
    crop: str = "",
) -> FaceDataset:
    """Read the pictures that a table lists.

    Files are relative to `root`, by default the table's folder; `root` may be a zip or tar archive, and in a parquet table the pictures may
    be in the column itself, as in Hugging Face's sets. A file is found by its path, by its name if that is unique, and without its
    suffix. Options name columns; `subject` may also be a regular expression whose first group, in the file's path, is the person.

    Labels are compared with the known expressions in any case; others are classes of their own. Numbers need `labels`, a csv
    `value,label`, because they mean different classes in different sets. Without a label column nothing has a label. Columns named as
    in `FaceDataset` (votes_CLASS, valence, arousal, emoreact_LABEL) are taken as they are. With ages, `population` selects by them.

    Raises DataError with file and row.
    """
    path = _find_table(Path(path))
    table = open_table(path, "picture")
    chosen = {"file": file, "label": label, "sequence": sequence, "age": age, "sex": sex, "ethnicity": ethnicity, "split": split}
    pattern = _compile_pattern(table, subject)
    names = {part: _find_column(table, part, name) for part, name in (chosen | {"subject": "" if pattern else subject}).items()}
    place, files, notes = _find_files(Path(path), table, names["file"], root)
    emotions, said = _read_labels(table, names["label"], labels)
    metadata = _read_metadata(table, names)
    if pattern:
        metadata["subject"] = persons = [match[1] if name and (match := pattern.search(name)) else None for name in files]
        if unnamed := [name for name, person in zip(files, persons, strict=True) if person is None and name]:
            count = f"{len(unnamed):,} of {len(files):,} names"
            said.append(Doubt(f"in {count} subject={subject} finds nobody; the first: {unnamed[0]}"))
    boxes = _read_boxes(table)
    pictures, kept = [], _keep_rows(table, files, emotions, boxes, notes)
    years = metadata.get("age")
    if population and years:
        low, high = (0, CHILD) if population == "children" else (ADULT, 130)
        kept = [row for row in kept if low <= years[row] <= high]
        notes.append(f"{population}: {len(kept):,} of {len(files):,} rows, by their ages")
    for row in kept:
        own = {name: values[row] for name, values in metadata.items() if values[row] is not None and values[row] == values[row]}
        pictures.append(FoundPicture(str(files[row]), emotions[row], own, box=boxes[row] if boxes else None))
    classes = {emotion for emotion in emotions if emotion is not None}
    title = ", ".join(filter(None, (f"images of {Path(path).stem}", population)))
    return build_data_set(place, pictures, title=title, size=size, colour=colour, classes=classes, notes=[*said, *notes], crop=crop)


def _find_table(path: Path) -> str:
    """Return the table: the file itself, or the only table in a folder."""
    if not path.is_dir():
        return str(path)
    tables = sorted(entry.name for entry in path.iterdir() if entry.suffix.lower() in (".csv", ".tsv", ".parquet"))
    if len(tables) != 1:
        raise DataError(f"{path}: has {', '.join(tables) or 'no table (.csv, .tsv, .parquet)'}; name one table")
    return str(path / tables[0])


def _find_column(table: TableFile, part: str, name: str) -> str:
    """Return the name of a part's column: the one that the option names, or one by which it is known; empty if there is none."""
    if name:
        if name not in table.column_names:
            raise table.make_column_error(name, f"{part}=COLUMN names the column of the {part}")
        return name
    folded = {column.lower(): column for column in reversed(table.column_names)}
    found = next((folded[known] for known in COLUMNS[part] if known in folded), "")
    if part == "file" and not found:
        raise table.make_column_error("file", "file=COLUMN names the column of the files")
    return found


def _compile_pattern(table: TableFile, subject: str) -> re.Pattern[str] | None:
    if "(" not in subject or subject in table.column_names:
        return None
    try:
        pattern = re.compile(subject)
    except re.error as error:
        raise DataError(f"{table.path}: subject={subject!r} is neither a column nor a regular expression ({error})") from None
    if not pattern.groups:
        raise DataError(f"{table.path}: subject={subject!r} has no group (...) that is the person")
    return pattern


def _find_files(path: Path, table: TableFile, column: str, root: Path | None) -> tuple[Path, list[str | None], list[str]]:
    """Return the folder of the files, each row's file in it (None if it is missing), and notes."""
    values = table.frame[column]
    first = next((value for value in values if value is not None), None)
    if isinstance(first, dict | bytes):
        return unpack_pictures(path, column, values), [str(row) for row in range(len(values))], []
    names = [unicodedata.normalize("NFC", name) for name in table.read_text_column(column)]
    place = root or path.parent
    if place.is_file():
        if not place.name.lower().endswith(ARCHIVES):
            raise DataError(f"root={place}: is neither a folder nor an archive ({', '.join(ARCHIVES)})")
        place = unpack_archive(place)
    if not place.is_dir():
        raise DataError(f"root={place}: no such folder")
    present = _index_files(place)
    files: list[str | None] = []
    missing = []
    for record, name in zip(table.frame.index, names, strict=True):
        inside = resolve_within(name.removeprefix("./"), f"{table.path}, row {record + 2}")
        found = present.get(inside) or present.get(inside.lower())
        missing += [] if found else [(record, name)]
        files.append(found)
    if len(missing) > MISSING * len(files):
        row, name = table.find_row(missing[0][0]), missing[0][1]
        count = f"{len(missing):,} of {len(files):,} files"
        raise DataError(f"{table.path}, row {row}: {count} are not in {root or path.parent}; the first: {name}; give root=FOLDER")
    notes: list[str] = []
    if missing:
        notes.append(Doubt(f"{len(missing):,} of {len(files):,} files are missing and left out; the first: {missing[0][1]}"))
    return place, files, notes


def _index_files(place: Path) -> dict[str, str]:
    """Return the files below a folder by path, and by every other form that only one of them has.

    Such forms are the name alone, both without a suffix, and all of them in small letters.
    """
    paths = []
    for folder, folders, names in os.walk(place, followlinks=True):
        folders[:] = [name for name in folders if not is_junk(name)]
        relative = os.path.relpath(folder, place)
        paths += [name if relative == "." else f"{relative}/{name}" for name in names if not is_junk(name)]
    index: dict[str, str] = {unicodedata.normalize("NFC", path): path for path in paths}
    forms: dict[str, set[str]] = {}
    for whole, path in list(index.items()):
        name = whole.rpartition("/")[2]
        shorter = (name, os.path.splitext(whole)[0], os.path.splitext(name)[0])
        for form in {*shorter, *(form.lower() for form in (whole, *shorter))}:
            forms.setdefault(form, set()).add(path)
    return {form: next(iter(found)) for form, found in forms.items() if len(found) == 1} | index


def _read_labels(table: TableFile, column: str, file: Path | None) -> tuple[list[str | None], list[str]]:
    """Return each row's class, None where it has none, and notes on what was taken for what."""
    if not column:
        return [None] * len(table.frame), []
    given = [value.strip() for value in table.read_text_column(column, empty=True)]
    renamed = {value.lower(): name for _, (value, name) in read_columns(file, ("value", "label"))} if file else {}
    known: dict[str, str | None] = {"": None}
    for value in dict.fromkeys(given):
        name = renamed.get(value.lower())
        if name is None and value:
            if renamed:
                raise DataError(f"{file}: has no line for the label {value!r} of {table.path}")
            name = value
            if not re.search("[a-zA-Z]", value):
                record = table.frame.index[given.index(value)]
                says = f"{value!r} is a number, and numbers mean another class in every set; give labels=FILE, a csv value,label"
                raise table.make_cell_error(record, column, says)
        known[value] = None if not name or name == "-" else NAMES.get(name.lower(), re.sub(r"\W+", "_", name.lower()).strip("_"))
    counts = Counter(given)
    mapped = [f"{value} -> {name} {counts[value]:,}" for value, name in known.items() if name and value != name]
    own = sorted({name for name in known.values() if name and name not in set(NAMES.values())})
    notes = [f"labels: {', '.join(mapped)}"] if mapped else []
    notes += [f"classes of its own, beside the eight usual ones: {', '.join(own)}"] if own else []
    if counts[""]:
        notes.append(f"{counts['']:,} of {len(given):,} rows have no label")
    return [known[value] for value in given], notes


def _read_metadata(table: TableFile, names: dict[str, str]) -> dict[str, list[Any]]:
    """Return what is known of the pictures, by metadata column; None or NaN where it is unknown."""
    metadata: dict[str, list[Any]] = {}
    for part in ("subject", "sequence", "ethnicity"):
        if names[part]:
            metadata[part] = [value.strip() or None for value in table.read_text_column(names[part], empty=True)]
    if names["age"]:
        text = table.read_text_column(names["age"], empty=True)
        metadata["age"] = [
            parse_number(value.replace(",", "."), f"{table.path}, row {table.find_row(record)}", "age", 0, 130) if value else np.nan
            for record, value in zip(table.frame.index, text, strict=True)
        ]
    for part, values in (("sex", SEXES), ("split", PARTS)):
        if names[part]:
            metadata[part] = _translate_column(table, names[part], part, values)
    for column in table.column_names:
        if column in AFFECT or column.startswith((VOTES, SHOWN)):
            metadata[column] = table.read_number_column(column).tolist()
    return metadata


def _translate_column(table: TableFile, column: str, part: str, values: dict[str, str]) -> list[str | None]:
    text = [value.strip().lower().replace(" ", "") for value in table.read_text_column(column, empty=True)]
    for record, value in zip(table.frame.index, text, strict=True):
        if value and value not in values:
            raise table.make_cell_error(record, column, f"{value!r} is no {part} (known: {', '.join(values)})")
    if part == "split" and "" in text and any(text):
        raise table.make_cell_error(table.frame.index[text.index("")], column, "is empty; every picture needs its split")
    return [values.get(value) for value in text]


def _read_boxes(table: TableFile) -> list[tuple[float, float, float, float]] | None:
    if not set(BOX) <= set(table.column_names):
        return None
    edges = np.stack([table.read_number_column(name) for name in BOX], axis=1)
    if (empty := np.flatnonzero(np.isnan(edges).any(axis=1))).size:
        raise table.make_cell_error(table.frame.index[empty[0]], BOX[0], "has no whole box (left, top, width, height)")
    return [tuple(row) for row in edges.tolist()]


def _keep_rows(table: TableFile, files: Sequence[str | None], emotions: Sequence[str | None], boxes: Any, notes: list[str]) -> list[int]:
    """Return the rows that are read: those with a file, each picture once. Raises DataError for a picture with two labels."""
    first: dict[tuple[Any, ...], int] = {}
    kept = []
    for row, name in enumerate(files):
        if name is None:
            continue
        key = (name, boxes[row] if boxes else None)
        if (other := first.setdefault(key, row)) != row:
            if emotions[row] != emotions[other]:
                rows = " and ".join(table.find_row(table.frame.index[number]) for number in (other, row))
                raise DataError(f"{table.path}, rows {rows}: {name} has the labels {emotions[other]} and {emotions[row]}")
            continue
        kept.append(row)
    twice = sum(name is not None for name in files) - len(kept)
    if twice:
        one, many = "row lists a picture that an earlier row lists, and is", "rows list pictures that earlier rows list, and are"
        notes.append(f"{twice:,} {one if twice == 1 else many} left out")
    return kept


def tabulate_data_set(faces: FaceDataset) -> pd.DataFrame:
    """Return any data set as such a table: file, label, and its metadata."""
    labels = np.array([*faces.classes, ""], object)[faces.labels]
    table = faces.metadata.rename(columns={"source": "file"}).reset_index(drop=True)
    table.insert(1, "label", labels)
    return table
