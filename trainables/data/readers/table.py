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

from trainables.data.build_data_set import FoundPicture, build_data_set, is_of_population
from trainables.data.dataset import AFFECT, SHOWN, VOTES, DataError, Doubt, Example, FaceDataset, register_reader
from trainables.data.files import compile_subject, list_files, parse_number, read_columns, resolve_within
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
BOXES = (("left", "top", "width", "height"), ("x", "y", "width", "height"), ("x", "y", "w", "h"))
"""Names of the columns of a face's box, in any case."""
NOBODY_KNOWS = ("", "-", "?", "na", "n/a", "nan", "none", "null", "unknown")
"""How a table says that something is not known, in any case."""
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
    source="nobody: it is your own",
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
    is_pattern = "(" in subject and subject not in table.column_names
    pattern = compile_subject(subject, table.path, "neither a column nor a regular expression") if is_pattern else None
    names = {part: _find_column(table, part, name) for part, name in (chosen | {"subject": "" if pattern else subject}).items()}
    place, files, paths, notes = _find_files(Path(path), table, names["file"], root)
    emotions, said = _read_labels(table, names["label"], labels)
    metadata = _read_metadata(table, names)
    if pattern:
        metadata["subject"] = persons = [match[1] if (match := pattern.search(name)) else None for name in paths]
        if unnamed := [name for name, person in zip(paths, persons, strict=True) if person is None]:
            count = f"{len(unnamed):,} of {len(files):,} names"
            said.append(Doubt(f"in {count} subject={subject} finds nobody; the first: {unnamed[0]}"))
    boxes, box_columns = _read_boxes(table)
    said.insert(0, _describe_columns(table, names, [*box_columns, *(name for name in table.column_names if _name_answer(name))]))
    pictures, kept = [], _keep_rows(table, files, emotions, boxes, notes)
    years = metadata.get("age")
    if population and years:
        kept = [row for row in kept if is_of_population(years[row], population)]
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


def _find_files(path: Path, table: TableFile, column: str, root: Path | None) -> tuple[Path, list[str | None], list[str], list[str]]:
    """Return the folder of the files, each row's file in it (None if it is missing), each row's path as written, and notes."""
    values = table.frame[column]
    first = next((value for value in values if value is not None), None)
    if isinstance(first, dict | bytes):
        paths = [str(value.get("path") or row) if isinstance(value, dict) else str(row) for row, value in enumerate(values)]
        return unpack_pictures(path, column, values), [str(row) for row in range(len(values))], paths, []
    names = [unicodedata.normalize("NFC", name) for name in table.read_text_column(column)]
    place = root or path.parent
    if place.is_file():
        if not place.name.lower().endswith(ARCHIVES):
            raise DataError(f"root={place}: is neither a folder nor an archive ({', '.join(ARCHIVES)})")
        place = unpack_archive(place)
    if not place.is_dir():
        raise DataError(f"root={place}: no such folder")
    present, ambiguous = _index_files(place)
    inside = [_make_relative(name, place, f"{table.path}, row {record + 2}") for record, name in zip(table.frame.index, names, strict=True)]
    files = [present.get(name) for name in inside]
    taken = set(files)
    small = {path.lower(): path for path in present.values() if path not in taken} | {
        form.lower(): path for form, path in present.items() if path not in taken
    }
    files = [file or small.get(name.lower()) for file, name in zip(files, inside, strict=True)]
    missing = [(record, name) for record, name, file in zip(table.frame.index, inside, files, strict=True) if file is None]
    if doubtful := [(record, name) for record, name in missing if name in ambiguous]:
        row, name = table.find_row(doubtful[0][0]), doubtful[0][1]
        raise DataError(f"{table.path}, row {row}: several files in {place} are called {name}; give their paths")
    if len(missing) > MISSING * len(files):
        row, name = table.find_row(missing[0][0]), missing[0][1]
        count = f"{len(missing):,} of {len(files):,} files"
        raise DataError(f"{table.path}, row {row}: {count} are not in {root or path.parent}; the first: {name}; give root=FOLDER")
    notes: list[str] = []
    if missing:
        notes.append(Doubt(f"{len(missing):,} of {len(files):,} files are missing and left out; the first: {missing[0][1]}"))
    return place, files, names, notes


def _make_relative(name: str, place: Path, where: str) -> str:
    """Return a file's path within the folder. Raises DataError for one that leads out of it."""
    whole = str(place.absolute())
    return resolve_within(name.removeprefix(f"{whole}/").removeprefix("./"), where)


