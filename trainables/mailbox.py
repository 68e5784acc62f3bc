"""Mailbox: what slots and workers say to each other. Plain asyncio; platform/schedule.py makes it a Ray actor.

A slot (a Tune trial) posts its cells and waits for events; a worker takes the next cell and reports. Trials and workers are not bound
to each other: any free worker serves any trial, and a cell whose worker died goes to the next one free, with its tries counted.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

TRIES = 3
"""a cell that kills its worker this often has failed"""

ENDS = ("done", "failed")
"""kinds of event that end a cell; the other kind is `row`, an epoch"""


@dataclass
class Job:
    """A cell on its way through a worker."""

    trial: str
    cell: dict[str, Any]
    slot_pid: int
    deaths: int = 0

    @property
    def key(self) -> str:
        return self.cell["key"]


@dataclass
class Trial:
    """What a slot waits for."""

    keys: list[str]
    events: deque[dict[str, Any]] = field(default_factory=deque)
    ends: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return len(self.ends) == len(self.keys)


class Mailbox:
    """Hands out cells, counts deaths, passes events on. Small state: a cell is a dict of a few KB, an event one dict an epoch.

    Nothing here awaits between reading and writing its state, so every call is atomic.
    """

    def __init__(self) -> None:
        self._trials: dict[str, Trial] = {}
        self._queue: deque[Job] = deque()
        self._busy: dict[int, Job] = {}
        """by the rank of the worker that holds it"""
        self._calls: Counter[int] = Counter()
        """how often each rank has asked for a cell, or died: of its calls the last alone counts, a dead worker's waits here for ever"""
        self._closed = self._halted = False
        self._changed = asyncio.Event()
        """set at the next change, and then replaced by a new one"""

    # what a slot says
    async def post(self, trial: str, cells: list[dict[str, Any]], slot_pid: int = 0) -> None:
        """Queue a trial's cells. A slot that died and came back posts again: it is told what ended meanwhile, and nothing runs twice."""
        if known := self._trials.get(trial):  # a new Trial: the dead slot's call may still wait for events, and would take them
            self._trials[trial] = Trial(known.keys, deque(known.ends.values()), known.ends)
        else:
            self._trials[trial] = Trial([cell["key"] for cell in cells])
            self._queue.extend(Job(trial, cell, slot_pid) for cell in cells)
        self._notify()

    async def events(self, trial: str, pause: float = 0.25) -> list[dict[str, Any]]:
        """All events since the last call: at least one, and what the next moments bring, so that quick epochs come as one list."""
        mine = self._trials[trial]
        await self._wait(lambda: bool(mine.events) or self._closed)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wait(lambda: mine.over), pause)
        events = list(mine.events)
        mine.events.clear()
        return events

    async def leave(self, trial: str) -> None:
        """The slot is done with this trial, or a scheduler ended it: what is left of it is dropped, its running cells are stopped."""
        self._trials.pop(trial, None)
        self._queue = deque(job for job in self._queue if job.trial != trial)
        self._notify()

    # what a worker says
    async def take(self, rank: int) -> dict[str, Any] | None:
        """The next {trial, cell, slot_pid, deaths}, waiting for one; None when there will be no more and the worker may go."""
        if lost := self._busy.pop(rank, None):  # a new worker of this rank: the old one died with its cell, unreported
            self._again(lost, "its worker died")
            self._notify()
        self._calls[rank] += 1
        call = self._calls[rank]
        await self._wait(lambda: self._closed or self._calls[rank] != call or self._ready() is not None)
        if self._closed or self._calls[rank] != call or (job := self._ready()) is None:
            return None
        self._queue.remove(job)
        self._busy[rank] = job
        return {"trial": job.trial, "cell": job.cell, "slot_pid": job.slot_pid, "deaths": job.deaths}

    async def report(self, rank: int, event: dict[str, Any]) -> bool:
        """Pass an epoch's row or a cell's end on to its trial; the answer says whether the worker should go on with the cell."""
        if (job := self._busy.get(rank)) is None:
            return False
        if event["kind"] in ENDS:
            del self._busy[rank]
        self._tell(job, event)
        self._notify()
        return job.trial in self._trials and not self._halted

    async def halted(self) -> bool:
        """Answers when everybody is to stop."""
        await self._wait(lambda: self._halted)
        return True

    # what the driver says
    async def died(self, reasons: dict[int, str]) -> None:
        """Workers of these ranks are gone: their cells go to the head of the queue, or have failed for good."""
        for rank, reason in reasons.items():
            self._calls[rank] += 1
            if job := self._busy.pop(rank, None):
                self._again(job, reason)
        self._notify()

    async def halt(self) -> bool:
        """Everybody stops: cells in flight write their checkpoints. Answers when no worker holds a cell any more."""
        self._halted = self._closed = True
        self._queue.clear()
        self._notify()
        await self._wait(lambda: not self._busy)
        return True

    async def close(self) -> None:
        """No more cells will come: workers that wait for one may go."""
        self._closed = True
        self._notify()

    def _ready(self) -> Job | None:
        """The first job whose parent is not itself still to be done."""
        coming = {job.key for job in self._queue} | {job.key for job in self._busy.values()}
        return next((job for job in self._queue if job.cell["parent"] not in coming), None)

    def _again(self, job: Job, reason: str) -> None:
        if job.trial not in self._trials:  # nobody waits for it any more
            return
        job.deaths += 1
        if job.deaths < TRIES:
            self._queue.appendleft(job)
        else:
            self._tell(job, {"kind": "failed", "killed": True, "reason": f"its worker died {TRIES} times; the last time: {reason}"})

    def _tell(self, job: Job, event: dict[str, Any]) -> None:
        if trial := self._trials.get(job.trial):
            trial.events.append({"key": job.key, **event})
            if event["kind"] in ENDS:
                trial.ends[job.key] = {"key": job.key, **event}

    async def _wait(self, until: Callable[[], bool]) -> None:
        while not until():
            await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
