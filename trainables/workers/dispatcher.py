"""Dispatcher: the queue of cells between trials and workers. Plain asyncio; platform/launch/schedule.py makes it a Ray actor.

A slot (a Tune trial) posts its cells and waits for events; a worker takes the next cells and reports. Trials and workers are not bound
to each other: any free worker serves any trial, and a cell whose worker died goes to the next one free, alone, with its tries counted.
What a call costs does not grow with the number of cells, nor an event's with the number of workers.
"""

import asyncio
import contextlib
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

TRIES = 3
"""a cell that kills its worker this often has failed"""

ENDS = ("done", "failed")
"""kinds of event that end a cell; the others are `row`, an epoch, and `note`, a line for whoever watches"""


def count_devices(method_settings: dict[str, Any]) -> int:
    """How many workers of one machine train a cell of these settings together."""
    return int(method_settings.get("devices", 1))


@dataclass
class QueuedCell:
    """A cell on its way through a worker."""

    trial: str
    cell: dict[str, Any]
    slot_pid: int
    pack: int = 0
    """cells of the same may go to a worker together"""
    deaths: int = 0
    ranks: list[int] = field(default_factory=list)
    """who trains it, or waits to begin it together"""
    met: str = ""
    """a name for those who train it together, since they are complete"""

    @property
    def key(self) -> str:
        return self.cell["key"]

    @property
    def devices(self) -> int:
        return count_devices(self.cell.get("method_settings", {}))


