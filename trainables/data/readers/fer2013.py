"""FER2013 (Goodfellow et al. 2013): one csv of 35,887 grey 48x48 faces from the web. Subjects are unknown."""

import csv
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trainables.data import decoded_cache
from trainables.data.build_data_set import ADULT, CHILD, is_of_population
from trainables.data.dataset import CLASSES, DataError, Doubt, FaceDataset, Release, register_reader
from trainables.data.decode import crop_square
from trainables.registry import describe_os_error

SIDE = 48
ROWS = 35_887
CODES = {"0": "anger", "1": "disgust", "2": "fear", "3": "happiness", "4": "sadness", "5": "surprise", "6": "neutral"}
SPLITS = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
TITLES = {"children": f"FER2013, children of {CHILD} or under", "adults": f"FER2013, adults of {ADULT} or over", None: "FER2013"}


RELEASE = Release(
    images=ROWS,
    splits={"train": 28_709, "val": 3_589, "test": 3_589},
    classes=dict(zip(CODES.values(), (4_953, 547, 5_121, 8_989, 6_077, 4_002, 6_198), strict=True)),
)


@register_reader(
    "fer2013",
    "FER2013's official csv: fer2013.csv or icml_face_data.csv; ages=FILE of row,age for populations; part=train for the training images",
    options=("ages", "part"),
    source="kaggle.com, Challenges in Representation Learning: Facial Expression Recognition",
    licence="competition data; the rights in the pictures (from the web) are unresolved",
    release=RELEASE,
)
def read_fer2013(
    path: str, *, size: int, colour: str, population: str | None = None, ages: Path | None = None, part: str | None = None
) -> FaceDataset:
    """Read the official csv: `emotion,pixels,Usage` in fer2013.csv, `emotion, Usage, pixels` in icml_face_data.csv.

    A row is a record's 0-based position in the file, in error messages, in `metadata.source` and in the ages file. `ages` is a csv
    `row,age` (years) with one line per row. With it, "children" keeps ages <= 12 and "adults" keeps ages >= 25. Without it, "adults"
    keeps everything (the study adults_as_augmentation uses FER2013 whole) and "children" is an error. `part` (train, val, test) keeps
    one part of the official split.

    These images are dropped before a population is chosen, so that no two populations or splits share a picture:
    - constant images, because they contain no face;
    - copies: of pixel-identical rows the first is kept. The file lists Training before PublicTest before PrivateTest. A picture in
      several splits therefore stays in training, and the held-out splits lose what training has seen;
    - all rows of a picture whose copies carry different labels, because the right label is unknown.

    Metadata: `source`, `split` (train, val, test), `usage` (its official name), and `age` if given.

    Raises DataError with file, row and line for any other layout. A file truncated inside a row is always detected, because the last
    row must have a line end. A file truncated between two rows shows only in its number of rows, which is noted.
    """
    if population not in TITLES:
        raise DataError(f"{path}: unknown population {population!r} (known: children, adults)")
    if not Path(path).exists():
        raise DataError(f"{path}: no such file")
    if population == "children" and ages is None:
        raise DataError(f"{path}: FER2013 does not say who is a child; give ages=FILE, a csv row,age with the age of each row of {path}")
    file = Path(path)
    images, codes, usages, key = read_rows(file)
    keep, notes = find_distinct(images, codes, usages)
    if len(images) != ROWS:
        comparison = f"{len(images):,} rows, where the official file has {ROWS:,}"
        notes.insert(0, Doubt(f"{comparison}: a part of it, or cut off between two rows"))
    metadata = pd.DataFrame({"source": [f"{file.name} row {row}" for row in range(len(codes))], "usage": usages})
    metadata.insert(1, "split", metadata["usage"].map(SPLITS))
    title = TITLES[population]
    if part is not None:
        title, keep = f"{title}, part {part}", keep & select_part(metadata["split"], part, path)
    if ages is not None:
        metadata["age"] = years = _read_ages(Path(ages), len(codes))
        if population is not None:
            chosen = is_of_population(years, population)
            keep &= chosen
            notes.append(f"{population}: {chosen.sum():,} of {len(codes):,} rows by {Path(ages).name}, {keep.sum():,} of them kept")
    elif population == "adults":
        title = f"FER2013, {'used whole' if part is None else f'part {part}, used'} as adults"
        notes.append(f"adults: {'used whole' if part is None else f'all of part {part}'}, children among them, for want of an ages file")
    if not keep.any():
        raise DataError(f"{file}: no image is left of {len(codes):,} rows ({'; '.join(notes)})")
    classes = tuple(name for name in CLASSES if name in CODES.values())
    labels = np.array([classes.index(name) for name in CODES.values()])[codes[keep]]
    pictures, origin = resize_rows(file, key, images, keep, size, colour)
    return FaceDataset(pictures, labels, classes, metadata.loc[keep].reset_index(drop=True), title, tuple(notes), origin=origin)


