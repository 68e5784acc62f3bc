"""Any tidy table as Runs: a row a training, so that results from elsewhere get the same report. What it cannot trust it names by row."""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from platform.reporting.runs import Design, Runs
from trainables.cell import Value
from trainables.registry import BadRequest, unknown

METHOD, SEED, STUDY = "method", "seed", "study"
RESERVED = (METHOD, SEED, STUDY, "state", "reason", "split_hash")
COUNTS = ("n_train", "n_test")
SECONDARY = "test/balanced_accuracy"
NOTHING = ("", "-", "na", "n/a", "#n/a", "<na>", "null", "nan", "-nan", "inf", "+inf", "-inf", "infinity", "-infinity")
"""how a cell without a number is written"""
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
FEW = 20
"""values up to which a column may be a forgotten condition"""
MOST = 1_000_000
"""missing trainings are listed up to here"""
csv.field_size_limit(1 << 30)  # counting rows must not stop at a long cell


def read_table(
    path: str,
    metric: str = "test",
    conditions: Sequence[str] = (),
    baseline: str | None = None,
    higher_is_better: bool = True,
    rope: float | None = None,
) -> Runs:
    """The trainings of a .csv, .tsv or .parquet file. BadRequest, in one line with file, row and column, where it cannot be trusted.

    Columns: `method` is compared, `seed` replicated; the metric is the column of that name or else `{metric}/accuracy`. Where there:
    `study` (several: the first condition; one: the title), `state` and `reason`, `split_hash`, `n_train`, `n_test`,
    `test/balanced_accuracy` as secondary metric, and the selector: the metric's own counterpart (test/loss: val/loss), `val`, or, where
    higher is better, `val/accuracy`. Others are not read. Rows count as in a spreadsheet, the header being row 1 (in parquet too); where
    quoted line breaks put the row elsewhere in an editor, its line is given besides. Rows without any value are not there.

    Which trainings are missing: see `_missing`.
    """
    file = _open(path)
    names, conditions = file.names, list(dict.fromkeys(conditions))
    for name, role in ((METHOD, "what is compared"), (SEED, "the replicates")):
        if name not in names:
            raise file.lacks(name, f"call the column of {role} {name}")
    score = next((name for name in (metric, f"{metric}/accuracy") if name in names), None)
    if score is None or score in RESERVED:
        raise file.lacks(metric, "name the column of the numbers: --metric NAME")
    selectors = [score.replace("test", "val", 1), "val", *(["val/accuracy"] if higher_is_better else [])]
    selector = next((name for name in selectors if name in names and name != score), "")
    for name in conditions:
        if name not in names:
            raise file.error(_unknown("condition", name, names))
        if name in {*RESERVED, score, selector, SECONDARY} - {STUDY}:
            raise file.error(f"column {name} cannot be a condition, it has a part of its own; leave it out of --condition")
    notes = list(file.notes)
    for name in sorted({*RESERVED, *COUNTS, "val"} - {*names}):
        notes += [f"column {other} is not read; if it is the {name}, call it {name}" for other in names if other.lower() == name]

    studies = file.text(STUDY).unique().tolist() if STUDY in names and (file.frame[STUDY].astype(str).fillna("") != "").any() else []
    conditions = [*([STUDY] if len(studies) > 1 else []), *(name for name in conditions if name != STUDY)]
    columns: dict[str, Any] = {METHOD: file.text(METHOD)}
    columns |= {name: file.text(name) if name == STUDY else file.values(name) for name in conditions}
    columns[SEED] = file.values(SEED, mixed=True)
    wanted = [name for name in (score, selector, SECONDARY, *COUNTS) if name in names and name not in columns]
    numbers = {name: file.numbers(name) for name in wanted}
    for name in wanted:
        if name != score and not np.isfinite(numbers[name]).any():
            notes.append(f"column {name} holds no number: not used")
            del numbers[name]
    state, reason = _state(file, score, numbers[score])
    columns |= {"state": state, "reason": reason, "split_hash": file.text("split_hash", empty=True), **numbers}
    table = pd.DataFrame(columns, index=file.frame.index)

    place = [METHOD, *conditions, SEED]
    table = _once(file, table, place, conditions, notes)
    if failed := int((table["state"] == "failed").sum()):
        notes.append(f"{failed} of {len(table)} trainings failed or have no number: they count as failed")
    arms = table[METHOD].unique().tolist()
    if baseline is not None and baseline not in arms:
        raise file.error(_unknown("baseline", baseline, arms))
    if len(arms) == 1:
        notes.append("one method only: there is nothing to compare it with")
    if table[SEED].nunique() == 1:
        notes.append("one seed only: nothing is known of the spread")
    table = _missing(table, conditions, notes)
    numeric = [name for name in conditions if table[name].nunique() > 1 and not isinstance(table[name].iloc[0], str)]
    design = Design(
        title=studies[0] if len(studies) == 1 else Path(path).stem,
        source=Path(path).name,
        compared=METHOD,
        replicated=SEED,
        conditions=tuple(conditions),
        along=numeric[-1] if numeric else None,
        metric=score,
        selector=selector if selector in numbers else None,
        secondary=SECONDARY if SECONDARY in numbers and score != SECONDARY else None,
        higher_is_better=higher_is_better,
        percent=False,
        rope=rope,
        baseline=baseline,
    )
    return Runs(design, table, notes)


