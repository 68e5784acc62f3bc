"""Reads a table as somebody wrote it: text in any encoding, or parquet, with every record's position in the file."""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from trainables.cell import Value
from trainables.registry import BadRequest, join_lines, make_unknown_error

NOTHING = ("", "-", "na", "n/a", "#n/a", "<na>", "null", "nan", "-nan", "inf", "+inf", "-inf", "infinity", "-infinity")
"""how a table cell without a number is written"""
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
FEW = 20
"""the most names or values that are listed"""


@dataclass
class TableFile:
    """A table as it was written. The frame's index counts its records, rows without any value included."""

    path: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    encoding: str = ""
    separator: str = ""
    """of a text file; empty for parquet"""
    record: str = "training"
    """what a row is, in error messages"""

    @property
    def column_names(self) -> list[str]:
        return [str(name) for name in self.frame.columns]

    def make_error(self, says: str) -> BadRequest:
        return BadRequest(f"{self.path}: {' '.join(says.split())}")

    def make_column_error(self, name: str, todo: str) -> BadRequest:
        near = find_near_name(name, self.column_names)
        shown = ", ".join(self.column_names[:FEW]) + (", ..." if len(self.column_names) > FEW else "")
        return self.make_error(f"no column {name}{f'; did you mean {near}?' if near else ';'} {todo} (columns: {shown})")

    def make_cell_error(self, record: int, column: str, says: str) -> BadRequest:
        return self.make_error(f"row {self.find_row(record)}, column {column}: {says}")

    def find_row(self, record: int) -> str:
        """Return a record's row, for errors only: counting lines costs a pass over the file."""
        if not self.separator:
            return str(record + 2)
        row, line, _ = next(islice(_split_records(self.path, self.encoding, self.separator), record + 1, None))
        return f"{row}" + (f" (line {line} in an editor)" if line != row else "")

    def read_text_column(self, name: str, empty: bool = False) -> pd.Series:
        """Return a column as stripped text. Raises BadRequest for an empty table cell; `empty` allows empty cells and an absent column."""
        if empty and name not in self.frame:
            return pd.Series("", self.frame.index, dtype="str")
        column = self.frame[name]
        if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
            column = column.astype("Int64")  # whole numbers beside empty cells of a parquet file
        text = column.astype("str").fillna("").str.strip().replace("<NA>", "")
        if not empty and (text == "").any():
            raise self.make_cell_error(text.index[text == ""][0], name, f"is empty; every {self.record} needs its {name}")
        return text

    def read_value_column(self, name: str, mixed: bool = False) -> pd.Series:
        """Return a column as numbers if all its values are numbers, else as text.

        1 and 1.0 are the same, with `mixed` also beside values that are text. Raises BadRequest for an empty cell, and for a nan or NA
        among numbers.
        """
        text = self.read_text_column(name)
        codes, distinct = pd.factorize(text)
        texts = distinct.tolist()
        values = [_parse_value(value) for value in self.normalise_decimals(pd.Series(texts, dtype="str"))]
        text_codes = [code for code, value in enumerate(values) if isinstance(value, str)]
        if text_codes and len(text_codes) < len(values) and all(texts[code].lower() in NOTHING for code in text_codes):
            says = f"is {texts[text_codes[0]]} among numbers; every {self.record} needs its {name}"
            raise self.make_cell_error(text.index[codes == text_codes[0]][0], name, says)
        if text_codes:
            values = [str(value) for value in values] if mixed else texts
        one_type = len({type(value) for value in values}) == 1  # with .5 and 5, pandas would turn 5 into 5.0
        return pd.Series(values, dtype=None if one_type else object).take(codes).set_axis(self.frame.index)

    def read_number_column(self, name: str) -> np.ndarray:
        """Return a column as numbers, NaN where there is none. Raises BadRequest for true and false, and for text that is not a number."""
        column = self.frame[name]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            return column.to_numpy(float, na_value=np.nan)
        text = self.normalise_decimals(self.read_text_column(name, empty=True))
        is_number = text.str.fullmatch(NUMBER.pattern).to_numpy(bool)
        rest = text[~is_number].str.lower()
        if len(rest) and not is_number.any() and rest.isin(["true", "false", *NOTHING]).all() and rest.isin(["true", "false"]).any():
            raise self.make_error(f"column {name} holds true and false, not numbers; name the column of the numbers: --metric NAME")
        bad = rest.index[~rest.isin([*NOTHING, "none"])]
        if len(bad):
            says = f"{str(self.frame[name][bad[0]])[:60]!r} is no number; write one like 0.85, or leave it empty where the training failed"
            raise self.make_cell_error(bad[0], name, says)
        numbers = np.full(len(text), np.nan)
        numbers[is_number] = text[is_number].to_numpy(object).astype(float)  # Python's parser is exact to the last digit
        return numbers

    def normalise_decimals(self, text: pd.Series) -> pd.Series:
        """Return numbers with a decimal point, if a decimal comma can be told from a separator."""
        return text.str.replace(",", ".", regex=False) if self.separator == ";" else text


