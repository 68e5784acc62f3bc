"""Mailbox: what slots and workers say to each other. Plain asyncio; platform/schedule.py makes it a Ray actor.

A slot (a Tune trial) posts its cells and waits for events; a worker takes the next cells and reports. Trials and workers are not bound
to each other: any free worker serves any trial, and a cell whose worker died goes to the next one free, alone, with its tries counted.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

TRIES = 3
"""a cell that kills its worker this often has failed"""

ENDS = ("done", "failed")
"""kinds of event that end a cell; the others are `row`, an epoch, and `note`, a line for whoever watches"""


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

    def __init__(self, keys: Iterable[str] = ()) -> None:
        """`keys` are of all cells that slots are going to post."""
        self._ahead = set(keys)
        """those that none has posted yet"""
        self._trials: dict[str, Trial] = {}
        self._queue: deque[Job] = deque()
        self._busy: dict[int, dict[str, Job]] = {}
        """by the rank of the worker that holds them, by key"""
        self._choices: dict[str, Any] = {}
        """by kind of device; while a worker is making one, its rank"""
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
            self._ahead -= {cell["key"] for cell in cells}
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
    async def take(self, rank: int, most: int = 1) -> list[dict[str, Any]]:
        """The next {trial, cell, slot_pid, deaths}, waiting for one; none when there will be no more and the worker may go.

        With it come others of its trial, up to so many; but a cell that has lost a worker comes alone, for it may have been the cause.
        """
        self._gone(rank, "its worker died")  # a new worker of this rank: the old one died with its cells, unreported
        self._calls[rank] += 1
        call = self._calls[rank]
        await self._wait(lambda: self._closed or self._calls[rank] != call or bool(self._ready()))
        if self._closed or self._calls[rank] != call:
            return []
        jobs = self._ready()[:most]
        self._queue = deque(job for job in self._queue if job not in jobs)
        self._busy[rank] = {job.key: job for job in jobs}
        return [{"trial": job.trial, "cell": job.cell, "slot_pid": job.slot_pid, "deaths": job.deaths} for job in jobs]

    async def report(self, rank: int, key: str, event: dict[str, Any]) -> bool:
        """Pass a cell's row or end on to its trial; the answer says whether the worker should go on with the cell."""
        if (job := self._busy.get(rank, {}).get(key)) is None:
            return False
        if event["kind"] in ENDS:
            del self._busy[rank][key]
        self._tell(job, event)
        self._notify()
        return job.trial in self._trials and not self._halted

    async def choice(self, rank: int, device: str) -> Any:
        """What was chosen for this kind of device; None to the one worker that is to choose, while the others wait."""
        await self._wait(lambda: not isinstance(self._choices.get(device), int))
        if device not in self._choices:
            self._choices[device] = rank
            return None
        return self._choices[device]

    async def chose(self, device: str, choice: Any) -> None:
        self._choices[device] = choice
        self._notify()

    async def halted(self) -> bool:
        """Answers when everybody is to stop."""
        await self._wait(lambda: self._halted)
        return True

    # what the driver says
    async def died(self, reasons: dict[int, str]) -> None:
        """Workers of these ranks are gone: their cells go to the head of the queue, or have failed for good."""
        for rank, reason in reasons.items():
            self._calls[rank] += 1
            self._gone(rank, reason)

    async def halt(self) -> bool:
        """Everybody stops: cells in flight write their checkpoints. Answers when no worker holds a cell any more."""
        self._halted = self._closed = True
        self._queue.clear()
        self._notify()
        await self._wait(lambda: not any(self._busy.values()))
        return True

    async def close(self) -> None:
        """No more cells will come: workers that wait for one may go."""
        self._closed = True
        self._notify()

    def _ready(self) -> list[Job]:
        """The first job whose parent is not itself still to be done, and those of its trial that may come along."""
        coming = self._ahead | {job.key for job in self._queue} | {key for jobs in self._busy.values() for key in jobs}
        free = [job for job in self._queue if job.cell["parent"] not in coming]
        if not free or free[0].deaths:
            return free[:1]
        return [job for job in free if job.trial == free[0].trial and not job.deaths]

    def _gone(self, rank: int, reason: str) -> None:
        """The worker of this rank is dead: its cells go to the head of the queue, its choice is anyone's."""
        for job in reversed(self._busy.pop(rank, {}).values()):
            self._again(job, reason)
        self._choices = {device: choice for device, choice in self._choices.items() if choice != rank}
        self._notify()

    def _again(self, job: Job, reason: str) -> None:
        if job.trial not in self._trials:  # nobody waits for it any more
            return
        job.deaths += 1
        if job.deaths < TRIES:
            self._queue.appendleft(job)
        else:
            said = f"its worker died {TRIES} times; the last time: {reason}"
            self._tell(job, {"kind": "failed", "killed": True, "axes": job.cell["axes"], "reason": said})

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