@dataclass
class _File:
    """A table as it was written; the frame's index counts its records, rows without any value included."""

    path: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    encoding: str = ""
    separator: str = ""
    """of text"""

    @property
    def names(self) -> list[str]:
        return [str(name) for name in self.frame.columns]

    def error(self, says: str) -> BadRequest:
        return BadRequest(f"{self.path}: {' '.join(says.split())}")

    def lacks(self, name: str, todo: str) -> BadRequest:
        near = _near(name, self.names)
        shown = ", ".join(self.names[:FEW]) + (", ..." if len(self.names) > FEW else "")
        return self.error(f"no column {name}{f'; did you mean {near}?' if near else ';'} {todo} (columns: {shown})")

    def at(self, record: int, column: str, says: str) -> BadRequest:
        return self.error(f"row {self.row(record)}, column {column}: {says}")

    def row(self, record: int) -> str:
        """Only ever asked for an error: counting lines costs a pass over the file."""
        if not self.separator:
            return str(record + 2)
        row, line, _ = next(islice(_records(self.path, self.encoding, self.separator), record + 1, None))
        return f"{row}" + (f" (line {line} in an editor)" if line != row else "")

    def text(self, name: str, empty: bool = False) -> pd.Series:
        """A column as text, stripped. BadRequest for an empty cell, unless it may be `empty` or absent."""
        if empty and name not in self.frame:
            return pd.Series("", self.frame.index, dtype="str")
        text = self.frame[name].astype("str").fillna("").str.strip()
        if not empty and (text == "").any():
            raise self.at(text.index[text == ""][0], name, f"is empty; every training needs its {name}")
        return text

    def values(self, name: str, mixed: bool = False) -> pd.Series:
        """A column as numbers where all its values are, as text otherwise; 1 and 1.0 are the same, in `mixed` company too.

        BadRequest for an empty cell, and for a nan or NA among numbers.
        """
        text = self.text(name)
        codes, distinct = pd.factorize(text)
        texts = distinct.tolist()
        values = [_value(plain) for plain in self.plain(pd.Series(texts, dtype="str"))]
        odd = [code for code, value in enumerate(values) if isinstance(value, str)]
        if odd and len(odd) < len(values) and all(texts[code].lower() in NOTHING for code in odd):
            says = f"is {texts[odd[0]]} among numbers; every training needs its {name}"
            raise self.at(text.index[codes == odd[0]][0], name, says)
        if odd:
            values = [str(value) for value in values] if mixed else texts
        same = len({type(value) for value in values}) == 1  # pandas would make 5 of .5 and 5 a 5.0
        return pd.Series(values, dtype=None if same else object).take(codes).set_axis(self.frame.index)

    def numbers(self, name: str) -> np.ndarray:
        """A column as numbers, NaN where there is none. BadRequest for true and false, and for text that is no number."""
        column = self.frame[name]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            return column.to_numpy(float, na_value=np.nan)
        text = self.plain(self.text(name, empty=True))
        written = text.str.fullmatch(NUMBER.pattern).to_numpy(bool)
        rest = text[~written].str.lower()
        if len(rest) and not written.any() and rest.isin(["true", "false", *NOTHING]).all() and rest.isin(["true", "false"]).any():
            raise self.error(f"column {name} holds true and false, not numbers; name the column of the numbers: --metric NAME")
        odd = rest.index[~rest.isin([*NOTHING, "none"])]
        if len(odd):
            says = f"{str(self.frame[name][odd[0]])[:60]!r} is no number; write one like 0.85, or leave it empty where the training failed"
            raise self.at(odd[0], name, says)
        numbers = np.full(len(text), np.nan)
        numbers[written] = text[written].to_numpy(object).astype(float)  # python's parser is exact to the last digit
        return numbers

    def plain(self, text: pd.Series) -> pd.Series:
        """Numbers with a decimal point, where a decimal comma can be told from a separator."""
        return text.str.replace(",", ".", regex=False) if self.separator == ";" else text


