"""Read the cells of an xlsx file's first sheet, for data sets whose metadata come as one. A library is not worth it for so little."""

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

from trainables.data.decode import DataError
from trainables.storage.bounded_archives import read_member

_SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
LARGEST = 2**24
"""Maximum bytes of a part. A table of metadata is small, and an archive may claim any size."""


def read_sheet(file: Path) -> list[list[str]]:
    """Return the first sheet's rows of text. Empty cells are "". Raises DataError for a file that is no spreadsheet."""
    try:
        with zipfile.ZipFile(file) as book:
            parts = {name: book.getinfo(name) for name in book.namelist()}
            sheet = min((name for name in parts if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name)), key=lambda name: (len(name), name))
            if max(part.file_size for name, part in parts.items() if name in (sheet, "xl/sharedStrings.xml")) > LARGEST:
                raise DataError(f"{file}: its sheet is larger than a table of facts can be")
            shared = read_member(book, parts["xl/sharedStrings.xml"]) if "xl/sharedStrings.xml" in parts else b""
            texts = ["".join(element.itertext()) for element in ElementTree.fromstring(shared)] if shared else []
            rows = []
            for row in ElementTree.fromstring(read_member(book, parts[sheet])).iter(f"{_SPACE}row"):
                values: dict[int, str] = {}
                for index, cell in enumerate(row.iter(f"{_SPACE}c")):
                    text = "".join(cell.itertext())
                    values[_parse_column(cell.get("r", ""), index)] = texts[int(text)] if cell.get("t") == "s" else text
                rows.append([values.get(column, "").strip() for column in range(max(values, default=-1) + 1)])
            return rows
    except (DataError, MemoryError):
        raise
    except Exception as error:  # a damaged archive may raise any exception
        raise DataError(f"{file}: cannot be read as a spreadsheet ({error})") from None


def _parse_column(reference: str, place: int) -> int:
    """Return the column of a cell such as B7, from 0, or `place` if the reference names none."""
    letters = re.match(r"[A-Z]{1,3}", reference)
    number = 0
    for letter in letters[0] if letters else "":
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1 if letters else place
