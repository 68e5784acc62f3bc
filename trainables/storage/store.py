"""Storage of what a cell produces. This is the only file that knows paths.

    RUN/driver.json                     the record of the command that holds the folder
    RUN/grid.json                       the cells of the run, in order, and which of them are prerequisites
    RUN/sequential.json, failed.json    if seeds are added until claims are decided: the design, and the failures that looks have counted
    RUN/cells/KEY/cell.json             the cell
                  checkpoint.pt         during training: the state to resume from; afterwards: the parameters that are kept
                  history.jsonl         one line per epoch
                  predictions.npz       test set: index, label, probabilities, metadata such as subject and age
                  files.json            the digests of these three, written before them
                  result.json           written last: it exists only if all other files do
                  error.json            why the cell failed
                  last-words.txt        during training: what its worker logs when it dies of a fault
    RUN/mark.txt                        each driver's own: a machine that does not see it has another folder there
    RUN/execution/KIND.json             the fastest execution configuration on a kind of device
    RUN/command.yaml, progress.json     the options of the command that made the grid; counts, running trainings and pace of the last one
    RUN/drawn.json, reported.txt        the state of what the curves of each condition, and the report, were made from
    RUN/tb/  RUN/report/  RUN/log/      drawn or written by the driver

    RUN/explain/                        drawn faces, for their owner alone

RUN is a local folder or an fsspec URI. Every file is written atomically, and says what it is (whole_files.py, signed_files.py): only event
files of TensorBoard, logs, marks and last words do not.
"""

import contextlib
import io
import json
import os
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from trainables.storage import signed_files
from trainables.storage.bounded_archives import check_expansion, read_npz
from trainables.storage.whole_files import WholeFiles

if TYPE_CHECKING:
    from trainables.cell import Cell  # at run time only where cells are read: it imports pandas, for which `status` has no time

SPOILT: tuple[type[Exception], ...] = (RuntimeError, EOFError, ValueError, LookupError, OSError, AttributeError, TypeError)
SPOILT += (struct.error, zlib.error, zipfile.BadZipFile, pickle.UnpicklingError)
"""Exceptions that readers of archives raise for corrupted bytes."""
HISTORY, PREDICTIONS, CHECKPOINT = "history.jsonl", "predictions.npz", "checkpoint.pt"
BESIDE = (HISTORY, PREDICTIONS, signed_files.FILES)
"""Files whose digests the result holds."""
Choice = TypeVar("Choice")


