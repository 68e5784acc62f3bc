"""Dispatcher: the queue of cells between trials and workers. It is plain asyncio; platform/launch/run_with_tune.py makes it a Ray actor.

A slot (a Tune trial) posts its cells and waits for events. A worker takes the next cells and reports. Trials and workers are not bound to
each other: any free worker serves any trial. A cell whose worker died goes alone to the next free worker, and its deaths are counted. The
cost of a call does not grow with the number of cells, and the cost of an event does not grow with the number of workers.
"""

import asyncio
import contextlib
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainables.workers.worker_messages import ENDS, Event, Job

TRIES = 3
"""A cell that kills its worker this many times has failed."""


def count_devices(method_settings: dict[str, Any]) -> int:
    """Return how many workers of one machine train a cell with these settings together."""
    return int(method_settings.get("devices", 1))


@dataclass
class QueuedCell:
    """A cell on its way through a worker."""

    trial: str
    cell: dict[str, Any]
    slot_pid: int
    pack: int = 0
    """Cells of a trial with the same number may go to a worker together."""
    deaths: int = 0
    ranks: list[int] = field(default_factory=list)
    """Workers that train the cell, or wait to start it together."""
    met: str = ""
    """Name of the group of workers that train it together; empty until the group is complete."""

    @property
    def key(self) -> str:
        result: str = self.cell["key"]
        return result

    @property
    def devices(self) -> int:
        return count_devices(self.cell.get("method_settings", {}))