def select_part(splits: pd.Series, part: str, path: str) -> np.ndarray:
    """Return a mask of the rows of one part of the official split. Raises DataError for a part that does not exist."""
    if part not in SPLITS.values():
        raise DataError(f"{path}: unknown part {part!r} (known: {', '.join(SPLITS.values())})")
    return (splits == part).to_numpy()


def read_rows(file: Path) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """Return every row of the csv: images uint8 [n, 48, 48], codes int64 [n], official split names [n], and their cache key."""

    def make(place: Path) -> dict[str, Any]:
        images, codes, usages = _parse_rows(file)
        place.write_bytes(images.data)
        return {"shape": images.shape, "dtype": "|u1", "root": str(file), "codes": codes.tolist(), "usages": usages}

    key = decoded_cache.make_key(file, "fer2013", Path(__file__).read_bytes(), decoded_cache.get_file_state(file))
    images, info = decoded_cache.get_or_make(key, make, file)
    return images, np.array(info["codes"]), info["usages"], key


def resize_rows(file: Path, key: str, images: np.ndarray, keep: np.ndarray, size: int, colour: str) -> tuple[np.ndarray, str]:
    """Return the images of the mask `keep` at another size, uint8 [k, c, size, size], and their cache key."""

    def make(place: Path) -> dict[str, Any]:
        pictures = np.stack([crop_square(image, size, colour) for image in images[keep]])
        place.write_bytes(pictures.data)
        return {"shape": pictures.shape, "dtype": "|u1", "root": str(file)}

    resized_key = decoded_cache.make_key(file, key, size, colour, keep.tobytes())
    return decoded_cache.get_or_make(resized_key, make, file)[0], resized_key


