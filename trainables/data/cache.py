"""Cache: what was decoded once, as plain files that every process of a machine maps into its memory.

It lies in FERRAY_CACHE (default ~/.cache/ferray), never beside a data set, readable by its owner alone; it may be deleted at any time.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import pickle
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import PIL

from trainables.data import decode, mapped
from trainables.data.decode import DataError, DecodeOptions, Item

FORMAT = 1
"""raised when the files below mean something else"""
ALONE = 400
"""pictures for each process: fewer are decoded sooner than another one has started"""
TICK = 0.01
"""seconds in which a file may change twice and show one time of change"""


class DecodedRows(NamedTuple):
    """What was made of some items: those that could be made, in their order."""

    values: np.ndarray
    """[k, ...]; mapped from the cache: writes stay in this process, of what is large none are taken"""
    kept: np.ndarray
    """int64 [k]: which items"""
    failed: dict[int, str]
    """why the others could not be made, by item"""
    key: str


def get_cache_folder() -> Path:
    return Path(os.environ.get("FERRAY_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ferray")


def decode_rows(root: Path, items: Sequence[Item], how: DecodeOptions) -> DecodedRows:
    """Every item's picture (or box) below `root`, decoded by all cores, or taken from the cache where no file has changed since."""
    items = list(items)
    failed = {}
    digest = hashlib.sha256()
    known: dict[str, tuple[str, str]] = {}
    for row, item in enumerate(items):
        if item.file not in known:
            known[item.file] = _check_file(f"{root}/{item.file}")
        state, fault = known[item.file]
        digest.update(f"{tuple(item)} {state}\n".encode("utf-8", "surrogateescape"))
        if fault:
            failed[row] = f"{root / item.file}: {fault}"
    key = make_key(root, tuple(how), Path(decode.__file__).read_bytes(), cv2.__version__, PIL.__version__, digest.digest())
    good = [row for row in range(len(items)) if row not in failed]
    values, info = get_or_make(key, lambda file: _decode_into(root, [items[row] for row in good], how, file), root)
    kept = np.delete(np.array(good, np.int64), [int(row) for row, _ in info["failed"]])
    failed |= {good[int(row)]: why for row, why in info["failed"]}
    return DecodedRows(values, kept, dict(sorted(failed.items())), key)


def make_key(root: Path, *parts: object) -> str:
    """The key of what is made of the files in `root` and of all `parts`."""
    return hashlib.sha256(repr((FORMAT, os.path.abspath(root), *parts)).encode()).hexdigest()[:32]


def get_file_state(file: Path | str) -> str:
    """What changes when a file does: its size and its time of change."""
    return _check_file(file)[0]


def _check_file(file: Path | str) -> tuple[str, str]:
    """Size and time of change, and what is wrong with the file, if anything."""
    try:
        found = os.stat(file)
        if 0 <= time.time() - found.st_mtime < TICK:  # it may yet change unseen
            time.sleep(TICK)
            found = os.stat(file)
    except (OSError, ValueError) as error:
        return "", getattr(error, "strerror", None) or str(error)
    return f"{found.st_size} {found.st_mtime_ns}", "" if stat.S_ISREG(found.st_mode) else "is no file"


