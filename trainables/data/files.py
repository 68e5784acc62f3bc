"""Files: what lies in a data set's folder, and the tables in it; nothing outside the folder is touched, and nothing guessed."""

import csv
import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from trainables.data.decode import DataError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
"""of picture files, in small letters"""
_PLAIN = re.compile(r"(?:\w[\w.-]*/)*\w[\w.-]*")
CLIPS = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv"}
JUNK = {"__macosx", "@eadir", "thumbs.db", "desktop.ini"}
"""what operating systems and archives leave among files, in small letters; hidden files are passed over, too"""


def require_folder(path: str | Path, holds: str) -> Path:
    """The folder of that name; DataError where there is none. `holds` says what it should hold."""
    place = Path(path)
    if not place.is_dir():
        raise DataError(f"{place}: {f'is a file, not the folder with {holds}' if place.exists() else 'no such folder'}")
    return place


def find_folder(place: Path, *names: str) -> str:
    """The first of these folders that is in `place`, however its letters are set, or ""; `A/B` is B in A."""
    for name in names:
        found = place
        for part in name.split("/"):
            same = [entry for entry in sorted(found.iterdir()) if entry.name.lower() == part.lower() and entry.is_dir()]
            if not same:
                break
            found = same[0]
        else:
            return found.relative_to(place).as_posix()
    return ""


def find_root(path: str | Path, holds: str, *names: str) -> Path:
    """The given folder, or the one folder in it, that has one of the folders or files `names`; DataError says what is there instead."""
    place = require_folder(path, holds)
    found = [each for each in (place, *sorted(entry for entry in place.iterdir() if entry.is_dir())) if _has_any(each, names)]
    if not found:
        there = ", ".join(sorted(entry.name for entry in place.iterdir() if not is_junk(entry.name))[:3]) or "nothing: it is empty"
        raise DataError(f"{place}: has no {' or '.join(names)} (expected {holds}); it has {there}")
    if found[0] != place and len(found) > 1:
        raise DataError(f"{place}: has {found[0].name} and {found[1].name}, which both hold {holds}; name the one that is meant")
    return found[0]


def _has_any(place: Path, names: Sequence[str]) -> bool:
    try:
        return any(find_folder(place, name) or (place / name).is_file() for name in names)
    except OSError:
        return False


def is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def list_files(place: Path, suffixes: Collection[str] = SUFFIXES, below: str = "") -> list[str]:
    """Files with these suffixes in `place/below`, relative to `place`, sorted; each folder once, whatever links point at it.

    Links to elsewhere are followed; those to somewhere in `place` are not: what they lead to is read where it lies.
    """
    found, seen, whole = [], set(), place.resolve()
    for here, folders, names in os.walk(place / below, followlinks=True):
        state = os.stat(here)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = sorted(each for each in folders if not is_junk(each) and not _leads_back(Path(here, each), whole))
        start = Path(here).relative_to(place)
        found += [(start / each).as_posix() for each in names if not is_junk(each) and os.path.splitext(each)[1].lower() in suffixes]
    return sorted(found)


def _leads_back(place: Path, whole: Path) -> bool:
    return place.is_symlink() and (place.resolve().is_relative_to(whole) or whole.is_relative_to(place.resolve()))


def resolve_within(name: str, where: str) -> str:
    """A file's name from a table as a path within the data set; DataError for one that leads out of it."""
    if _PLAIN.fullmatch(name):  # nearly every one of hundreds of thousands
        return name
    path = PurePosixPath(name.strip().replace("\\", "/"))
    if not path.parts or path.is_absolute() or PureWindowsPath(path).drive or ".." in path.parts or "\0" in name:
        raise DataError(f"{where}: {name[:80]!r} is no file within the data set's folder".replace("\0", "\\0"))
    return path.as_posix()


def read_lines(file: Path) -> list[tuple[int, str]]:
    """A text file's lines that are not empty, stripped, each with its number from 1."""
    try:
        content = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{file}: is no text in UTF-8; is it the file it is named as?") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None
    return [(number, line.strip()) for number, line in enumerate(content.splitlines(), 1) if line.strip()]


def read_columns(file: Path, columns: Sequence[str], header: bool | None = True, separator: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Each record's line number and its fields of `columns`, stripped. A file may have other columns, too.

    `header` False: the file has none, and its fields are `columns` in that order; None: it has one if its first line names the columns.
    """
    try:
        with open(file, encoding="utf-8-sig", newline="") as text:
            read = csv.reader(text, delimiter=separator, skipinitialspace=True)
            order = list(range(len(columns)))
            for record in read:
                if not any(map(str.strip, record)):
                    continue
                if header is not False:  # the first line
                    names = [field.strip().lower() for field in record]
                    if named := set(map(str.lower, columns)) <= set(names):
                        order = [names.index(name.lower()) for name in columns]
                    elif header:
                        there = separator.join(record)[:80]
                        raise DataError(f"{file}: the header is {there!r}; expected the columns {separator.join(columns)}")
                    header = False
                    if named:
                        continue
                if len(record) <= max(order):
                    expected = f"{max(order) + 1} or more"
                    raise DataError(f"{file}, line {read.line_num}: {len(record)} columns, not {expected}; is the line cut off?")
                yield read.line_num, [record[place].strip() for place in order]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{file}: is no table of comma-separated text ({error})") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None


def parse_number(text: str, where: str, what: str, low: float, high: float) -> float:
    """A number from `low` to `high`; DataError for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise DataError(f"{where}: {what} {text[:40]!r} is not a number from {low:g} to {high:g}")
    return value
