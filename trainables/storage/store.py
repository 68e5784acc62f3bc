"""Storage of what a cell produces. This is the only file that knows paths.

    RUN/driver.json                     the record of the command that holds the folder
    RUN/grid.json                       the cells of the run, in order, and which of them are prerequisites
    RUN/sequential.json, failed.json    if seeds are added until claims are decided: the design, and the failures that looks have counted
    RUN/cells/KEY/cell.json             the cell
                  checkpoint.pt         during training: the state to resume from; afterwards: the parameters that are kept
                  history.jsonl         one line per epoch
                  predictions.npz       test set: index, label, probabilities, metadata such as subject and age
                  result.json           written last: it exists only if all other files do
                  error.json            why the cell failed
                  last-words.txt        during training: what its worker logs when it dies of a fault
    RUN/mark.txt                        each driver's own: a machine that does not see it has another folder there
    RUN/execution/KIND.json             the fastest execution configuration on a kind of device
    RUN/command.yaml, progress.json     the options of the command that made the grid; counts, running trainings and pace of the last one
    RUN/drawn.json, reported.txt        the state of what the curves of each condition, and the report, were made from
    RUN/tb/  RUN/report/  RUN/log/      drawn or written by the driver

RUN is a local folder or an fsspec URI. Every file is written atomically: to a temporary file that is flushed to disk and renamed, or on
an object store in one put.
"""

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np

from trainables.registry import BadRequest
from trainables.storage.lock_holder import FolderLost, require_owner
from trainables.storage.temporary_file import open_temporary

if TYPE_CHECKING:
    from trainables.cell import Cell  # at run time only where cells are read: it imports pandas, for which `status` has no time

SPOILT: tuple[type[Exception], ...] = (RuntimeError, EOFError, ValueError, LookupError, OSError, AttributeError, TypeError)
SPOILT += (struct.error, zlib.error, zipfile.BadZipFile, pickle.UnpicklingError)
"""Exceptions that readers of archives raise for corrupted bytes."""
INDENTED = 1_000_000
"""JSON of more characters is written as one line."""
BESIDE = ("history.jsonl", "predictions.npz")
"""Files whose digests the result holds."""