def get_or_make(key: str, make: Callable[[Path], dict[str, Any]], root: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The array of this key, and what is known of it; `make(file)` writes it, as plain bytes, where it is not there yet.

    What `make` returns has its `shape` and `dtype`, and whatever else is JSON. DataError where the cache cannot be written, or lies
    within `root`, the data set's own folder.
    """
    place = get_cache_folder().absolute()
    base = place / key
    if (known := _read_entry(base)) is None:
        if place.resolve().is_relative_to(root.resolve()):
            raise DataError(f"FERRAY_CACHE={place} lies in the data set's own folder {root}; set it to another place")
        try:
            with _lock_decoding(place):
                if (known := _read_entry(base)) is None:
                    known = _write_entry(base, make)
        except OSError as error:
            why = error.strerror or error
            raise DataError(f"{place}: cannot keep what was decoded ({why}); set FERRAY_CACHE to another place") from None
    shape = tuple(known["shape"])
    if not shape[0]:
        return np.empty(shape, known["dtype"]), known
    large = math.prod(shape) * np.dtype(known["dtype"]).itemsize > mapped.LARGE
    mode: Literal["r", "c"] = "r" if large else "c"  # of what could be written to Linux maps no more than it has memory for
    return np.memmap(base.with_suffix(".bytes"), known["dtype"], mode, shape=shape), known


def _read_entry(base: Path) -> dict[str, Any] | None:
    """What is known of a key's array; None where it is not there, or not as it was written: cut off, or changed by somebody else."""
    try:
        known: dict[str, Any] = json.loads(base.with_suffix(".json").read_bytes())
        return known if known["state"] == get_file_state(base.with_suffix(".bytes")) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_entry(base: Path, make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Write both files of a key, the one that says that they are there last."""
    partial = base.with_suffix(".partial")
    for left in base.parent.glob("*.partial"):  # by one that was killed: we hold the lock
        left.unlink()
    try:
        known = make(partial)
        with open(partial, "rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, base.with_suffix(".bytes"))
        known["state"] = get_file_state(base.with_suffix(".bytes"))
        partial.write_text(json.dumps(known))
        os.replace(partial, base.with_suffix(".json"))
        return known
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _lock_decoding(place: Path) -> Iterator[None]:
    """One process of a machine decodes at a time: it has all cores, and what two want is made once."""
    import fcntl

    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(place / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def allocate_file(file: Path, size: int) -> None:
    """A file of so many bytes that are really there: a full disk is an error now, not a crash in the middle."""
    with open(file, "wb") as out:
        try:
            os.posix_fallocate(out.fileno(), 0, size)
        except (AttributeError, OSError) as error:
            if getattr(error, "errno", None) == errno.ENOSPC or shutil.disk_usage(file.parent).free < size:
                raise OSError(errno.ENOSPC, f"{size / 2**30:.1f} GiB are needed there") from None
            out.truncate(size)


def _decode_into(root: Path, items: list[Item], how: DecodeOptions, file: Path) -> dict[str, Any]:
    """Decode into the file, then close the gaps of what could not be decoded."""
    each = int(np.prod(how.shape)) * how.dtype.itemsize
    failed: dict[int, str] = {}
    if items:
        allocate_file(file, each * len(items))
        failed = dict(_decode_in_parallel(root, items, how, file, min(_count_cores(), -(-len(items) // ALONE)) - 1))
        if failed:
            _close_gaps(file, [row for row in range(len(items)) if row not in failed], len(items), each)
    else:
        file.touch()
    shape = (len(items) - len(failed), *how.shape)
    return {"shape": shape, "dtype": how.dtype.str, "root": str(root), "failed": sorted(failed.items())}


def _decode_in_parallel(root: Path, items: list[Item], how: DecodeOptions, file: Path, helpers: int) -> Iterator[tuple[int, str]]:
    """Decode here, and in so many processes that start in a third of a second: a fork of this one would take its threads' locks along."""
    here = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH")))), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from trainables.data.decode import main; main()"]
    running = []
    with tempfile.TemporaryFile(buffering=0) as queue:
        queue.write(np.arange(len(decode.split_blocks(items)), dtype=np.int32).tobytes())
        queue.seek(0)
        job = pickle.dumps((root.absolute(), items, how, file.absolute(), queue.fileno()))
        try:
            for _ in range(helpers):
                pipe = subprocess.PIPE
                process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, cwd=here, pass_fds=[queue.fileno()])
                running.append(process)
                assert process.stdin is not None
                process.stdin.write(job)
                process.stdin.close()
            yield from decode.fill_rows(root, items, how, file, queue.fileno())
            yield from _collect_failures(running, root)
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()


def _collect_failures(running: list[subprocess.Popen[bytes]], root: Path) -> Iterator[tuple[int, str]]:
    """What the processes could not decode; they have ended."""
    for process in running:
        assert process.stdout is not None
        for line in process.stdout:
            row, why = json.loads(line)
            yield row, why
        if process.wait():
            raise DataError(f"{root}: a process that decoded its images ended with code {process.returncode}; is the memory full?")


def _close_gaps(file: Path, good: list[int], count: int, each: int) -> None:
    """Move the good rows together and cut the file after them."""
    if good:
        out = np.memmap(file, np.uint8, "r+", shape=(count, each))
        for start in range(0, len(good), 1024):  # forwards: a row never moves over one that is still to move
            some = good[start : start + 1024]
            out[start : start + len(some)] = out[some]
        out.flush()
        del out
    os.truncate(file, len(good) * each)


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def get_or_make_text(key: str, make: Callable[[], str]) -> str:
    """A short text of this key, made once on this machine; where the cache cannot be written, or was changed, made anew."""
    file = get_cache_folder() / f"{key}.text"
    with contextlib.suppress(OSError, ValueError):
        text, check = file.read_text().split()
        if check == _digest_text(text):
            return text
    text = make()
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_text(f"{text} {_digest_text(text)}")
        os.replace(partial, file)
    return text


def _digest_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