class WakeUp:
    """Wakes those who wait for a condition, to look again."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        """set at the next ring, and then replaced by a new one"""

    def ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, until: Callable[[], bool]) -> None:
        while not until():
            await self._rung.wait()


@dataclass
class PostedTrial:
    """What slots wait for: one, or, where Tune has started another for the trial meanwhile, two for a moment."""

    keys: list[str]
    events: dict[int, deque[dict[str, Any]]]
    """by the process of each slot that posted it: what that slot has not heard yet"""
    ends: dict[str, dict[str, Any]] = field(default_factory=dict)
    bell: WakeUp = field(default_factory=WakeUp)

    @property
    def is_over(self) -> bool:
        return len(self.ends) == len(self.keys)


class Dispatcher:
    """Hands out cells, counts deaths, passes events on. Small state: a cell is a dict of a few KB, an event one dict an epoch.

    Nothing here awaits between reading and writing its state, so every call is atomic.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        """`keys` are of all cells that slots are going to post."""
        self._ahead = set(keys)
        """those that none has posted yet"""
        self._coming = Counter(self._ahead)
        """cells that are still to be done, in as many trials: no child of theirs may begin"""
        self._trials: dict[str, PostedTrial] = {}
        self._queue: deque[QueuedCell] = deque()
        self._busy: dict[int, dict[str, QueuedCell]] = {}
        """by the rank of the worker that holds them, by key"""
        self._gathering: dict[int, QueuedCell] = {}
        """by machine: the cell that waits for more of its workers to be free"""
        self._meetings = 0
        """how often workers have met"""
        self._name = uuid.uuid4().hex
        """no meeting of another run, whose workers may have been killed, is taken for one of these"""
        self._choices: dict[str, Any] = {}
        """by kind of device; while a worker is making one, its rank"""
        self._calls: Counter[int] = Counter()
        """how often each rank has asked for a cell, or died: of its calls the last alone counts, a dead worker's waits here for ever"""
        self._refused: dict[int, str] = {}
        """why a worker's machine is not fit to train, by rank"""
        self._closed = self._halted = False
        self._work = WakeUp()
        """there may be something to take, or to choose, or nothing more ever"""
        self._stop = WakeUp()

    # what a slot says
    async def post_trial(self, trial: str, cells: list[dict[str, Any]], slot_pid: int = 0, sizes: Sequence[int] = ()) -> None:
        """Queue a trial's cells. A slot that died and came back posts again: it is told what ended meanwhile, and nothing runs twice.

        `sizes` are of the packs that the cells are, one behind the other, of which a worker takes no two at once; without it they are one.
        """
        if known := self._trials.get(trial):  # a new queue: the dead slot's call may still wait for events, and would take them
            known.events[slot_pid] = deque(known.ends.values())
        else:
            keys = [cell["key"] for cell in cells]
            packs = [pack for pack, size in enumerate(sizes or [len(cells)]) for _ in range(size)]
            self._trials[trial] = PostedTrial(keys, {slot_pid: deque()})
            self._queue.extend(QueuedCell(trial, cell, slot_pid, pack) for cell, pack in zip(cells, packs, strict=True))
            self._coming.update(key for key in keys if key not in self._ahead)
            self._ahead.difference_update(keys)
        self._work.ring()

    async def poll_events(self, trial: str, pause: float = 0.25, slot_pid: int = 0) -> list[dict[str, Any]]:
        """All events since the last call: at least one, and what the next moments bring, so that quick epochs come as one list."""
        mine = self._trials[trial]
        queue = mine.events[slot_pid]
        await mine.bell.wait(lambda: bool(queue) or self._closed)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(mine.bell.wait(lambda: mine.is_over), pause)
        events = list(queue)
        queue.clear()
        return events

    async def leave_trial(self, trial: str, slot_pid: int = 0) -> None:
        """The slot is done with this trial, or a scheduler ended it: what is left of it is dropped, its running cells are stopped.

        Not where another slot has posted it, too: Tune starts a slot for a trial, gives the trial to one that is free, and ends the first.
        """
        if (known := self._trials.get(trial)) is None:
            return
        known.events.pop(slot_pid, None)
        if known.events:
            return
        del self._trials[trial]
        if known.is_over:
            return
        dropped = [job for job in self._queue if job.trial == trial]
        self._queue = deque(job for job in self._queue if job.trial != trial)
        for job in dropped:
            self._finish_job(job)
        known.bell.ring()

    # what a worker says
    async def take_cell(self, rank: int, most: int = 1, machine: int = 0, size: int = 1) -> list[dict[str, Any]]:
        """The next {trial, cell, slot_pid, deaths}, waiting for one; none when there will be no more and the worker may go.

        With it come others of its trial, up to so many; but a cell that has lost a worker comes alone, for it may have been the cause.
        A cell for several workers comes alone, too, with each one's `shard` [index, size, name], when so many of a machine, which has
        `size` of them, are free; until they are, those that are wait for the others and take nothing else.
        """
        self._drop_worker(rank, "its worker died")  # a new worker of this rank: the old one died with its cells, unreported
        self._calls[rank] += 1
        call = self._calls[rank]

        def over() -> bool:
            return self._closed or self._calls[rank] != call

        while True:
            await self._work.wait(lambda: over() or machine in self._gathering or bool(self._find_ready(1, size)))
            if over():
                return []
            jobs = [job] if (job := self._gathering.get(machine)) else self._find_ready(most, size)
            taken = {id(job) for job in jobs}
            self._queue = deque(job for job in self._queue if id(job) not in taken)
            self._busy[rank] = {job.key: job for job in jobs}
            for job in jobs:
                job.ranks.append(rank)
            if jobs[0].devices == 1 or await self._await_partners(jobs[0], machine, over):
                return [self._describe_job(job, rank) for job in jobs]
            if self._closed and self._calls[rank] == call:
                self._busy.pop(rank, None)
                self._work.ring()

    async def _await_partners(self, job: QueuedCell, machine: int, over: Callable[[], bool]) -> bool:
        """Wait until as many workers have the job as it wants; whether that came about."""
        ranks = job.ranks
        if len(ranks) < job.devices:
            self._gathering[machine] = job
        else:
            self._gathering.pop(machine, None)
            self._meetings += 1
            job.met = f"{self._name}-{self._meetings}"
        self._work.ring()
        await self._work.wait(lambda: over() or job.ranks is not ranks or bool(job.met))
        return not over() and job.ranks is ranks

    def _describe_job(self, job: QueuedCell, rank: int) -> dict[str, Any]:
        shard = {"shard": [job.ranks.index(rank), job.devices, job.met]} if job.met else {}
        return {"trial": job.trial, "cell": job.cell, "slot_pid": job.slot_pid, "deaths": job.deaths} | shard

    async def report_event(self, rank: int, key: str, event: dict[str, Any]) -> bool:
        """Pass a cell's row or end on to its trial; the answer says whether the worker should go on with the cell."""
        if (job := self._busy.get(rank, {}).get(key)) is None:
            return False
        if event["kind"] == "left":  # of those that train it together the first will tell how it ended
            del self._busy[rank][key]
            self._work.ring()
            return True
        if event["kind"] == "parted":
            self._release_job(job)
            self._requeue_job(job, event["reason"], False)
            return True
        if event["kind"] in ENDS:
            self._release_job(job)
            self._finish_job(job)
        self._send_event(job, event)
        return job.trial in self._trials and not self._halted

    async def get_choice(self, rank: int, device: str) -> Any:
        """What was chosen for this kind of device; None to the one worker that is to choose, while the others wait."""
        await self._work.wait(lambda: not isinstance(self._choices.get(device), int))
        if device not in self._choices:
            self._choices[device] = rank
            return None
        return self._choices[device]

    async def set_choice(self, device: str, choice: Any) -> None:
        self._choices[device] = choice
        self._work.ring()

    async def refuse_work(self, rank: int, reason: str) -> None:
        """The worker's machine is not fit to train: it takes no cell, and this is why."""
        self._refused[rank] = reason

    async def wait_for_halt(self) -> bool:
        """Answers when everybody is to stop."""
        await self._stop.wait(lambda: self._halted)
        return True

    # what the driver says
    async def report_deaths(self, reasons: dict[int, str], lost: bool = False) -> None:
        """Workers of these ranks are gone: their cells go to the head of the queue, or have failed for good.

        Of workers that were `lost` with their machines no cell is to blame.
        """
        for rank, reason in reasons.items():
            self._calls[rank] += 1
            self._drop_worker(rank, reason, lost)

    async def list_refusals(self) -> dict[int, str]:
        """Why which workers take no cell."""
        return self._refused

    async def halt_workers(self) -> bool:
        """Everybody stops: cells in flight write their checkpoints. Answers when no worker holds a cell any more."""
        self._halted = True
        self._queue.clear()
        await self.close()
        await self._work.wait(lambda: not any(self._busy.values()))
        return True

    async def close(self) -> None:
        """No more cells will come: workers that wait for one may go."""
        self._closed = True
        for bell in (self._work, self._stop, *(trial.bell for trial in self._trials.values())):
            bell.ring()

    def _find_ready(self, most: int, size: int) -> list[QueuedCell]:
        """The first job, for at most `size` workers, whose parent is not still to be done, and those of its pack that may come along."""
        jobs: list[QueuedCell] = []
        for job in self._queue:  # as long as the packs of all slots, of which the first is as good as always free
            if len(jobs) == most or (jobs and (jobs[0].deaths or jobs[0].devices > 1)):
                break
            if job.cell["parent"] in self._coming or job.devices > size:
                continue
            if not jobs or ((job.trial, job.pack) == (jobs[0].trial, jobs[0].pack) and not job.deaths):
                jobs.append(job)
        return jobs

    def _drop_worker(self, rank: int, reason: str, lost: bool = False) -> None:
        """The worker of this rank is dead: its cells go to the head of the queue, its choice is anyone's."""
        for job in reversed(self._busy.pop(rank, {}).values()):
            begun = job.devices == 1 or bool(job.met)
            self._release_job(job)
            self._requeue_job(job, reason, lost or not begun)
        if rank in self._choices.values():
            self._choices = {device: choice for device, choice in self._choices.items() if choice != rank}
        self._work.ring()

    def _release_job(self, job: QueuedCell) -> None:
        """Nobody has the job any more."""
        for rank in job.ranks:
            self._busy.get(rank, {}).pop(job.key, None)
        self._gathering = {machine: waiting for machine, waiting in self._gathering.items() if waiting is not job}
        job.ranks, job.met = [], ""
        self._work.ring()

    def _requeue_job(self, job: QueuedCell, reason: str, lost: bool) -> None:
        if job.trial not in self._trials:  # nobody waits for it any more
            self._finish_job(job)
            return
        job.deaths += not lost
        if job.deaths < TRIES:
            self._queue.appendleft(job)
        else:
            self._finish_job(job)
            said = f"its worker died {TRIES} times; the last time: {reason}"
            self._send_event(job, {"kind": "failed", "killed": True, "axes": job.cell["axes"], "reason": said})

    def _finish_job(self, job: QueuedCell) -> None:
        """Its children, and whoever waits for the last cell to end, may go on."""
        self._coming[job.key] -= 1
        if self._coming[job.key] <= 0:
            del self._coming[job.key]
        self._work.ring()

    def _send_event(self, job: QueuedCell, event: dict[str, Any]) -> None:
        if trial := self._trials.get(job.trial):
            for queue in trial.events.values():
                queue.append({"key": job.key, **event})
            if event["kind"] in ENDS:
                trial.ends[job.key] = {"key": job.key, **event}
            trial.bell.ring()