def _open(path: str) -> _File:
    kind = Path(path).suffix.lower()
    if Path(path).is_dir():
        raise BadRequest(f"{path}: is a folder; name a table in it (.csv, .tsv, .parquet)")
    if kind not in (".csv", ".tsv", ".parquet"):
        raise BadRequest(f"{path}: tables are read from .csv, .tsv and .parquet files; save it as one of them")
    try:
        file = _open_parquet(path) if kind == ".parquet" else _open_text(path, "\t" if kind == ".tsv" else None)
    except OSError as error:
        raise BadRequest(f"{path}: cannot be read ({error.strerror or _line(error)})") from None
    except (pa.ArrowException, csv.Error) as error:
        raise BadRequest(f"{path}: is no {kind} table ({_line(error)}); save it anew") from None
    names = [" ".join(str(name).split()) for name in file.frame.columns]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise file.error(f"row 1: two columns are called {twice[0]}; rename one")
    file.frame.columns = pd.Index(names)
    file.frame = file.frame[[name for name in names if name]]
    blank = np.ones(len(file.frame), bool)
    for _, column in file.frame.items():
        blank &= (column.isna() | ((column == "") if column.dtype == "str" else False)).to_numpy(bool)
    file.frame = file.frame[~blank] if blank.any() else file.frame
    if file.frame.empty:
        raise file.error("has a header and no row; nothing to report on")
    return file


def _open_parquet(path: str) -> _File:
    """An index that pandas stored is a column like any other."""
    with parquet.ParquetFile(path) as source:
        return _File(path, source.read().to_pandas(ignore_metadata=True))


def _open_text(path: str, separator: str | None) -> _File:
    """Every cell as the text that stands there: what is a number is decided by column, not guessed."""
    data, encoding = _decode(path)
    header = re.sub(r'"[^"]*"', "", data[:100_000].decode(errors="replace")).strip().partition("\n")[0]
    separator = separator or max(",;\t", key=header.count)
    _, _, names = next(_records(path, encoding, separator), (0, 0, []))
    if not names:
        raise BadRequest(f"{path}: is empty; nothing to report on")
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
        for row, _, fields in _records(path, encoding, separator):
            if len(fields) != len(names):
                fault = f"row {row} has {len(fields)} fields, the header {len(names)}"
                raise BadRequest(f"{path}: {fault}; a separator or a quote is amiss, or the file cut off") from None
        raise
    frame = table.slice(1).rename_columns(names).to_pandas()
    notes = () if encoding.startswith("utf") else (f"the file is not UTF-8: read as {encoding}",)
    return _File(path, frame, notes, encoding, separator)