class RunFolder(WholeFiles):
    """The files of one run."""

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

    def get_choice(self, kind: str, parse: Callable[[dict[str, Any]], Choice]) -> Choice | None:
        """Return what `parse` makes of the choice for a kind of device. None without one, and if `parse` refuses it, which a line says."""
        names = {"arithmetic": "execution"}  # the folder and the key of run folders before 0.1.0
        for folder in ("execution", "arithmetic"):
            if content := self.get_object(folder, _make_file_name(kind)):
                try:
                    if content.pop("device", kind) != kind:
                        raise ValueError("it is another device's")
                    return parse({names.get(name, name): value for name, value in content.items()})
                except (ValueError, TypeError, LookupError) as error:
                    self.say_unfit(error, folder, _make_file_name(kind))
        return None

    # a cell's files
    def put_cell(self, cell: "Cell") -> None:
        self.put_json(cell.to_json(), "cells", cell.key, "cell.json")

    def put_files(self, key: str, **contents: bytes | memoryview) -> None:
        """Write files of a training, in this order: `history`, `predictions`, `checkpoint`, as the functions `encode_...` make them."""
        names = {"history": HISTORY, "predictions": PREDICTIONS, "checkpoint": CHECKPOINT}
        self.put_described(f"cells/{key}", {names[name]: content for name, content in contents.items()})

    def put_checkpoint(self, key: str, state: dict[str, Any]) -> None:
        self.put_files(key, checkpoint=encode_checkpoint(key, state))

    def get_checkpoint(self, key: str) -> Any:
        """Return the last checkpoint on the CPU. Only tensors and plain containers are ever unpickled.

        None if there is none, and if it is damaged or another training's, which a line says. The checkpoint of a finished cell holds
        `modules`, the parameters of the selected epoch, and `last`, those of the last epoch, if kept.
        """
        import torch

        place = f"cells/{key}"
        content, described = self.get_described(place, CHECKPOINT)
        if content is None:
            return None
        try:
            if not described:
                with zipfile.ZipFile(io.BytesIO(content)) as parts:  # PyTorch does not verify the checksums
                    check_expansion(parts, len(content))
                    if parts.testzip():
                        raise ValueError("it is damaged")
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            if (about := state.pop(signed_files.ABOUT, None)) is not None:
                signed_files.check_about(about, f"{place}/{CHECKPOINT}")
                if not described:
                    raise ValueError("files.json, which has its digest, is missing")
        except SPOILT as error:
            self.say_unfit(error, "cells", key, CHECKPOINT)
            return None
        if not described:
            self.say_unsigned("cells", key, CHECKPOINT)
        return state

    def has_parameters(self, key: str) -> bool:
        """Return whether a finished cell has kept its parameters, and they are as it wrote them."""
        state = self.get_checkpoint(key)
        return bool(state) and "modules" in state and "phase" not in state

    def put_history(self, key: str, rows: list[dict[str, Any]]) -> None:
        self.put_files(key, history=encode_history(rows))

    def get_history(self, key: str) -> list[dict[str, Any]]:
        """Return one row per epoch: phase, epoch, step (counted over all phases), metrics. It is empty before the first checkpoint."""
        content, described = self.get_described(f"cells/{key}", HISTORY)
        if content and not described:
            self.say_unsigned("cells", key, HISTORY)
        rows = []
        for line in (content or b"").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                break
            if not described and not _is_row(row):  # corrupted from here on
                break
            rows.append(row)
        return rows

    def put_predictions(self, key: str, **arrays: np.ndarray) -> None:
        self.put_files(key, predictions=encode_predictions(**arrays))

    def get_predictions(self, key: str) -> dict[str, np.ndarray]:
        """Return the test set: `index` [n] rows of the target data set, `subject` [n], `label` [n], `probabilities` [n, classes].

        It also holds `sex`, `age`, `ethnicity`, `mouth_open` [n] if the data set knows them, as `task.get_known_metadata` returns them.
        Older runs lack these. Nothing in the file is pickled.
        """
        path = self.get_path("cells", key)
        content, described = self.get_described(f"cells/{key}", PREDICTIONS)
        if content and not described:
            self.say_unsigned("cells", key, PREDICTIONS)
        if content is None and not self.files.exists(f"{path}/{PREDICTIONS}"):
            raise FileNotFoundError(f"{path}/{PREDICTIONS}: no predictions; run the grid again to make them")
        try:
            return read_npz(content or b"")
        except SPOILT:
            raise FileNotFoundError(f"{path}/{PREDICTIONS}: cannot be read; remove {path} and run the grid again") from None

    def put_result(self, key: str, result: dict[str, Any]) -> None:
        self._verify_remote()
        files = {name: signed_files.compute_digest(content) for name in BESIDE if (content := self.get("cells", key, name)) is not None}
        self.put_json(result | {"files": files}, "cells", key, "result.json")
        self.remove("cells", key, "error.json")

    def get_result(self, key: str) -> dict[str, Any] | None:
        """Return the result; None if it is missing, corrupted, or another cell's. A corrupted cell is trained again."""
        result = self.get_object("cells", key, "result.json", signed=True)
        if not result or result.get("key") != key:
            return None
        result.pop("files", None)
        return result

    def has_whole_result(self, key: str) -> bool:
        """Return whether there is a result and the files beside it are unchanged since it was written.

        Parameters are large, and are read here only if their file is newer than the result. Whoever uses them verifies them.
        """
        result = self.get_object("cells", key, "result.json", signed=True)
        if not result or result.get("key") != key:
            return False
        for name, digest in result.get("files", {}).items():
            if signed_files.compute_digest(self.get("cells", key, name) or b"") != digest:
                self.say_unfit("it was changed after it was written, or is missing", "cells", key, name)
                return False
        return not self._is_checkpoint_newer(key) or self.has_parameters(key)

    def _is_checkpoint_newer(self, key: str) -> bool:
        try:
            written, ended = (os.stat(self.get_path("cells", key, name)).st_mtime_ns for name in (CHECKPOINT, "result.json"))
        except OSError:
            return False
        return self.local and written > ended

    def put_error(self, key: str, error: dict[str, Any]) -> None:
        self._verify_remote()
        self.put_json(error, "cells", key, "error.json")

    def _verify_remote(self) -> None:
        if not self.local:
            self.verify_owner()

    def get_error(self, key: str) -> dict[str, Any] | None:
        error = self.get_object("cells", key, "error.json")
        return error if error and "reason" in error else None

    def get_crash_log_path(self, key: str) -> str:
        """Return the path, on a disk, at which a worker logs what it dies of."""
        return self.get_path("cells", key, "last-words.txt")

    def get_crash_log(self, key: str) -> list[str]:
        """Return up to 40 lines that a cell's worker logged when it died; empty if there are none."""
        return (self.get("cells", key, "last-words.txt") or b"").decode(errors="replace").splitlines()[:40]

    def list_done(self) -> set[str]:
        """Return the keys of all cells that have a result. On a disk each result is read and verified with the files beside it.

        On an object store every file is complete by itself.
        """
        keys = self.list_cells_with("result.json")
        return {key for key in keys if self.has_whole_result(key)} if self.local else keys

    def list_kept(self) -> set[str]:
        """Return the keys of all cells that have a checkpoint."""
        return self.list_cells_with(CHECKPOINT)

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


def encode_history(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def encode_predictions(**arrays: np.ndarray) -> memoryview:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getbuffer()


def encode_checkpoint(key: str, state: dict[str, Any]) -> memoryview:
    """Return a cell's state as `torch.save` writes it. It names its place, so that no other cell's is taken for it."""
    import torch  # the driver reads only results, and starts faster without

    buffer = io.BytesIO()
    torch.save(state | {signed_files.ABOUT: signed_files.make_about(f"cells/{key}/{CHECKPOINT}")}, buffer)
    return buffer.getbuffer()


def _is_row(row: Any) -> bool:
    """Return whether a line of a history has what every row has."""
    return isinstance(row, dict) and all(type(row.get(name)) is kind for name, kind in (("phase", str), ("epoch", int), ("step", int)))


def _make_file_name(kind: str) -> str:
    return re.sub(r"\W+", "-", kind).strip("-").lower() + ".json"