def _index_files(place: Path) -> tuple[dict[str, str], set[str]]:
    """Return the files below a folder by path, and by every shorter form that only one of them has; and the forms of several.

    Such forms are the name alone, and both without a suffix.
    """
    index: dict[str, str] = {unicodedata.normalize("NFC", path): path for path in list_files(place, None)}
    forms: dict[str, set[str]] = {}
    for whole, path in list(index.items()):
        name = whole.rpartition("/")[2]
        for form in {name, os.path.splitext(whole)[0], os.path.splitext(name)[0]}:
            forms.setdefault(form, set()).add(path)
    unique = {form: min(found) for form, found in forms.items() if len(found) == 1} | index
    return unique, forms.keys() - unique.keys()


def _describe_columns(table: TableFile, names: dict[str, str], others: Sequence[str]) -> str:
    """Return a note on the columns that are read and on those that are not."""
    read = [f"{part} from {name}" for part, name in names.items() if name] + list(others)
    unread = [name for name in table.column_names if name not in {*names.values(), *others}]
    return f"columns read: {', '.join(read)}" + (f"; not read: {', '.join(unread)}" if unread else "")


def _name_answer(column: str) -> str:
    """Return the metadata column of votes, valence, arousal or one of several labels; empty if it is none of these."""
    folded = column.lower()
    if folded in AFFECT:
        return folded
    prefix = next((prefix for prefix in (VOTES, SHOWN) if folded.startswith(prefix)), "")
    rest = folded.removeprefix(prefix)
    return prefix and f"{prefix}{NAMES.get(rest, rest)}"


def _read_labels(table: TableFile, column: str, file: Path | None) -> tuple[list[str | None], list[str]]:
    """Return each row's class, None where it has none, and notes on what was taken for what."""
    if not column:
        return [None] * len(table.frame), []
    given = ["" if value.strip().lower() in NOBODY_KNOWS else value.strip() for value in table.read_text_column(column, empty=True)]
    renamed: dict[str, str] = {}
    for line, (value, label) in read_columns(file, ("value", "label")) if file else ():
        if renamed.setdefault(value.lower(), label) != label:
            raise DataError(f"{file}, line {line}: the value {value!r} has a second label")
    known: dict[str, str | None] = {"": None}
    for value in dict.fromkeys(given):
        name = renamed.get(value.lower())
        if name is None and value:
            if renamed:
                raise DataError(f"{file}: has no line for the label {value!r} of {table.path}")
            name = value
            if not any(letter.isalpha() for letter in value):
                record = table.frame.index[given.index(value)]
                says = f"{value!r} is not a word, and numbers mean another class in every set; give labels=FILE, a csv value,label"
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
            metadata[part] = [
                None if value.strip().lower() in NOBODY_KNOWS else value.strip()
                for value in table.read_text_column(names[part], empty=True)
            ]
    if names["age"]:
        text = table.read_text_column(names["age"], empty=True)
        metadata["age"] = [
            parse_number(value.replace(",", "."), f"{table.path}, row {table.find_row(record)}", "age", 0, 130)
            if value.lower() not in NOBODY_KNOWS
            else np.nan
            for record, value in zip(table.frame.index, text, strict=True)
        ]
    for part, values in (("sex", SEXES), ("split", PARTS)):
        if names[part]:
            metadata[part] = _translate_column(table, names[part], part, values)
    for column in table.column_names:
        if answer := _name_answer(column):
            metadata[answer] = table.read_number_column(column).tolist()
    return metadata


def _translate_column(table: TableFile, column: str, part: str, values: dict[str, str]) -> list[str | None]:
    text = [value.strip().lower().replace(" ", "") for value in table.read_text_column(column, empty=True)]
    for record, value in zip(table.frame.index, text, strict=True):
        if value not in values and value not in NOBODY_KNOWS:
            raise table.make_cell_error(record, column, f"{value!r} is no {part} (known: {', '.join(values)})")
    if part == "split" and "" in text and any(text):
        raise table.make_cell_error(table.frame.index[text.index("")], column, "is empty; every picture needs its split")
    return [values.get(value) for value in text]


def _read_boxes(table: TableFile) -> tuple[list[tuple[float, float, float, float]] | None, tuple[str, ...]]:
    """Return each row's box, None if the table has no boxes, and the names of their columns."""
    folded = {name.lower(): name for name in table.column_names}
    columns = next((tuple(folded[name] for name in names) for names in BOXES if set(names) <= set(folded)), ())
    if not columns:
        return None, ()
    edges = np.stack([table.read_number_column(name) for name in columns], axis=1)
    if (empty := np.flatnonzero(np.isnan(edges).any(axis=1))).size:
        raise table.make_cell_error(table.frame.index[empty[0]], columns[0], f"has no whole box ({', '.join(columns)})")
    return [tuple(row) for row in edges.tolist()], columns


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