class RunFolder:
    """The files of one run. The folder is made on first use."""

    def __init__(self, uri: str, owner: str = "") -> None:
        """Raises BadRequest for an address that fsspec cannot read, or whose package is missing.

        `owner` is the ID of the command that holds the folder. With it, a write raises FolderLost if another command holds the folder. On
        a disk every write is checked. On an object store, where the check is a request, only results and errors are checked.
        """
        options = {"use_listings_cache": False} if "://" in str(uri) else {}  # others write here, too
        try:
            self.files, self.root = fsspec.core.url_to_fs(os.path.expanduser(str(uri)), **options)
        except (ValueError, ImportError) as error:
            raise BadRequest(f"{uri}: {error}") from None
        self.local = "file" in (self.files.protocol if isinstance(self.files.protocol, tuple) else (self.files.protocol,))
        self.uri = self.root if self.local else self.files.unstrip_protocol(self.root)
        self.set_owner(owner)

    def set_owner(self, owner: str, verify: Callable[[], None] | None = None) -> None:
        """Set the owner. `verify` is the owner's own check, which replaces reading the folder's record."""
        self.owner = owner
        self._verify = verify

    def verify_owner(self) -> None:
        """Raise FolderLost if the folder no longer belongs to its owner."""
        if self._verify:
            self._verify()
        else:
            require_owner(self)

    def get_path(self, *parts: str) -> str:
        return "/".join((self.root, *parts))

    # whole files
    def put(self, content: bytes, *parts: str) -> None:
        """Write a file so that it is complete or absent, whatever process dies."""
        path = self.get_path(*parts)
        if not self.local:
            with self._name_errors(path):
                self.files.pipe_file(path, content)
            return
        try:
            self._put_on_disk(content, path)
        except (FileNotFoundError, NotADirectoryError):
            self.verify_owner()  # the folder may have disappeared between the check and the write
            raise

    def _put_on_disk(self, content: bytes, path: str) -> None:
        folder = self.make_folder(os.path.dirname(path))
        temporary = ""
        try:
            file, temporary = open_temporary(path)
            with file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, path)
        except BaseException as error:
            with contextlib.suppress(FileNotFoundError):
                os.remove(temporary)
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, path) from None
            raise
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # the rename itself must survive a power cut
        finally:
            os.close(descriptor)

    def make_folder(self, path: str) -> str:
        """Make a folder of the run on this disk if it is missing, and return its path. A run folder that has an owner is not itself made
        again.
        """
        self.verify_owner()
        if self.owner:
            self._make_below(path)
        else:
            os.makedirs(path, exist_ok=True)
        return path

    def _make_below(self, path: str) -> None:
        if path == self.root:
            return
        try:
            os.mkdir(path)
        except FileExistsError:
            return
        except FileNotFoundError:
            if os.path.dirname(path) == self.root:
                raise FolderLost(f"{self.uri} was moved or deleted; nothing more is written there") from None
            self._make_below(os.path.dirname(path))
            self._make_below(path)

    def remove_leftovers(self) -> None:
        """Remove temporary files of killed writers. A live writer, even an orphan of a killed driver, holds a lock and keeps its file."""
        for path in Path(self.root).rglob("*.aside") if self.local else ():
            with contextlib.suppress(OSError), path.open("rb") as file:  # locked, already removed, or a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    def get(self, *parts: str) -> bytes | None:
        path = self.get_path(*parts)
        try:
            with self._name_errors(path):
                result: bytes | None = self.files.cat_file(path)
                return result
        except FileNotFoundError:
            return None

    def get_time(self, *parts: str) -> float:
        """Return when a file on a disk was last written, by the clock of its file system; 0 if it is missing or on an object store."""
        try:
            return os.stat(self.get_path(*parts)).st_mtime if self.local else 0.0
        except FileNotFoundError:
            return 0.0

    def remove(self, *parts: str) -> None:
        if self.local:
            self.verify_owner()
        path = self.get_path(*parts)
        with contextlib.suppress(FileNotFoundError), self._name_errors(path):
            if self.files.exists(path):
                self.files.rm_file(path)

    @contextlib.contextmanager
    def _name_errors(self, path: str) -> Iterator[None]:
        """Convert errors of an object store's driver to OSErrors that name the path."""
        try:
            yield
        except OSError as error:
            if self.local or error.filename:
                raise
            number = errno.ENOENT if isinstance(error, FileNotFoundError) else error.errno or errno.EIO
            raise type(error)(number, error.strerror or str(error), self.files.unstrip_protocol(path)) from None
        except Exception as error:
            raise OSError(errno.EIO, f"{type(error).__name__}: {error}", self.files.unstrip_protocol(path)) from None

    def put_json(self, content: Any, *parts: str) -> None:
        """Write JSON. A dict is written with its digest, so that a later change is detected."""
        text = json.dumps(content)
        if isinstance(content, dict):
            content = content | {"digest": _compute_digest(text.encode())}
        large = len(text) > INDENTED  # indenting ten thousand cells takes seconds and a hundred MB
        self.put((json.dumps(content, indent=None if large else 1) + "\n").encode(), *parts)

    def get_json(self, *parts: str, signed: bool = False, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
        """Read JSON. `hook` is the `object_hook` of json.loads.

        Raises ValueError if the file is not JSON or was changed after it was written, and with `signed` if it has no digest.
        """
        text = self.get(*parts)
        content = None if text is None else json.loads(text, object_hook=hook)
        if isinstance(content, dict):
            digest = content.pop("digest", None)
            if (signed or digest is not None) and digest != _compute_digest(json.dumps(content).encode()):
                raise ValueError("it was changed after it was written")
        return content

    def _get_object(self, *parts: str, signed: bool = False) -> dict[str, Any] | None:
        try:
            content = self.get_json(*parts, signed=signed)
        except (ValueError, RecursionError):
            return None
        return content if isinstance(content, dict) else None

    # the grid
    def put_grid(self, study: str, scale: str, cells: "Iterable[Cell]", steps: Iterable[str] = ()) -> None:
        """Write the grid. `steps` are the keys of the prerequisites, which are trained only because other cells start from them."""
        content = {"study": study, "scale": scale, "steps": list(steps), "cells": [cell.to_json() for cell in cells]}
        self.put_json(content, "grid.json")

    def get_cells(self) -> "list[Cell]":
        """Return all cells of the run, in order; empty if there is no grid."""
        return self._read_cells()[0]

    def get_shown_cells(self) -> "list[Cell]":
        """Return the grid's cells without the prerequisites."""
        cells, steps = self._read_cells()
        return [cell for cell in cells if cell.key not in steps]

    def _read_cells(self) -> "tuple[list[Cell], set[str]]":
        from trainables.cell import Cell

        shared: dict[str, dict[str, Any]] = {}

        def one(found: dict[str, Any]) -> dict[str, Any]:
            """Share equal settings and sources in memory: ten thousand cells have a few dozen different ones."""
            return found if "key" in found or "cells" in found else shared.setdefault(repr(found), found)

        content = self.get_json("grid.json", hook=one) or {"cells": []}
        return [Cell.from_json(cell) for cell in content["cells"]], set(content.get("steps", []))

    def put_mark(self, mark: str) -> None:
        self.put(mark.encode(), "mark.txt")

    def get_mark(self) -> str:
        return (self.get("mark.txt") or b"").decode(errors="replace")

    # a kind of device
    def put_choice(self, kind: str, choice: dict[str, Any]) -> None:
        self.put_json({"device": kind} | choice, "execution", _make_file_name(kind))

    def get_choice(self, kind: str) -> dict[str, Any] | None:
        content = self._get_object("execution", _make_file_name(kind)) or self._get_object("arithmetic", _make_file_name(kind))
        names = {"arithmetic": "execution"}  # the folder and the key of run folders before 0.1.0
        return content and {names.get(name, name): value for name, value in content.items() if name != "device"}

    # a cell's files
    def put_cell(self, cell: "Cell") -> None:
        self.put_json(cell.to_json(), "cells", cell.key, "cell.json")

    def put_checkpoint(self, key: str, content: Any) -> None:
        import torch  # the driver reads only results, and starts faster without

        buffer = io.BytesIO()
        torch.save(content, buffer)
        self.put(buffer.getvalue(), "cells", key, "checkpoint.pt")

    def get_checkpoint(self, key: str) -> Any:
        """Return the last checkpoint on the CPU, or None. Only tensors and plain containers are ever unpickled.

        The checkpoint of a finished cell holds `modules`, the parameters of the selected epoch, and `last`, those of the last epoch, if
        kept.
        """
        import torch

        content = self.get("cells", key, "checkpoint.pt")
        if content is None:
            return None
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as parts:  # PyTorch does not verify the checksums
                if parts.testzip():
                    return None
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except SPOILT:  # corrupted: the training starts from the beginning
            return None

    def put_history(self, key: str, rows: list[dict[str, Any]]) -> None:
        self.put("".join(json.dumps(row) + "\n" for row in rows).encode(), "cells", key, "history.jsonl")

    def get_history(self, key: str) -> list[dict[str, Any]]:
        """Return one row per epoch: phase, epoch, step (counted over all phases), metrics. It is empty before the first checkpoint."""
        rows = []
        for line in (self.get("cells", key, "history.jsonl") or b"").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:  # corrupted from here on
                break
        return rows

    def put_predictions(self, key: str, **arrays: np.ndarray) -> None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        self.put(buffer.getvalue(), "cells", key, "predictions.npz")

    def get_predictions(self, key: str) -> dict[str, np.ndarray]:
        """Return the test set: `index` [n] rows of the target data set, `subject` [n], `label` [n], `probabilities` [n, classes].

        It also holds `sex`, `age`, `ethnicity`, `mouth_open` [n] if the data set knows them, as `task.get_known_metadata` returns them.
        Older runs lack these. Nothing in the file is pickled.
        """
        content = self.get("cells", key, "predictions.npz")
        if content is None:
            raise FileNotFoundError(f"{self.get_path('cells', key, 'predictions.npz')}: no predictions; run the grid again to make them")
        try:
            with np.load(io.BytesIO(content)) as arrays:
                return dict(arrays)
        except SPOILT:
            path = self.get_path("cells", key)
            raise FileNotFoundError(f"{path}/predictions.npz: cannot be read; remove {path} and run the grid again") from None

    def put_result(self, key: str, result: dict[str, Any]) -> None:
        self._verify_remote()
        files = {name: _compute_digest(content) for name in BESIDE if (content := self.get("cells", key, name)) is not None}
        self.put_json(result | {"files": files}, "cells", key, "result.json")
        self.remove("cells", key, "error.json")

    def get_result(self, key: str) -> dict[str, Any] | None:
        """Return the result; None if it is missing, corrupted, or another cell's. A corrupted cell is trained again."""
        result = self._get_object("cells", key, "result.json", signed=True)
        if not result or result.get("key") != key:
            return None
        result.pop("files", None)
        return result

    def has_whole_result(self, key: str) -> bool:
        """Return whether there is a result and the files beside it are unchanged since it was written."""
        result = self._get_object("cells", key, "result.json", signed=True)
        if not result or result.get("key") != key:
            return False
        return all(_compute_digest(self.get("cells", key, name) or b"") == digest for name, digest in result.get("files", {}).items())

    def put_error(self, key: str, error: dict[str, Any]) -> None:
        self._verify_remote()
        self.put_json(error, "cells", key, "error.json")

    def _verify_remote(self) -> None:
        if not self.local:
            self.verify_owner()

    def get_error(self, key: str) -> dict[str, Any] | None:
        error = self._get_object("cells", key, "error.json")
        return error if error and "reason" in error else None

    def get_crash_log_path(self, key: str) -> str:
        """Return the path, on a disk, at which a worker logs what it dies of."""
        return self.get_path("cells", key, "last-words.txt")

    def get_crash_log(self, key: str) -> list[str]:
        """Return up to 40 lines that a cell's worker logged when it died."""
        return (self.get("cells", key, "last-words.txt") or b"").decode(errors="replace").splitlines()[:40]

    def list_done(self) -> set[str]:
        """Return the keys of all cells that have a result. On a disk each result is read and verified with the files beside it.

        On an object store every file is complete by itself.
        """
        keys = self.list_cells_with("result.json")
        return {key for key in keys if self.has_whole_result(key)} if self.local else keys

    def list_kept(self) -> set[str]:
        """Return the keys of all cells that have a checkpoint."""
        return self.list_cells_with("checkpoint.pt")

    def list_cells_with(self, name: str) -> set[str]:
        """Return the keys of all cells that have this file, which is not read."""
        cells = self.get_path("cells")
        if self.local:
            with contextlib.suppress(FileNotFoundError), os.scandir(cells) as folders:
                return {folder.name for folder in folders if os.path.exists(f"{folder.path}/{name}")}
            return set()
        with contextlib.suppress(FileNotFoundError), self._name_errors(cells):
            files = self.files.find(cells)  # one request lists a thousand files; folder by folder would take one request per cell
            return {path.split("/")[-2] for path in files if path.endswith(f"/{name}")}
        return set()


def _compute_digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _make_file_name(kind: str) -> str:
    return re.sub(r"\W+", "-", kind).strip("-").lower() + ".json"
