"""Packs: a training ends as it would alone, whatever trains beside it. One that fails or finds no memory ends no other."""

import random
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tiny
from tests.test_loop import made
from trainables.cell import Cell, Data
from trainables.execution.interleave import PackOutOfMemory, train_together
from trainables.loop import iterate_training
from trainables.storage.store import RunFolder

Roles = dict[str, Data]


def test_alone_and_packed_it_is_the_same_to_the_last_bit(roles: Roles, tmp_path: Path) -> None:
    cells = [tiny.cell(roles, arm, seed) for arm in ("SC(c)", "SL(c+a)") for seed in range(2)]

    def packed(most: int) -> RunFolder:
        folder = RunFolder(str(tmp_path / str(most)))
        ended: list[Exception | None] = []

        def end(cell: Cell, error: Exception | None) -> None:
            ended.append(error)

        train_together(cells, lambda cell: iterate_training(cell, folder), end, most, lambda *_: None)
        assert ended == [None] * len(cells)
        return folder

    alone, together = packed(1), packed(4)
    for cell in cells:
        assert made(alone, cell) == made(together, cell)


class Machine:
    """Trainings that draw random numbers, on a device with memory for `room` trainings. Some trainings fail."""

    def __init__(self, room: int = 10**6, failing: frozenset[int] = frozenset()) -> None:
        self.room, self.failing = room, failing
        self.alive = 0
        self.most_alive = 0
        self.drawn: dict[int, list[float]] = {}
        self.ends: dict[int, Exception | None] = {}
        self.said: list[str] = []

    def begin(self, job: int) -> Generator[None, None, Any]:
        torch.manual_seed(job)
        self.drawn[job] = []
        self.alive += 1
        self.most_alive = max(self.alive, self.most_alive)
        try:
            for step in range(1 + job % 5):
                if self.alive > self.room:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
                if job in self.failing and step == 1:
                    raise ValueError(f"{job} fails")
                self.drawn[job].append(float(torch.rand(())))
                yield
        finally:
            self.alive -= 1

    def end(self, job: int, error: Exception | None) -> None:
        assert job not in self.ends
        self.ends[job] = error

    def run(self, jobs: list[int], most: int) -> int:
        return train_together(jobs, self.begin, self.end, most, lambda job, line: self.said.append(line))


@settings(max_examples=40)
@given(st.lists(st.integers(0, 40), unique=True, max_size=12), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32))
def test_every_training_ends_once_and_as_it_would_alone(jobs: list[int], most: int, room: int, seed: int) -> None:
    failing = frozenset(job for job in jobs if random.Random(seed + job).random() < 0.2)
    state = torch.get_rng_state()
    machine, alone = Machine(room, failing), Machine(failing=failing)
    limit = machine.run(jobs, most)
    for job in jobs:
        alone.run([job], 1)
    torch.set_rng_state(state)
    assert machine.ends.keys() == set(jobs) and machine.alive == 0
    assert {job for job, error in machine.ends.items() if error} == {job for job, error in alone.ends.items() if error}
    assert machine.drawn == alone.drawn
    assert 1 <= limit <= most and (not machine.said) == (limit == most)


def test_too_little_memory_halves_the_pack_and_says_so() -> None:
    machine = Machine(room=3)
    assert machine.run([4, 9, 14, 19, 24, 29, 34, 39], 8) == 2
    assert machine.said == [
        "the GPU has no memory for 8 trainings side by side: 4 at once from now on",
        "the GPU has no memory for 4 trainings side by side: 2 at once from now on",
    ]
    assert list(machine.ends.values()) == [None] * 8


def test_one_that_finds_no_memory_alone_has_failed() -> None:
    machine = Machine(room=0)
    machine.run([1, 2], 2)
    assert [type(error) for error in machine.ends.values()] == [PackOutOfMemory] * 2
    assert str(machine.ends[1]) == "no memory left on the GPU, with nothing beside it: CUDA out of memory"