class WakeUp:
    """Wakes coroutines that wait for a condition, so that they check it again."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        """Set at the next ring, and then replaced by a new event."""

    def ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, until: Callable[[], bool]) -> None:
        while not until():
            await self._rung.wait()


@dataclass
class PostedTrial:
    """A trial that a slot waits for. For a moment two slots may wait, if Tune has started another slot for the trial."""

    keys: list[str]
    events: dict[int, deque[Event]]
    """By the process of each slot that posted the trial: the events that it has not received yet."""
    ends: dict[str, Event] = field(default_factory=dict)
    bell: WakeUp = field(default_factory=WakeUp)

    @property
    def is_over(self) -> bool:
        return len(self.ends) == len(self.keys)


class Dispatcher:
    """Hands out cells, counts deaths, and forwards events. The state is small: a cell is a dict of a few KB, an event is one dict per
    epoch.

    Nothing here awaits between reading and writing the state, so every call is atomic.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        """`keys` are the keys of all cells that slots will post."""
        self._ahead = set(keys)
        """Keys that no slot has posted yet."""
        self._coming = Counter(self._ahead)
        """Unfinished cells, and in how many trials each is. Their children must not start."""
        self._trials: dict[str, PostedTrial] = {}
        self._queue: deque[QueuedCell] = deque()
        self._busy: dict[int, dict[str, QueuedCell]] = {}
        """The cells that each worker holds: by the worker's rank, then by key."""
        self._gathering: dict[int, QueuedCell] = {}
        """By machine: the cell that waits for more of the machine's workers to be free."""
        self._meetings = 0
        """How many groups of workers have been completed."""
        self._name = uuid.uuid4().hex
        """Makes group names unique: a group of another run, whose workers may have been killed, is never taken for one of these."""
        self._choices: dict[str, Any] = {}
        """By kind of device: the choice, or the rank of the worker that is making it."""
        self._calls: Counter[int] = Counter()
        """Calls of `take_cell` and deaths, by rank. Only the latest call of a rank is valid, because a dead worker's call stays pending
        here."""
        self._refused: dict[int, str] = {}
        """By rank: why the worker's machine is not fit to train."""
        self._closed = self._halted = False
        self._work = WakeUp()
        """Rings when there may be a cell to take, a choice to make, or no more work at all."""
        self._stop = WakeUp()

    # calls of a slot
    async def post_trial(self, trial: str, cells: list[dict[str, Any]], slot_pid: int = 0, sizes: Sequence[int] = ()) -> None:
        """Queue a trial's cells. A slot that died and restarted posts again: it gets the end events so far, and no cell runs twice.

        `sizes` are the sizes of the packs, which are consecutive in `cells`. A worker takes cells of one pack at a time. By default there
        is one pack.
        """
        if posted := self._trials.get(trial):  # a new queue: a pending call of the dead slot would take the events from the old one
            posted.events[slot_pid] = deque(posted.ends.values())
        else:
            keys = [cell["key"] for cell in cells]
            packs = [pack for pack, size in enumerate(sizes or [len(cells)]) for _ in range(size)]
            self._trials[trial] = PostedTrial(keys, {slot_pid: deque()})
            self._queue.extend(QueuedCell(trial, cell, slot_pid, pack) for cell, pack in zip(cells, packs, strict=True))
            self._coming.update(key for key in keys if key not in self._ahead)
            self._ahead.difference_update(keys)
        self._work.ring()

    async def poll_events(self, trial: str, pause: float = 0.25, slot_pid: int = 0) -> list[Event]:
        """Return all events since the last call: at least one, and those of the next `pause` seconds, so that quick epochs come as one
        list.
        """
        posted = self._trials[trial]
        queue = posted.events[slot_pid]
        await posted.bell.wait(lambda: bool(queue) or self._closed)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(posted.bell.wait(lambda: posted.is_over), pause)
        events = list(queue)
        queue.clear()
        return events

    async def leave_trial(self, trial: str, slot_pid: int = 0) -> None:
        """Drop what is left of a trial that the slot has finished or a scheduler has ended, and stop its running cells.

        Nothing is dropped if another slot has posted the trial, too: Tune may start a slot for a trial, give the trial to a free slot,
        and end the first slot.
        """
        if (posted := self._trials.get(trial)) is None:
            return
        posted.events.pop(slot_pid, None)
        if posted.events:
            return
        del self._trials[trial]
        if posted.is_over:
            return
        dropped = [job for job in self._queue if job.trial == trial]
        self._queue = deque(job for job in self._queue if job.trial != trial)
        for job in dropped:
            self._finish_job(job)
        posted.bell.ring()

    async def expect_cells(self, keys: list[str]) -> None:
        """Add to the keys of the cells that slots will post. Children that are posted before these parents wait for them."""
        new = set(keys) - self._ahead
        self._ahead |= new
        self._coming.update(new)

    # calls of a worker
    async def take_cell(self, rank: int, most: int = 1, machine: int = 0, size: int = 1) -> list[Job]:
        """Wait for the next {trial, cell, slot_pid, deaths} and return it in a list; empty when no more cells will come and the worker
        may exit.

        Others of its pack come with it, up to `most` cells in all. A cell that has lost a worker comes alone, because it may have been
        the cause. A cell for several workers comes alone as well, with each worker's `shard` [index, size, name], when enough workers of
        a machine, which has `size` of them, are free. Until then the free ones wait for the others and take nothing else.
        """
        self._drop_worker(rank, "its worker died")  # a new worker has this rank: the old one died with its cells, unreported
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
        """Wait until the job has as many workers as it needs. Return whether it got them."""
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

    def _describe_job(self, job: QueuedCell, rank: int) -> Job:
        description: Job = {"trial": job.trial, "cell": job.cell, "slot_pid": job.slot_pid, "deaths": job.deaths}
        if job.met:
            description["shard"] = (job.ranks.index(rank), job.devices, job.met)
        return description

    async def report_event(self, rank: int, key: str, event: Event) -> bool:
        """Forward a cell's row or end to its trial. Return whether the worker should continue with the cell."""
        if (job := self._busy.get(rank, {}).get(key)) is None:
            return False
        if event["kind"] == "left":  # the first of the workers that train it together reports how it ended
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
        """Return the choice for this kind of device. The one worker that has to choose gets None, while the others wait."""
        await self._work.wait(lambda: not isinstance(self._choices.get(device), int))
        if device not in self._choices:
            self._choices[device] = rank
            return None
        return self._choices[device]

    async def set_choice(self, device: str, choice: Any) -> None:
        self._choices[device] = choice
        self._work.ring()

    async def refuse_work(self, rank: int, reason: str) -> None:
        """Record why the worker's machine is not fit to train. The worker takes no cell."""
        self._refused[rank] = reason

    async def wait_for_halt(self) -> bool:
        """Wait until all workers have to stop, and return True."""
        await self._stop.wait(lambda: self._halted)
        return True

    # calls of the driver
    async def report_deaths(self, reasons: dict[int, str], lost: bool = False) -> None:
        """Record that the workers of these ranks are gone. Their cells go to the head of the queue, or have failed for good.

        No cell is blamed for workers that were `lost` with their machines.
        """
        for rank, reason in reasons.items():
            self._calls[rank] += 1
            self._drop_worker(rank, reason, lost)

    async def list_refusals(self) -> dict[int, str]:
        """Return the ranks of the workers that take no cell, each with its reason."""
        return self._refused

    async def halt_workers(self) -> bool:
        """Stop all workers; cells in flight write their checkpoints. Returns when no worker holds a cell any more."""
        self._halted = True
        self._queue.clear()
        await self.close()
        await self._work.wait(lambda: not any(self._busy.values()))
        return True

    async def close(self) -> None:
        """Announce that no more cells will come: workers that wait for one may exit."""
        self._closed = True
        for bell in (self._work, self._stop, *(trial.bell for trial in self._trials.values())):
            bell.ring()

    def _find_ready(self, most: int, size: int) -> list[QueuedCell]:
        """Return the first job for at most `size` workers whose parent is not pending, with jobs of its pack, at most `most` in all."""
        jobs: list[QueuedCell] = []
        for job in self._queue:  # the queue is as long as the packs of all slots, but its first job is nearly always ready
            if len(jobs) == most or (jobs and (jobs[0].deaths or jobs[0].devices > 1)):
                break
            if job.cell["parent"] in self._coming or job.devices > size:
                continue
            if not jobs or ((job.trial, job.pack) == (jobs[0].trial, jobs[0].pack) and not job.deaths):
                jobs.append(job)
        return jobs

    def _drop_worker(self, rank: int, reason: str, lost: bool = False) -> None:
        """Handle the death of this rank's worker: its cells go to the head of the queue, and its autotuning claim is released."""
        for job in reversed(self._busy.pop(rank, {}).values()):
            started = job.devices == 1 or bool(job.met)
            self._release_job(job)
            self._requeue_job(job, reason, lost or not started)
        if rank in self._choices.values():
            self._choices = {device: choice for device, choice in self._choices.items() if choice != rank}
        self._work.ring()

    def _release_job(self, job: QueuedCell) -> None:
        """Take the job from all workers that hold it."""
        for rank in job.ranks:
            self._busy.get(rank, {}).pop(job.key, None)
        self._gathering = {machine: waiting for machine, waiting in self._gathering.items() if waiting is not job}
        job.ranks, job.met = [], ""
        self._work.ring()

    def _requeue_job(self, job: QueuedCell, reason: str, lost: bool) -> None:
        if job.trial not in self._trials:  # no slot waits for it any more
            self._finish_job(job)
            return
        job.deaths += not lost
        if job.deaths < TRIES:
            self._queue.appendleft(job)
        else:
            self._finish_job(job)
            message = f"its worker died {TRIES} times; the last time: {reason}"
            self._send_event(job, {"kind": "failed", "killed": True, "axes": job.cell["axes"], "reason": message})

    def _finish_job(self, job: QueuedCell) -> None:
        """Mark the job as no longer pending: its children, and calls that wait for the last cell to end, may proceed."""
        self._coming[job.key] -= 1
        if self._coming[job.key] <= 0:
            del self._coming[job.key]
        self._work.ring()

    def _send_event(self, job: QueuedCell, event: Event) -> None:
        event = event.copy()
        event["key"] = job.key
        if trial := self._trials.get(job.trial):
            for queue in trial.events.values():
                queue.append(event)
            if event["kind"] in ENDS:
                trial.ends[job.key] = event
            trial.bell.ring()
