"""List the files of a data set's folder and read the tables in it. Nothing outside the folder is touched, and nothing is guessed."""

import csv
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from trainables.data.decode import DataError

SUFFIXES = set(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".apng",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".gif",
        ".webp",
        ".avif",
        ".avifs",
        ".pbm",
        ".pgm",
        ".ppm",
        ".pnm",
        ".pfm",
        ".jp2",
        ".j2k",
        ".jpc",
        ".jpf",
        ".jpx",
        ".j2c",
        ".tga",
        ".icb",
        ".vda",
        ".vst",
        ".pcx",
        ".dcx",
        ".sgi",
        ".bw",
        ".rgb",
        ".rgba",
        ".ras",
        ".im",
        ".msp",
        ".pcd",
        ".pxr",
        ".psd",
        ".qoi",
        ".dds",
        ".blp",
        ".ftc",
        ".ftu",
        ".gbr",
        ".xbm",
        ".xpm",
        ".fit",
        ".fits",
        ".fli",
        ".flc",
        ".iim",
    ]
)
"""Suffixes of picture files, in lower case: all that Pillow reads without another program, except icons."""
UNREADABLE = {".heic", ".heif", ".jxl", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".svg"}
"""Suffixes of pictures that Pillow does not read by itself."""
TABLES = {".csv", ".tsv", ".parquet"}
COMMON = ".jpg, .png, .tif, .webp, .gif or another format of pictures"
_PLAIN = re.compile(r"(?:\w[\w.-]*/)*\w[\w.-]*")
CLIPS = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv"}
JUNK = {"__macosx", "@eadir", "thumbs.db", "desktop.ini"}
"""Names that operating systems and archives leave among files, in lower case. Hidden files are skipped, too."""


def require_folder(path: str | Path, holds: str) -> Path:
    """Return the folder of that name. Raises DataError if there is none. `holds` describes its expected content."""
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"{folder}: {f'is a file, not the folder with {holds}' if folder.exists() else 'no such folder'}")
    return folder


def find_folder(place: Path, *names: str) -> str:
    """Return the first of these folders that is in `place`, or "". Case is ignored. `A/B` is B in A."""
    for name in names:
        folder = place
        for part in name.split("/"):
            matches = [entry for entry in sorted(folder.iterdir()) if entry.name.lower() == part.lower() and entry.is_dir()]
            if not matches:
                break
            folder = matches[0]
        else:
            return folder.relative_to(place).as_posix()
    return ""


def find_root(path: str | Path, holds: str, *names: str) -> Path:
    """Return the folder that has one of the folders or files `names`: the given folder, or else the only such folder in it.

    Raises DataError if there is none, with the actual content, or if two folders in it qualify.
    """
    folder = require_folder(path, holds)
    roots = [
        candidate for candidate in (folder, *sorted(entry for entry in folder.iterdir() if entry.is_dir())) if _has_any(candidate, names)
    ]
    if not roots:
        content = ", ".join(sorted(entry.name for entry in folder.iterdir() if not is_junk(entry.name))[:3]) or "nothing: it is empty"
        raise DataError(f"{folder}: has no {' or '.join(names)} (expected {holds}); it has {content}")
    if roots[0] != folder and len(roots) > 1:
        raise DataError(f"{folder}: has {roots[0].name} and {roots[1].name}, which both hold {holds}; name the one that is meant")
    return roots[0]


def _has_any(place: Path, names: Sequence[str]) -> bool:
    try:
        return any(find_folder(place, name) or (place / name).is_file() for name in names)
    except OSError:
        return False


def is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def list_files(place: Path, suffixes: Collection[str] | None = SUFFIXES, below: str = "") -> list[str]:
    """Return the files with these suffixes (None: all files) in `place/below`, relative to `place` and sorted.

    Each folder is listed once, whatever links point to it. Links that lead out of `place` are followed. Links into `place` are
    not, because their targets are listed at their own path.
    """
    paths, visited, root = [], set(), place.resolve()
    for folder, folders, names in os.walk(place / below, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not is_junk(name) and not _leads_back(Path(folder, name), root))
        relative = Path(folder).relative_to(place)
        wanted = (name for name in names if not is_junk(name) and (suffixes is None or os.path.splitext(name)[1].lower() in suffixes))
        paths += [(relative / name).as_posix() for name in wanted]
    return sorted(paths)


