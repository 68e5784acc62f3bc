"""Worker: how a cell starts in a process that trains many, and how its end is written and reported. It does not depend on a cluster."""

import errno
import os
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from trainables.autotune import AutotuneResult, get_device_kind
from trainables.cell import Cell
from trainables.execution.interleave import PackOutOfMemory
from trainables.execution.sharding import ALONE, PeerLost, ShardContext, join_shards
from trainables.loop import Diverged, Keep, Stopped, get_device, get_or_choose_execution, get_requested_execution, iterate_training
from trainables.registry import BadRequest
from trainables.storage.lock_holder import FolderLost
from trainables.storage.store import RunFolder
from trainables.workers.watchdog import HANG_S, Watchdog
from trainables.workers.worker_messages import Event, FailedEvent, Job

ROW_S = 0.5
"""Seconds between two epochs of a cell that are reported, unless a scheduler has to see them all: a call of the dispatcher takes as long as
some epochs. The curves of a finished cell are drawn from its history, and have all of them."""


@dataclass
class Worker:
    """Starts and ends jobs. It reports through the functions that it is given."""

    runs: str
    context: dict[str, Any]
    """Kept in every result's provenance."""
    report: Callable[[str, Event], bool]
    """(key, event) -> whether to continue."""
    ask: Callable[[str], Any]
    """Kind of device -> its choice, or None if this worker has to choose."""
    answer: Callable[[str, Any], None]
    halt: Callable[[], bool]
    checkpoint_s: float
    cells: int
    """Number of cells for each worker."""
    keep: Keep = "best"
    parents: frozenset[str] = frozenset()
    """Keys of cells that others start from. Their selected parameters are kept in any case."""
    hang_s: float = HANG_S
    """A worker that makes no step for this long ends itself."""
    own_gpu: bool = False
    """No other worker uses this worker's GPU."""
    scratch: str = ""
    """A folder that this machine's workers share while the grid runs."""
    row_s: float = ROW_S
    """Least time between two epochs of a cell that are reported."""
    owner: str = ""
    """ID of the command that holds the run folder. Nothing is written once another command holds it."""

    def __post_init__(self) -> None:
        self.folder = RunFolder(self.runs, self.owner)
        self.choice: AutotuneResult | None = None
        self.watch = Watchdog(self.hang_s)

    def start_job(self, job: Job) -> Generator[None, None, Any]:
        """Return the job's training. A finished cell ends at once: an orphan of a killed driver may have finished it."""
        cell = Cell.from_json(job["cell"])
        if cell.parent and self.folder.get_result(cell.parent) is None:
            raise BadRequest(f"its parent {cell.parent} failed: {(self.folder.get_error(cell.parent) or {}).get('reason', 'no result')}")
        if "shard" not in job:
            yield from self._train_cell(job, cell, ALONE)
            return
        index, size, name = job["shard"]
        with join_shards(index, size, name, self.own_gpu, self.hang_s, self.scratch) as shard:
            yield from self._train_cell(job, cell, shard)

    def _train_cell(self, job: Job, cell: Cell, shard: ShardContext) -> Generator[None, None, Any]:
        if shard.broadcast_value(self.folder.has_whole_result(cell.key)):
            return
        if self.folder.local:
            self.folder.make_folder(self.folder.get_path("cells", cell.key))
            self.watch.start_cell(self.folder.get_crash_log_path(cell.key), join=not shard.is_first)
        context = self.context | {"trial": job["trial"], "slot_pid": job["slot_pid"], "deaths": job["deaths"]}
        if get_requested_execution(cell) is None and self.choice is None:
            self.choice = self._choose_execution(cell)

        sent = -self.row_s

        def report(row: dict[str, Any]) -> bool:
            nonlocal sent
            if not shard.is_first or time.monotonic() - sent < self.row_s:
                return True
            sent = time.monotonic()
            return self.report(cell.key, {"kind": "row", "row": row, "pid": os.getpid()})

        keep: Keep = "best" if self.keep == "none" and cell.key in self.parents else self.keep
        for _ in iterate_training(cell, self.folder, report, context, self.checkpoint_s, self.halt, self.choice, keep, shard):
            self.watch.reset_timer()
            yield

    def _choose_execution(self, cell: Cell) -> AutotuneResult:
        kind = get_device_kind(get_device())
        if existing := self.ask(kind):
            return AutotuneResult.from_json(existing)
        choice = get_or_choose_execution(cell, self.folder, self.cells)
        self.answer(kind, choice.to_json())
        return choice

    def end_job(self, job: Job, error: Exception | None) -> None:
        """Write and report how the job ended.

        If the process has no memory left it ends itself, and a fresh one retries the cell: another process may have caused the shortage,
        and this one would fail at its next job, too.
        """
        cell = Cell.from_json(job["cell"])
        if error is not None and is_out_of_memory(error):
            self.watch.end_process(error)
        is_helper = "shard" in job and job["shard"][0] > 0
        self.watch.end_cell(self.folder.get_crash_log_path(cell.key), join=is_helper)
        event: Event
        if isinstance(error, FolderLost):
            event = _make_lost_end(error)
        elif isinstance(error, PeerLost):
            event = {"kind": "parted", "reason": str(error)}
        elif is_helper and (error is None or isinstance(error, Stopped)):
            event = {"kind": "left"}
        elif error is None:
            event = {"kind": "done"}
        elif isinstance(error, Stopped):
            event = {"kind": "failed", "stopped": True, "reason": "stopped"}
        elif isinstance(error, OSError):
            path = error.filename or self.folder.get_path("cells", cell.key)
            event = {"kind": "failed", "fatal": True, "reason": f"{path}: {error.strerror or error}"}
        else:
            is_expected = isinstance(error, BadRequest | Diverged | PackOutOfMemory)
            event = {"kind": "failed", "reason": str(error) if is_expected else f"{type(error).__name__}: {error}"}
            epoch = {"epoch": error.epoch} if isinstance(error, Diverged) else {}
            trace = "".join(traceback.format_exception(error))
            try:
                self.folder.put_error(cell.key, {"key": cell.key, "axes": cell.axes, "traceback": trace, **event, **epoch})
            except FolderLost as lost:
                event = _make_lost_end(lost)
        event["time"] = time.time()
        self.report(cell.key, event)

    def send_note(self, job: Job, text: str) -> None:
        """Report a line for the user."""
        self.report(job["cell"]["key"], {"kind": "note", "text": text})


def _make_lost_end(error: FolderLost) -> FailedEvent:
    """Return the end event of a cell whose run folder belongs to another command. The cell did not fail, and the driver has to end."""
    return {"kind": "failed", "stopped": True, "fatal": True, "reason": str(error)}


def is_out_of_memory(error: Exception) -> bool:
    """Return whether the machine's memory, not a GPU's, is exhausted."""
    if isinstance(error, MemoryError):
        return not isinstance(error, PackOutOfMemory)
    messages = ("DefaultCPUAllocator: can't allocate memory", "could not create a primitive")  # PyTorch's message, and oneDNN's
    return (isinstance(error, OSError) and error.errno == errno.ENOMEM) or any(message in str(error) for message in messages)
