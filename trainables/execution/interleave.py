"""Pack: several trainings side by side in one process, a step of each in turn, so that a GPU never waits for one small network.

Each has its own stream and random state and computes what it would alone: a result does not depend on its pack.
"""

import gc
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch

PACK = 10
"""trainings side by side on a GPU: the seeds of one condition of the first study, of which each takes less than 1 GB"""


class PackOutOfMemory(MemoryError):
    """One training alone is too large for the GPU."""


Job = TypeVar("Job")
Begin = Callable[[Job], Generator[None, None, Any]]
End = Callable[[Job, Exception | None], None]


def train_together(jobs: list[Job], begin: Begin[Job], end: End[Job], most: int, say: Callable[[Job, str], None]) -> int:
    """Train all jobs, `most` at once; `end` hears of each how it ended: without an error, or of what.

    `begin` gives a job's training, which yields after each step. One that fails leaves the others alone. Where the GPU's memory is too
    small for so many, half as many begin again, from their checkpoints, and `say` is told. Returns how many at once there is room for.
    """
    left = list(jobs)
    while left:
        together, left = left[:most], left[most:]
        if cut_short := _take_turns(together, begin, end):
            most = max(1, len(together) // 2)
            say(cut_short[0], f"the GPU has no memory for {len(together)} trainings side by side: {most} at once from now on")
            left = cut_short + left
    return most


def _take_turns(jobs: list[Job], begin: Begin[Job], end: End[Job]) -> list[Job]:
    """All jobs in turns, to their ends. Should memory be too small for several: those that had not ended, to begin again."""
    members = [Member(job, begin(job)) for job in jobs]
    while members:
        for member in list(members):
            error: Exception | None = None
            try:
                with member.use_own_state():
                    next(member.training)
                continue
            except StopIteration:
                pass
            except torch.OutOfMemoryError as short:
                if len(jobs) > 1:
                    break
                error = PackOutOfMemory(f"no memory left on the GPU, with nothing beside it: {short}".partition("\n")[0].partition(". ")[0])
            except Exception as other:
                error = other
            members.remove(member)
            end(member.job, error)
        else:
            continue
        for member in members:
            member.training.close()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        break
    return [member.job for member in members]


class Member(Generic[Job]):
    """One training of a pack, with a stream and a random state of its own."""

    def __init__(self, job: Job, training: Generator[None, None, Any]) -> None:
        self.job, self.training = job, training
        self.gpu = torch.cuda.is_available()
        self.stream = torch.cuda.Stream() if self.gpu else None
        self.states = self._get_states()

    @contextmanager
    def use_own_state(self) -> Iterator[None]:
        """Its stream and its random state are the current ones."""
        self._set_states(self.states)
        try:
            with torch.cuda.stream(self.stream):  # does nothing without one
                yield
        finally:
            self.states = self._get_states()

    def _get_states(self) -> tuple[torch.Tensor, ...]:
        return (torch.get_rng_state(), torch.cuda.get_rng_state()) if self.gpu else (torch.get_rng_state(),)

    def _set_states(self, states: tuple[torch.Tensor, ...]) -> None:
        torch.set_rng_state(states[0])
        if self.gpu:
            torch.cuda.set_rng_state(states[1])
