"""Cache of decoded data sets, as plain files that every process of a machine maps into its memory.

It is in FERRAY_CACHE (default ~/.cache/ferray), never in a data set's folder. Only its owner can read it. It may be deleted at any time.
Every file says what it is (storage/signed_files.py). One that is not what was written is made anew, with a line.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import pickle
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import PIL

from trainables.data import decode, memory_map
from trainables.data.decode import DataError, DecodeOptions, Item
from trainables.registry import join_lines
from trainables.storage import signed_files
from trainables.storage.private_folder import OTHERS, choose_private, make_private, make_private_folder, open_private

FORMAT = 1
"""Version of the file format. It is raised when the meaning of the files changes."""
ALONE = 400
"""Pictures per process. Fewer than these are decoded before another process has started."""
TICK = 0.01
"""Seconds. Two changes of a file within this time may leave the same modification time."""


class DecodedRows(NamedTuple):
    """The results of decoding some items. Items that failed have no row. The order is that of the items."""

    values: np.ndarray
    """[k, ...]; mapped from the cache: writes stay in this process, and large arrays are read-only"""
    kept: np.ndarray
    """int64 [k]: the index of each row's item"""
    failed: dict[int, str]
    """the reason of each failure, by the item's index"""
    key: str


def get_cache_folder() -> Path:
    """Return FERRAY_CACHE, else `ferray` in the user's cache folder, else, where that cannot be written, a private temporary folder.

    If others can read FERRAY_CACHE, it is a private folder in it: whoever made it may want that it stays open.
    """
    if given := os.environ.get("FERRAY_CACHE"):
        folder = choose_private(Path(given))
        if folder != Path(given):
            _close_old_files(Path(given))
        return folder
    return _find_writable(Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ferray"))


@cache
def _close_old_files(folder: Path) -> None:
    """Close to others what an earlier version kept in a folder that they can read. Only files and folders of ours are touched."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            ours = re.fullmatch(r"[0-9a-f]{32}\S*\.(bytes|json|text)|unpacked|sheets", path.name) and not path.is_symlink()
            if ours and path.stat().st_uid == os.getuid() and path.stat().st_mode & OTHERS:
                path.chmod(0o700 if path.is_dir() else 0o600)


@cache
def _find_writable(folder: Path) -> Path:
    with contextlib.suppress(OSError):
        make_private(folder)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    with contextlib.suppress(OSError):
        other = make_private_folder("ferray-cache")
        print(f"{folder} cannot be written; decoded images are kept in {other} (FERRAY_CACHE names another place)", file=sys.stderr)
        return other
    return folder


def decode_rows(root: Path, items: Sequence[Item], how: DecodeOptions) -> DecodedRows:
    """Decode every item's picture (or face box) below `root` with all cores, or take it from the cache if no file has changed since."""
    items = list(items)
    failed = {}
    digest = hashlib.sha256()
    checked: dict[str, tuple[str, str]] = {}
    for row, item in enumerate(items):
        if item.file not in checked:
            checked[item.file] = _check_file(f"{root}/{item.file}")
        state, fault = checked[item.file]
        digest.update(f"{tuple(item)} {state}\n".encode("utf-8", "surrogateescape"))
        if fault:
            failed[row] = f"{root / item.file}: {fault}"
    key = make_key(root, tuple(how), Path(decode.__file__).read_bytes(), cv2.__version__, PIL.__version__, digest.digest())
    readable = [row for row in range(len(items)) if row not in failed]
    values, info = get_or_make(key, lambda file: _decode_into(root, [items[row] for row in readable], how, file), root)
    indices = np.delete(np.array(readable, np.int64), [int(row) for row, _ in info["failed"]])
    failed |= {readable[int(row)]: reason for row, reason in info["failed"]}
    return DecodedRows(values, indices, dict(sorted(failed.items())), key)


def make_key(root: Path, *parts: object) -> str:
    """Return the cache key of a result that is made from the files in `root` and all `parts`."""
    return hashlib.sha256(repr((FORMAT, os.path.abspath(root), *parts)).encode()).hexdigest()[:32]


def get_file_state(file: Path | str) -> str:
    """Return what changes when a file does: its size and modification time."""
    return _check_file(file)[0]


def _check_file(file: Path | str) -> tuple[str, str]:
    """Return the file's size and modification time, and its fault, or "" for none."""
    try:
        status = os.stat(file)
        if 0 <= time.time() - status.st_mtime < TICK:  # it may change again without a new modification time
            time.sleep(TICK)
            status = os.stat(file)
    except (OSError, ValueError) as error:
        return "", getattr(error, "strerror", None) or str(error)
    return f"{status.st_size} {status.st_mtime_ns}", "" if stat.S_ISREG(status.st_mode) else "is not a file"


def get_or_make(key: str, make: Callable[[Path], dict[str, Any]], root: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the array of this key and its entry. If they are not in the cache yet, `make(file)` writes the array as plain bytes.

    `make` returns the entry: `shape`, `dtype` and any other JSON values. Raises DataError if the cache cannot be written, or is within
    `root`, the data set's own folder.
    """
    folder = get_cache_folder().absolute()
    base = folder / key
    if (entry := _read_entry(base, say=False)) is None:
        if folder.resolve().is_relative_to(root.resolve()):
            raise DataError(f"FERRAY_CACHE={folder} lies in the data set's own folder {root}; set it to another place")
        try:
            with _lock_decoding(folder):
                if (entry := _read_entry(base)) is None:
                    entry = _write_entry(base, make)
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"{folder}: cannot keep what was decoded ({reason}); set FERRAY_CACHE to another place") from None
    shape = tuple(entry["shape"])
    if not shape[0]:
        return np.empty(shape, entry["dtype"]), entry
    large = math.prod(shape) * np.dtype(entry["dtype"]).itemsize > memory_map.LARGE
    mode: Literal["r", "c"] = "r" if large else "c"  # Linux maps writable files only up to its memory
    return np.memmap(base.with_suffix(".bytes"), entry["dtype"], mode, shape=shape), entry


def _read_entry(base: Path, say: bool = True) -> dict[str, Any] | None:
    """Return the entry of a key. None if the array is missing, or not as it was written (damaged, or changed by others), with a line."""
    file, array = base.with_suffix(".json"), base.with_suffix(".bytes")
    try:
        entry: dict[str, Any] = signed_files.parse_signed(file.read_bytes(), file.name, signed=True)
        if entry["content"] != _describe_array(array):
            raise signed_files.UnfitFile(f"{array.name} was changed after it was written")
        return entry
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if say:
            print(f"{file}: {join_lines(error)}; its pictures are decoded again", file=sys.stderr)
        return None


def _describe_array(file: Path) -> str:
    """Return what changes when the array does: a digest, or of a large one, which would take too long, what the disk says of it.

    The time of the last change of a file's state (ctime) cannot be set back, as that of its content can.
    """
    status = file.stat()
    if status.st_size > memory_map.LARGE:
        return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
    with open(file, "rb") as stream:
        return f"{status.st_size} {hashlib.file_digest(stream, 'sha256').hexdigest()}"


def _write_entry(base: Path, make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Write both files of a key. The entry is written last, because it marks the key as complete."""
    partial = base.with_suffix(".partial")
    for stale in base.parent.glob("*.partial"):  # left by a killed process, because this one holds the lock
        stale.unlink()
    try:
        entry = make(partial)
        with open(partial, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, base.with_suffix(".bytes"))
        entry["content"] = _describe_array(base.with_suffix(".bytes"))
        _write_signed(base.with_suffix(".json"), entry, partial)
        return entry
    finally:
        partial.unlink(missing_ok=True)


def _write_signed(file: Path, content: dict[str, Any], partial: Path) -> None:
    with open_private(partial, "w") as out:
        json.dump(signed_files.sign_content(content, file.name), out)
    os.replace(partial, file)


@contextlib.contextmanager
def _lock_decoding(place: Path) -> Iterator[None]:
    """Let one process of a machine decode at a time. It uses all cores, and what two processes need is made once."""
    import fcntl

    with open_private(make_private(place) / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def allocate_file(file: Path, size: int) -> None:
    """Create a file of `size` allocated bytes, so that a full disk raises an error now and causes no crash later."""
    with open_private(file, "wb") as out:
        try:
            os.posix_fallocate(out.fileno(), 0, size)
        except (AttributeError, OSError) as error:
            if getattr(error, "errno", None) == errno.ENOSPC or shutil.disk_usage(file.parent).free < size:
                raise OSError(errno.ENOSPC, f"{size / 2**30:.1f} GiB are needed there") from None
            out.truncate(size)


def _decode_into(root: Path, items: list[Item], how: DecodeOptions, file: Path) -> dict[str, Any]:
    """Decode into the file, then close the gaps of items that could not be decoded."""
    row_bytes = int(np.prod(how.shape)) * how.dtype.itemsize
    failed: dict[int, str] = {}
    if items:
        allocate_file(file, row_bytes * len(items))
        failed = dict(_decode_in_parallel(root, items, how, file, min(_count_cores(), -(-len(items) // ALONE)) - 1))
        if failed:
            _close_gaps(file, [row for row in range(len(items)) if row not in failed], len(items), row_bytes)
    else:
        open_private(file, "wb").close()
    shape = (len(items) - len(failed), *how.shape)
    return {"shape": shape, "dtype": how.dtype.str, "root": str(root), "failed": sorted(failed.items())}


def _decode_in_parallel(root: Path, items: list[Item], how: DecodeOptions, file: Path, helpers: int) -> Iterator[tuple[int, str]]:
    """Decode in this process and in `helpers` further ones, which start in a third of a second.

    They are not forked, because a fork would copy the locks of this process's threads.
    """
    repo = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (repo, os.environ.get("PYTHONPATH")))), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from trainables.data.decode import main; main()"]
    processes = []
    with tempfile.TemporaryFile(buffering=0) as queue:
        queue.write(np.arange(len(decode.split_blocks(items)), dtype=np.int32).tobytes())
        queue.seek(0)
        job = pickle.dumps((root.absolute(), items, how, file.absolute(), queue.fileno()))
        try:
            for _ in range(helpers):
                pipe = subprocess.PIPE
                process = subprocess.Popen(
                    command, stdin=pipe, stdout=pipe, env=environment, cwd=repo, pass_fds=[queue.fileno()], process_group=0
                )  # in a group of its own, which Ctrl-C does not reach: this process ends it
                processes.append(process)
                assert process.stdin is not None
                process.stdin.write(job)
                process.stdin.close()
            yield from decode.fill_rows(root, items, how, file, queue.fileno())
            yield from _collect_failures(processes, root)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()


def _collect_failures(running: list[subprocess.Popen[bytes]], root: Path) -> Iterator[tuple[int, str]]:
    """Yield the items that the processes could not decode, and wait until each process has ended."""
    for process in running:
        assert process.stdout is not None
        for line in process.stdout:
            row, reason = json.loads(line)
            yield row, reason
        if process.wait():
            raise DataError(f"{root}: a process that decoded its images ended with code {process.returncode}; is the memory full?")


def _close_gaps(file: Path, good: list[int], count: int, each: int) -> None:
    """Move the good rows together and truncate the file after them."""
    if good:
        out = np.memmap(file, np.uint8, "r+", shape=(count, each))
        for start in range(0, len(good), 1024):  # forwards, so that no row is overwritten before it has moved
            rows = good[start : start + 1024]
            out[start : start + len(rows)] = out[rows]
        out.flush()
        del out
    os.truncate(file, len(good) * each)


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def get_or_make_text(key: str, make: Callable[[], str]) -> str:
    """Return a short text of this key, made once on this machine. It is made anew if the cache cannot be written or was changed."""
    file = get_cache_folder() / f"{key}.text"
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        return str(signed_files.parse_signed(file.read_bytes(), file.name, signed=True)["text"])
    text = make()
    with contextlib.suppress(OSError):
        make_private(file.parent)
        _write_signed(file, {"text": text}, file.with_suffix(f".{os.getpid()}"))
    return text
