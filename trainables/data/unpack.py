"""Unpack an archive, or the pictures in a parquet table, into the cache once, so that they are decoded as files are."""

import hashlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from trainables.data.decode import DataError
from trainables.data.decoded_cache import get_cache_folder
from trainables.data.files import is_junk, resolve_within
from trainables.registry import describe_os_error, join_lines
from trainables.storage.private_folder import make_private, open_private

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
EXPANSION = 100
"""How many times its own size an archive may expand to. Pictures hardly compress, and tables of pixels to a tenth."""
ALWAYS = 2**30
"""Bytes that a small archive may always expand to."""


def unpack_archive(file: Path) -> Path:
    """Return the folder of an archive's files. Names that lead out of it, links and devices are not unpacked."""

    def unpack(folder: Path) -> None:
        if file.name.lower().endswith(".zip"):
            with zipfile.ZipFile(file) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                _check_space(file, folder, sum(member.file_size for member in members))
                for member in members:
                    if target := _find_target(folder, member.filename, file):
                        with archive.open(member) as source, open_private(target, "wb") as out:
                            shutil.copyfileobj(source, out)
        else:
            with tarfile.open(file) as bundle:
                entries = list(_list_entries(bundle, file))
                _check_space(file, folder, sum(entry.size for entry in entries))
                for entry in entries:
                    if (target := _find_target(folder, entry.name, file)) and (content := bundle.extractfile(entry)):
                        with content, open_private(target, "wb") as out:
                            shutil.copyfileobj(content, out)
                _check_end(bundle)

    try:
        return _make_once(file, "", unpack)
    except OSError as error:
        reason = describe_os_error(error)
        raise DataError(
            f"{file}: cannot be unpacked to {get_cache_folder()} ({reason}); is it whole, and can FERRAY_CACHE be written?"
        ) from None
    except DataError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # a damaged archive may raise any exception
        raise DataError(f"{file}: cannot be unpacked ({join_lines(error)})") from None


def unpack_pictures(file: Path, column: str, pictures: Iterable[Any]) -> Path:
    """Return a folder with the pictures of a table's column as files `0`, `1`, ... Each value is bytes, or has them under `bytes`."""

    def unpack(folder: Path) -> None:
        for row, value in enumerate(pictures):
            content = value.get("bytes") if isinstance(value, dict) else value
            if not isinstance(content, bytes):
                raise DataError(f"{file}, row {row + 2}, column {column}: holds no picture, but {type(content).__name__}")
            with open_private(folder / str(row), "wb") as out:
                out.write(content)

    try:
        return _make_once(file, column, unpack)
    except OSError as error:
        raise DataError(f"{file}: its pictures cannot be unpacked ({describe_os_error(error)})") from None


def _make_once(file: Path, what: str, make: Callable[[Path], None]) -> Path:
    """Return a folder in the cache that `make` has filled for this state of the file."""
    status = file.stat()
    key = hashlib.sha256(repr((str(file.absolute()), status.st_size, status.st_mtime_ns, what)).encode()).hexdigest()[:20]
    folder = get_cache_folder() / "unpacked" / key
    if not folder.is_dir():
        partial = folder.with_name(f"{key}.{os.getpid()}.partial")
        make_private(partial)
        try:
            make(partial)
            os.rename(partial, folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _list_entries(bundle: tarfile.TarFile, file: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the files of a tar archive. Raises DataError as soon as they take more than an archive of this size may expand to."""
    total = 0
    for entry in bundle:  # a compressed stream is expanded up to the entry
        total += entry.size + tarfile.BLOCKSIZE
        _check_expansion(file, total)
        if entry.isfile():
            yield entry


def _check_expansion(file: Path, size: int) -> None:
    if size > max(ALWAYS, EXPANSION * file.stat().st_size):
        raise DataError(
            f"{file}: would expand to more than {size / 2**30:.1f} GiB, {EXPANSION} times its size; unpack it yourself, if you trust it"
        )


def _check_space(file: Path, folder: Path, size: int) -> None:
    _check_expansion(file, size)
    if size > shutil.disk_usage(folder).free:
        raise DataError(f"{file}: its files need {size / 2**30:.1f} GiB in {folder.parent}; set FERRAY_CACHE to a larger disk")


def _check_end(bundle: tarfile.TarFile) -> None:
    """Raise ReadError if the archive does not end as a tar archive does: tarfile stops silently where one is damaged or cut off."""
    stream = bundle.fileobj
    assert stream is not None
    stream.seek(bundle.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it is damaged or cut off")
    while stream.read(1 << 20):  # a compressed stream checks its sum at its end
        pass


def _find_target(folder: Path, name: str, file: Path) -> Path | None:
    try:
        inside = resolve_within(name, str(file))
    except DataError:
        return None
    if any(is_junk(part) for part in inside.split("/")):
        return None
    target = folder / inside
    make_private(target.parent)
    return target
