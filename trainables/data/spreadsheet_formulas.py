"""Protects texts that a spreadsheet would compute when it opens a table, such as a method called `=1+1`."""

import re

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""how such a text begins (OWASP, CSV injection), with any apostrophes before it"""


def add_apostrophe(text: str) -> str:
    """Return a text with an apostrophe before it if a spreadsheet would compute it; a number as it is.

    A spreadsheet hides the apostrophe, and `remove_apostrophe` undoes it.
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def remove_apostrophe(text: str) -> str:
    """Return a text without the apostrophe that `add_apostrophe` put before it."""
    return text[1:] if text.startswith("'") and add_apostrophe(text[1:]) == text else text
