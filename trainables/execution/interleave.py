"""Packs: several trainings in one process, interleaved step by step, so that a GPU never waits for one small network.

Each training has its own CUDA stream and random state, and computes what it would compute alone. A result does not depend on its pack.
"""

import gc
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch

PACK = 10
"""Trainings interleaved on a GPU: the seeds of one condition of the first study, each of which takes less than 1 GB."""


class PackOutOfMemory(MemoryError):
    """A single training is too large for the GPU."""


Item = TypeVar("Item")
Begin = Callable[[Item], Generator[None, None, Any]]
End = Callable[[Item, Exception | None], None]


def train_together(jobs: list[Item], begin: Begin[Item], end: End[Item], most: int, say: Callable[[Item, str], None]) -> int:
    """Train all jobs, at most `most` at once. `end` is called for each job with None, or with the error that ended it.

    `begin` returns a job's training, a generator that yields after each step. A job that fails does not affect the others. If the GPU's
    memory is too small, the unfinished jobs restart from their checkpoints, half as many at once, and `say` gets a message. Returns how
    many fit.
    """
    remaining = list(jobs)
    while remaining:
        batch, remaining = remaining[:most], remaining[most:]
        if unfinished := _take_turns(batch, begin, end):
            most = max(1, len(batch) // 2)
            say(unfinished[0], f"the GPU has no memory for {len(batch)} trainings side by side: {most} at once from now on")
            remaining = unfinished + remaining
    return most


def _take_turns(jobs: list[Item], begin: Begin[Item], end: End[Item]) -> list[Item]:
    """Interleave all jobs until they end. If memory is too small for several, return the unfinished ones, which must start again."""
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
            except torch.OutOfMemoryError as oom:
                if len(jobs) > 1:
                    break
                error = PackOutOfMemory(f"no memory left on the GPU, with nothing beside it: {oom}".partition("\n")[0].partition(". ")[0])
            except Exception as exception:
                error = exception
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


class Member(Generic[Item]):
    """One training of a pack, with its own CUDA stream and random state."""

    def __init__(self, job: Item, training: Generator[None, None, Any]) -> None:
        self.job, self.training = job, training
        self.gpu = torch.cuda.is_available()
        self.stream = torch.cuda.Stream() if self.gpu else None
        self.states = self._get_states()

    @contextmanager
    def use_own_state(self) -> Iterator[None]:
        """Make this training's stream and random state the current ones."""
        self._set_states(self.states)
        try:
            with torch.cuda.stream(self.stream):  # without a stream this does nothing
                yield
        finally:
            self.states = self._get_states()

    def _get_states(self) -> tuple[torch.Tensor, ...]:
        return (torch.get_rng_state(), torch.cuda.get_rng_state()) if self.gpu else (torch.get_rng_state(),)

    def _set_states(self, states: tuple[torch.Tensor, ...]) -> None:
        torch.set_rng_state(states[0])
        if self.gpu:
            torch.cuda.set_rng_state(states[1])