def _decode(path: str) -> tuple[bytes, str]:
    """A file's text in UTF-8, and its own encoding. latin-1 takes anything, so what no text holds is refused first."""
    data = Path(path).read_bytes()
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not wide and re.search(rb"[\x00-\x08\x0e-\x1f]", data[:100_000]):
        raise BadRequest(f"{path}: is no text; save the table as .csv (UTF-8), .tsv or .parquet")
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return (data if encoding == "utf-8-sig" else text.encode()), encoding
    raise BadRequest(f"{path}: begins as UTF-16 and is not; save it as UTF-8")


def _records(path: str, encoding: str, separator: str) -> Iterator[tuple[int, int, list[str]]]:
    """Row in a spreadsheet, line in an editor and fields of each record that is not blank, the header first."""
    with open(path, encoding=encoding, newline="") as file:
        reader, line = csv.reader(file, delimiter=separator), 1
        for row, fields in enumerate(reader, 1):
            if len(fields) > 1 or (fields and fields[0].strip()):
                yield row, line, fields
            line = reader.line_num + 1


def _value(text: str) -> Value:
    """The number that a text is, an int where it is whole; other text as it stands."""
    if not NUMBER.fullmatch(text):
        return text
    try:
        return int(text)  # not by way of a float: a seed may have 64 bits
    except ValueError:
        number = float(text)
    return int(number) if number.is_integer() else number if math.isfinite(number) else text


def _state(file: _File, score: str, numbers: np.ndarray) -> tuple[pd.Series, pd.Series]:
    """State and reason of each row: done only with a number, and only if a `state` column agrees."""
    given = file.text("state", empty=True)
    state = given.where(given.isin(["done", "missing"]), "failed") if "state" in file.frame else given.where(given != "", "done")
    if not (state == "done").any():
        states = ", ".join(given.unique().tolist()[:FEW])
        raise file.error(f"column state: no row is done (states: {states}); write done where a training ended well, or drop the column")
    reason = file.text("reason", empty=True)
    reason = reason.where(reason != "", ("state " + given).where(given != "", "no state")).where(state != "done", "")
    lost = (state == "done").to_numpy() & ~np.isfinite(numbers)
    if lost.sum() == (state == "done").sum():
        raise file.error(f"column {score} holds no number; name the column of the numbers: --metric NAME")
    return state.mask(lost, "failed"), reason.mask(lost, f"no number in column {score}")


