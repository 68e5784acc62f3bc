"""Writes tables as CSV, in which no text is computed by a spreadsheet that opens it, such as a method called `=1+1`."""

import io
import re

import numpy as np
import pandas as pd

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
FORMULA = re.compile(r"['\s]*[=+\-@＝＋－＠]|'*[\t\r\n]")
"""How such a text begins (OWASP, CSV injection), with any apostrophes and white space before it: some spreadsheets strip white space"""


def add_apostrophe(text: str) -> str:
    """Return a text with an apostrophe before it if a spreadsheet would compute it; a number as it is.

    A spreadsheet hides the apostrophe, and `remove_apostrophe` undoes it.
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text.strip()) else text


def remove_apostrophe(text: str) -> str:
    """Return a text without the apostrophe that `add_apostrophe` put before it."""
    return text[1:] if text.startswith("'") and add_apostrophe(text[1:]) == text else text


def encode_csv(table: pd.DataFrame) -> bytes:
    """Encode a table as CSV. Texts that a spreadsheet would compute, names of columns too, get an apostrophe; numbers stay as they are.

    `open_table` takes the apostrophe away.
    """
    buffer = io.BytesIO()
    columns = {name: _protect_texts(column) for name, column in table.items()}
    protected = pd.DataFrame(columns, index=table.index).rename(columns=_protect_text)
    protected.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def _protect_texts(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column):
        below = column == -np.inf  # as text it begins like a formula
        return column.astype(object).mask(below, "'-inf") if below.any() else column
    changed = {text: safe for text in dict.fromkeys(column) if isinstance(text, str) and (safe := _protect_text(text)) != text}
    return column.map(lambda value: changed.get(value, value)) if changed else column


def _protect_text(text: object) -> str:
    """Return a text as a CSV holds it. A carriage return becomes a line feed, because Python 3.11 does not quote it."""
    return add_apostrophe(str(text).replace("\r\n", "\n").replace("\r", "\n"))