def _parse_rows(file: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return every row of the file: images uint8 [n, 48, 48], codes int64 [n], official split names [n]."""
    pixels, codes, usages = bytearray(), [], []
    for row, (line, (emotion, text, usage)) in enumerate(_read_records(file, ("emotion", "pixels", "Usage"))):
        where = f"{file}, row {row} (line {line})"
        if emotion not in CODES:
            raise DataError(f"{where}: emotion {emotion[:40]!r} is not one of the codes 0 to 6")
        if usage not in SPLITS:
            raise DataError(f"{where}: Usage {usage[:40]!r} is not one of {', '.join(SPLITS)}")
        try:
            values = np.fromstring(text, dtype=np.int64, sep=" ")
        except ValueError:
            odd = next((word for word in text.split() if not (word.isascii() and word.isdigit())), text)
            raise DataError(f"{where}: pixel {odd[:40]!r} is not a whole number") from None
        if len(values) != SIDE * SIDE:
            raise DataError(f"{where}: {len(values)} pixels, not {SIDE * SIDE} ({SIDE}x{SIDE}); the row is cut off or of another data set")
        if values.min() < 0 or values.max() > 255:
            raise DataError(f"{where}: pixel value {values[(values < 0) | (values > 255)][0]} is outside 0 to 255")
        pixels += values.astype(np.uint8).tobytes()
        codes.append(int(emotion))
        usages.append(usage)
    return np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE), np.array(codes), usages


def find_distinct(images: np.ndarray, codes: np.ndarray, usages: list[str]) -> tuple[np.ndarray, list[str]]:
    """Return the rows to keep (a mask [n]), one per picture, and notes on the dropped rows."""
    flat = images.reshape(len(images), -1)
    constant = flat.min(axis=1) == flat.max(axis=1)
    rows_of: dict[bytes, list[int]] = {}
    for row in np.flatnonzero(~constant).tolist():
        rows_of.setdefault(blake2b(flat[row], digest_size=16).digest(), []).append(row)
    repeated = [rows for rows in rows_of.values() if len(rows) > 1]
    disputed = [rows for rows in repeated if len(set(codes[rows])) > 1]
    across = sum(len({usages[row] for row in rows}) > 1 for rows in repeated)
    keep = ~constant
    keep[[row for rows in repeated for row in rows[1:]]] = False
    keep[[row for rows in disputed for row in rows]] = False
    notes: list[str] = []
    if constant.any():
        notes.append(f"{constant.sum():,} constant images dropped")
    if repeated:
        notes.append(
            f"{len(repeated):,} pictures stand in {sum(map(len, repeated)):,} rows "
            f"({len(repeated) - across:,} within one split, {across:,} across splits): only the first row of each is kept; "
            f"{len(disputed):,} of them carry different labels and are dropped altogether; {sum(~keep & ~constant):,} rows dropped"
        )
    return keep, notes


def _read_ages(file: Path, rows: int) -> np.ndarray:
    """Return the age of each row in years: float64 [rows]. An estimate below 0 belongs to a newborn and counts as 0."""
    ages = np.full(rows, np.nan)
    for line, (row, age) in _read_records(file, ("row", "age")):
        if not (row.isascii() and row.isdigit()):
            raise DataError(f"{file}, line {line}: row {row[:40]!r} is not a whole number")
        if len(row) > 9 or int(row) >= rows:
            raise DataError(f"{file}, line {line}: row {row[:40]} is outside the data set's rows 0 to {rows - 1}")
        if not np.isnan(ages[int(row)]):
            raise DataError(f"{file}, line {line}: row {row} is given a second time")
        try:
            years = float(age)
        except ValueError:
            years = np.nan
        if not np.isfinite(years):
            raise DataError(f"{file}, line {line}: age {age[:40]!r} is not a number")
        ages[int(row)] = max(years, 0)
    if np.isnan(ages).any():
        missing = np.flatnonzero(np.isnan(ages))
        raise DataError(f"{file}: {len(missing):,} of {rows:,} rows have no age, first row {missing[0]}; give each a line row,age")
    return ages


def _read_records(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Yield each record's line number (1-based) and its fields, stripped, in the order of `columns`, whatever their order in the file."""
    last = ""

    def lines() -> Iterator[str]:
        nonlocal last
        with open(file, encoding="utf-8-sig", errors="replace", newline="") as text:
            for line in text:
                last = line
                yield line

    table = csv.reader(lines())
    row = -1
    try:
        header = [name.strip() for name in next(table, [])]
        if not last:
            raise DataError(f"{file}: is empty; expected the columns {','.join(columns)}")
        if sorted(header) != sorted(columns):
            raise DataError(f"{file}: the header is {','.join(header)[:80]!r}; expected the columns {','.join(columns)}, in any order")
        order = [header.index(name) for name in columns]
        for row, record in enumerate(filter(None, table)):
            if len(record) != len(order):
                raise DataError(f"{file}, row {row} (line {table.line_num}): {len(record)} columns, not {len(order)}; the row is cut off?")
            yield table.line_num, [record[column].strip() for column in order]
    except csv.Error as error:
        raise DataError(f"{file}, line {table.line_num}: not a csv ({error})") from None
    except OSError as error:
        raise DataError(f"{file}: {describe_os_error(error)}") from None
    if row < 0:
        raise DataError(f"{file}: has a header and no rows; it is cut off?")
    if not last.endswith(("\n", "\r")):  # the last number may lack digits, which no other check detects
        raise DataError(f"{file}, row {row} (line {table.line_num}): the last line has no end, so the file is cut off; fetch it again")