def _once(file: _File, table: pd.DataFrame, place: list[str], conditions: list[str], notes: list[str]) -> pd.DataFrame:
    """Each training once. BadRequest where two rows of one place differ, with the columns that might tell them apart."""
    twice = table[table.duplicated(place, keep=False)]
    again = twice.duplicated([name for name in table if name != "reason"])
    if again.any():
        notes.append(f"{int(again.sum())} rows repeat another in all that is read: kept once")
        table, twice = table.drop(again.index[again]), twice[~again]
        twice = twice[twice.duplicated(place, keep=False)]
    if twice.empty:
        return table
    where = twice[place].iloc[0]
    first, second = twice.index[(twice[place] == where).all(axis=1)][:2]
    rows, training = file.frame.loc[twice.index], twice.groupby(place, sort=False).ngroup()
    few = min(FEW, max(2, len(table) // 2))
    others = [name for name in file.names if name not in {*RESERVED, *table} and rows[name].dtype != object]
    columns = [name for name in others if 1 < rows[name].nunique() <= few]

    def apart(names: list[str]) -> bool:
        return not rows[names].assign(**{METHOD: training}).duplicated().any()

    found = columns if apart(columns) else []
    for name in sorted(reversed(found), key=lambda name: -rows[name].nunique()):  # the fewest columns, each of the fewest values
        if apart(fewer := [other for other in found if other != name]):
            found = fewer
    todo = f"--condition {','.join([*conditions, *found])}" if found else "no column of few values does; keep one, or give each its seed"
    both = f"rows {file.row(first)} and {file.row(second)} are both {', '.join(f'{name} {value}' for name, value in where.items())}"
    raise file.error(f"{both}, with different numbers; if another column tells them apart, name it: {todo}")


def _missing(table: pd.DataFrame, conditions: list[str], notes: list[str]) -> pd.DataFrame:
    """The table with a row for each training that should be there and is not, study by study.

    Expected is every method under every condition seen, with every seed of a pool. The pool is the study, where its samples (a method
    under a condition) share most seeds; else the condition, where methods do; else the method, where its conditions do; else nothing is
    expected: seeds that are each training's own say nothing of what is absent. Samples of a pool share most seeds where more than half
    of what is not in the largest one has a seed that is. Not more than thrice the table or a million rows are expected: methods that each
    have conditions of their own are no grid.
    """
    parts = [part for _, part in table.groupby(STUDY, sort=False)] if STUDY in conditions else [table]
    added = [_expected(part, conditions, notes) for part in parts]
    if absent := sum(map(len, added)):
        notes.append(f"{absent} of {len(table) + absent} expected trainings are not in the table: they count as missing")
    return pd.concat([table, *(rows for rows in added if len(rows))], ignore_index=True)


def _expected(part: pd.DataFrame, conditions: list[str], notes: list[str]) -> pd.DataFrame:
    """What is missing of one study."""
    (arm, arms), (seed, seeds) = pd.factorize(part[METHOD]), pd.factorize(part[SEED])
    place = part.groupby(conditions, sort=False).ngroup().to_numpy() if conditions else 0 * arm
    places = part[conditions].drop_duplicates() if conditions else part[[]].iloc[:1]
    rows = pd.DataFrame({"all": 0, "place": place, "arm": arm, "seed": seed, "sample": arm * len(places) + place})
    sizes = rows["sample"].value_counts()
    if sizes.min() < sizes.max():
        notes.append(f"unequal numbers of replicates: from {sizes.min()} to {sizes.max()} of a method under a condition")
    ranked = rows.assign(size=rows["sample"].map(sizes)).sort_values("size", ascending=False, kind="stable")
    for pool in ("all", "place", "arm"):
        largest = rows["sample"].isin(ranked.drop_duplicates(pool)["sample"])
        seen = rows[pool] * len(seeds) + rows["seed"]
        if seen[~largest].isin(seen[largest]).mean() > 0.5:
            break
    else:
        if len(sizes) > 1:
            notes.append("every method has seeds of its own: no training is expected besides those that are there")
        return part.iloc[:0]
    known, every = rows[[pool, "seed"]].drop_duplicates(), len(arms) * len(places)
    if len(known) * every // known[pool].nunique() > min(3 * len(part), len(part) + MOST):
        notes.append("a full grid of methods, conditions and seeds would be thrice the table: no training is expected besides those in it")
        return part.iloc[:0]
    samples = pd.DataFrame({"all": 0, "sample": range(every)}).assign(arm=lambda all: all["sample"] // len(places))
    expected = samples.assign(place=samples["sample"] % len(places)).merge(known, on=pool)
    absent = expected[~(expected["sample"] * len(seeds) + expected["seed"]).isin(rows["sample"] * len(seeds) + rows["seed"])]
    result = places.take(absent["place"].to_numpy()).reset_index(drop=True)
    result[METHOD], result[SEED] = arms.take(absent["arm"].to_numpy()), seeds.take(absent["seed"].to_numpy())
    return result.assign(state="missing", reason="not in the table", split_hash="")


def _near(name: str, known: Sequence[str]) -> str:
    """The known name that may be meant, capitals aside; empty where none is near."""
    folded = {other.lower(): other for other in known}
    return next((folded[other] for other in get_close_matches(name.strip().lower(), folded, n=1, cutoff=0.4)), "")


def _unknown(noun: str, name: str, known: Sequence[str]) -> str:
    """The line of `unknown`, for which capitals are other letters."""
    same = _near(name, known)
    return (
        f"unknown {noun} {name!r}; did you mean {same}?"
        if same and same.lower() == name.strip().lower()
        else str(unknown(noun, name, known))
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