def describe_skipped(root: Path, files: Iterable[str]) -> list[str]:
    """Return a note on files that nobody has read, counted by suffix: all but tables in the folders of these picture files, and pictures
    of formats that cannot be read anywhere below the root.
    """
    taken = set(files)
    beside = {file.rpartition("/")[0] for file in taken}
    counts: Counter[str] = Counter()
    for path in list_files(root, None):
        suffix = os.path.splitext(path)[1].lower()
        if path not in taken and (suffix in UNREADABLE or (suffix not in TABLES and path.rpartition("/")[0] in beside)):
            counts[suffix or "no suffix"] += 1
    if not counts:
        return []
    listed = ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common(6)) + (", ..." if len(counts) > 6 else "")
    return [f"{counts.total():,} other {'file is' if counts.total() == 1 else 'files are'} skipped: {listed}"]


def _leads_back(place: Path, whole: Path) -> bool:
    return place.is_symlink() and (place.resolve().is_relative_to(whole) or whole.is_relative_to(place.resolve()))


def resolve_within(name: str, where: str) -> str:
    """Return a file name from a table as a path within the data set. Raises DataError for a name that leads out of it."""
    if _PLAIN.fullmatch(name):  # fast path for nearly all of hundreds of thousands of names
        return name
    path = PurePosixPath(name.strip().replace("\\", "/"))
    if not path.parts or path.is_absolute() or PureWindowsPath(path).drive or ".." in path.parts or "\0" in name:
        raise DataError(f"{where}: {name[:80]!r} is not a file within the data set's folder".replace("\0", "\\0"))
    return path.as_posix()


def read_lines(file: Path) -> list[tuple[int, str]]:
    """Return a text file's lines that are not empty, stripped, each with its number from 1."""
    try:
        content = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{file}: is not text in UTF-8; is it the file it is named as?") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None
    return [(number, line.strip()) for number, line in enumerate(content.splitlines(), 1) if line.strip()]


def read_columns(file: Path, columns: Sequence[str], header: bool | None = True, separator: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield each record's line number and its stripped fields of `columns`. The file may have other columns, too.

    If `header` is False, the file has none, and its fields are `columns` in that order. If it is None, the first line is a header if it
    names the columns.
    """
    try:
        with open(file, encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, delimiter=separator, skipinitialspace=True)
            order = list(range(len(columns)))
            for record in reader:
                if not any(map(str.strip, record)):
                    continue
                if header is not False:  # the first line
                    names = [field.strip().lower() for field in record]
                    if is_header := set(map(str.lower, columns)) <= set(names):
                        order = [names.index(name.lower()) for name in columns]
                    elif header:
                        actual = separator.join(record)[:80]
                        raise DataError(f"{file}: the header is {actual!r}; expected the columns {separator.join(columns)}")
                    header = False
                    if is_header:
                        continue
                if len(record) <= max(order):
                    expected = f"{max(order) + 1} or more"
                    raise DataError(f"{file}, line {reader.line_num}: {len(record)} columns, not {expected}; is the line cut off?")
                yield reader.line_num, [record[column].strip() for column in order]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{file}: is not a table of comma-separated text ({error})") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None


def compile_subject(pattern: str, where: str, what: str) -> re.Pattern[str]:
    """Return a regular expression whose first group is the person. Raises DataError for a text that `what` says it is not."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(f"{where}: subject={pattern!r} is {what} ({error})") from None
    if pattern and not compiled.groups:
        raise DataError(f"{where}: subject={pattern!r} has no group (...) that is the person")
    return compiled


def parse_number(text: str, where: str, what: str, low: float, high: float) -> float:
    """Return a number from `low` to `high`. Raises DataError for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise DataError(f"{where}: {what} {text[:40]!r} is not a number from {low:g} to {high:g}")
    return value