def open_table(path: str, record: str = "training") -> TableFile:
    """Return the table of a .csv, .tsv or .parquet file. Raises BadRequest, one line with file and row, for what is no table."""
    kind = Path(path).suffix.lower()
    if Path(path).is_dir():
        raise BadRequest(f"{path}: is a folder; name a table in it (.csv, .tsv, .parquet)")
    if kind not in (".csv", ".tsv", ".parquet"):
        raise BadRequest(f"{path}: tables are read from .csv, .tsv and .parquet files; save it as one of them")
    try:
        file = _open_parquet(path) if kind == ".parquet" else _open_text(path, "\t" if kind == ".tsv" else None)
    except OSError as error:
        raise BadRequest(f"{path}: cannot be read ({error.strerror or join_lines(error, 200)})") from None
    except (pa.ArrowException, csv.Error, UnicodeError) as error:
        raise BadRequest(f"{path}: is not a {kind} table ({join_lines(error, 200)}); save it again") from None
    file.record = record
    names = [" ".join(str(name).split()) for name in file.frame.columns]
    if duplicates := sorted({name for name in names if name and names.count(name) > 1}):
        raise file.make_error(f"row 1: two columns are called {duplicates[0]}; rename one")
    file.frame.columns = pd.Index(names)
    file.frame = file.frame[[name for name in names if name]]
    blank = np.ones(len(file.frame), bool)
    for _, column in file.frame.items():
        blank &= (column.isna() | ((column == "") if column.dtype == "str" else False)).to_numpy(bool)
    file.frame = file.frame[~blank] if blank.any() else file.frame
    if file.frame.empty:
        raise file.make_error("has a header and no row; nothing to read")
    return file


def _open_parquet(path: str) -> TableFile:
    """Open a parquet file. An index that pandas stored is an ordinary column."""
    with parquet.ParquetFile(path) as source:
        return TableFile(path, source.read().replace_schema_metadata().to_pandas())


def _open_text(path: str, separator: str | None) -> TableFile:
    """Open a text file, with every table cell as text. What is a number is decided by column, not guessed."""
    data, encoding = _decode_file(path)
    header = re.sub(r'"[^"]*"', "", data[:100_000].decode(errors="replace")).strip().partition("\n")[0]
    separator = separator or max(",;\t", key=header.count)
    _, _, names = next(_split_records(path, encoding, separator), (0, 0, []))
    if not names:
        raise BadRequest(f"{path}: is empty; nothing to read")
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(autogenerate_column_names=True),
            parse_options=arrow_csv.ParseOptions(
                delimiter=separator,
                newlines_in_values=True,
                invalid_row_handler=lambda row: "error" if row.text.strip() else "skip",
            ),
            convert_options=arrow_csv.ConvertOptions(column_types={f"f{column}": pa.string() for column in range(len(names))}),
        )
    except pa.ArrowInvalid:
        for row, _, fields in _split_records(path, encoding, separator):
            if len(fields) != len(names):
                fault = f"row {row} has {len(fields)} fields, the header {len(names)}"
                raise BadRequest(f"{path}: {fault}; a separator or a quote is missing, or the file is truncated") from None
        raise
    frame = table.slice(1).rename_columns(names).to_pandas()
    notes = () if encoding.startswith("utf") else (f"the file is not UTF-8: read as {encoding}",)
    return TableFile(path, frame, notes, encoding, separator)


def _decode_file(path: str) -> tuple[bytes, str]:
    """Return a file's text in UTF-8, and its own encoding.

    latin-1 decodes any bytes, so bytes that no text holds are refused first.
    """
    data = Path(path).read_bytes()
    is_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not is_utf16 and re.search(rb"[\x00-\x08\x0e-\x1f]", data[:100_000]):
        raise BadRequest(f"{path}: is no text; save the table as .csv (UTF-8), .tsv or .parquet")
    for encoding in ("utf-16",) if is_utf16 else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return (data if encoding == "utf-8-sig" else text.encode()), encoding
    raise BadRequest(f"{path}: has a UTF-16 byte order mark and is not UTF-16; save it as UTF-8")


def _split_records(path: str, encoding: str, separator: str) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the row in a spreadsheet, the line in an editor and the fields of each record that is not blank.

    The header is first.
    """
    limit = csv.field_size_limit(1 << 30)  # a process-wide limit; counting rows must not stop at a long cell
    try:
        with open(path, encoding=encoding, newline="") as file:
            reader, line = csv.reader(file, delimiter=separator), 1
            for row, fields in enumerate(reader, 1):
                if len(fields) > 1 or (fields and fields[0].strip()):
                    yield row, line, fields
                line = reader.line_num + 1
    finally:
        csv.field_size_limit(limit)


def _parse_value(text: str) -> Value:
    """Return the number that a text represents, an int if it is whole; other text as it is."""
    if not NUMBER.fullmatch(text):
        return text
    try:
        return int(text)  # not through a float: a seed may have 64 bits
    except ValueError:
        number = float(text)
    return int(number) if number.is_integer() else number if math.isfinite(number) else text


def find_near_name(name: str, known: Sequence[str]) -> str:
    """Return the known name that is probably meant, ignoring case. Empty if none is near."""
    folded = {other.lower(): other for other in known}
    return next((folded[other] for other in get_close_matches(name.strip().lower(), folded, n=1, cutoff=0.4)), "")


def make_name_error(noun: str, name: str, known: Sequence[str]) -> str:
    """Return the message of `make_unknown_error`, which is case-sensitive, but suggest a name that differs only in case."""
    near = find_near_name(name, known)
    return (
        f"unknown {noun} {name!r}; did you mean {near}?"
        if near and near.lower() == name.strip().lower()
        else str(make_unknown_error(noun, name, known))
    )
