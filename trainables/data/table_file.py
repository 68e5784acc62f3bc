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
from trainables.data.spreadsheet_formulas import NUMBER, remove_apostrophe
from trainables.registry import BadRequest, join_lines, make_unknown_error

NOTHING = ("", "-", "na", "n/a", "#n/a", "<na>", "null", "nan", "-nan", "inf", "+inf", "-inf", "infinity", "-infinity")
"""how a table cell without a number is written"""
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")
"""a number that may have a thousands separator, or else a decimal mark and three decimals"""
GROUPED = re.compile(r"[+-]?[0-9]{1,3}((\.[0-9]{3})+(,[0-9]+)?|(,[0-9]{3})+(\.[0-9]+)?)")
"""a number with thousands separators, of which there may be several"""
MARKS = {",": "comma", ".": "point"}
EXACT = 2**53
"""the size up to which a float holds every whole number"""
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
        text = column.astype("str").str.strip().mask(column.isna(), "")
        if not empty and (text == "").any():
            raise self.make_cell_error(text.index[text == ""][0], name, f"is empty; every {self.record} needs its {name}")
        protected = text.str.startswith("'") if self.separator else pd.Series(False, text.index)
        return text.where(~protected, text[protected].map(remove_apostrophe)) if protected.any() else text

    def read_value_column(self, name: str, mixed: bool = False) -> pd.Series:
        """Return a column as numbers if all its values are numbers, of at most 64 bits, else as text.

        1 and 1.0 are the same, with `mixed` also beside values that are text. Raises BadRequest for an empty cell, for a nan or NA among
        numbers, and for numbers whose decimal mark is not known.
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
        else:
            self._check_decimal_mark(name, text)
            values = values if _fit_64_bits(values) else texts
        one_type = len({type(value) for value in values}) == 1  # with .5 and 5, pandas would turn 5 into 5.0
        return pd.Series(values, dtype=None if one_type else object).take(codes).set_axis(self.frame.index)

    def read_number_column(self, name: str) -> np.ndarray:
        """Return a column as numbers, NaN where there is none.

        Raises BadRequest for true and false, for text that is not a number, and for numbers whose decimal mark is not known.
        """
        column = self.frame[name]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            return column.to_numpy(float, na_value=np.nan)
        written = self.read_text_column(name, empty=True)
        text = self.normalise_decimals(written)
        is_number = text.str.fullmatch(NUMBER.pattern).to_numpy(bool)
        rest = text[~is_number].str.lower()
        if len(rest) and not is_number.any() and rest.isin(["true", "false", *NOTHING]).all() and rest.isin(["true", "false"]).any():
            raise self.make_error(f"column {name} holds true and false, not numbers; name the column of the numbers: --metric NAME")
        bad = rest.index[~rest.isin([*NOTHING, "none"])]
        if len(bad):
            says = (
                f"{str(self.frame[name][bad[0]])[:60]!r} is not a number; write one like 0.85, or leave it empty where the training failed"
            )
            raise self.make_cell_error(bad[0], name, says)
        self._check_decimal_mark(name, written[is_number])
        numbers = np.full(len(text), np.nan)
        numbers[is_number] = text[is_number].to_numpy(object).astype(float)  # Python's parser is exact to the last digit
        return numbers

    def normalise_decimals(self, text: pd.Series) -> pd.Series:
        """Return numbers with a decimal point, if a decimal comma can be told from a separator."""
        return text.str.replace(",", ".", regex=False) if self.separator == ";" else text

    def _check_decimal_mark(self, name: str, numbers: pd.Series) -> None:
        """Raise BadRequest if a column of a file with semicolons leaves open which mark is the decimal mark. `numbers` are as written.

        So it does if some numbers have a comma and some a point, or if each mark may separate thousands and another column shows that
        it does.
        """
        if self.separator != ";":
            return
        todo = "write all numbers of the file with one decimal mark, and no separator of thousands"
        marked = {mark: numbers[numbers.str.contains(mark, regex=False)] for mark in MARKS}
        used = [mark for mark in MARKS if len(marked[mark])]
        if len(used) == 2:
            (first, mark), (second, other) = sorted((marked[mark].index[0], mark) for mark in MARKS)
            says = f"{numbers[second]!r} has a {MARKS[other]}, {numbers[first]!r} in row {self.find_row(first)} a {MARKS[mark]}; {todo}"
            raise self.make_cell_error(second, name, says)
        for mark in used:
            number, record = marked[mark].iloc[0], marked[mark].index[0]
            if marked[mark].str.fullmatch(THOUSANDS.pattern).all() and (shown := self._show_thousands(mark, name)):
                raise self.make_cell_error(record, name, f"{number!r} may mean {number.replace(mark, '')}, because {shown}; {todo}")

    def _show_thousands(self, mark: str, besides: str) -> str:
        """Return which other column of numbers shows, by its decimal mark or by several marks in a number, that this mark separates
        thousands. Empty if none does.
        """
        decimal = "." if mark == "," else ","
        for name in self.column_names:
            text = self.read_text_column(name, empty=True)
            text = text[~text.str.lower().isin(NOTHING)]
            telling = text[text.str.contains(decimal, regex=False) | (text.str.count(re.escape(mark)) > 1)]
            is_number = self.normalise_decimals(text).str.fullmatch(NUMBER.pattern) | text.str.fullmatch(GROUPED.pattern)
            if name != besides and len(telling) and is_number.all():
                return f"column {name} has {telling.iloc[0]!r}"
        return ""


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
    names = list(map(remove_apostrophe, names)) if file.separator else names
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
        raise BadRequest(f"{path}: is not text; save the table as .csv (UTF-8), .tsv or .parquet")
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
    return int(number) if abs(number) <= EXACT and number.is_integer() else number if math.isfinite(number) else text


def _fit_64_bits(values: Sequence[Value]) -> bool:
    """Return whether these numbers have one type of 64 bits that holds them: signed, unsigned or, if some are no whole numbers, float."""
    whole = [value for value in values if isinstance(value, int)]
    low, high = min(whole, default=0), max(whole, default=0)
    if len(whole) < len(values):
        return low >= -EXACT and high <= EXACT
    return low >= -(2**63) and high < (2**63 if low < 0 else 2**64)


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
