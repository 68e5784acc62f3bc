"""Estimate how long a grid takes on this machine, by measurement (`--dry-run`). No cell is trained to its end, and Ray is not started.

Steps are counted for every combination of the compared axis and the conditions, with the cell's own method and phases, on a part of
its training images. Seconds are measured once for each value of the compared axis and of the non-numeric conditions, at the
combination with the fewest steps, and scaled from there by steps and images.
"""

import itertools
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from platform.terminal.progress import format_duration, format_range
from search_spaces.study import Study
from trainables.autotune import AutotuneResult, choose_execution
from trainables.cell import Cell, Value
from trainables.data.task import Images, Task
from trainables.execution.config import REFERENCE, ExecutionConfig
from trainables.execution.interleave import PACK, Member
from trainables.loop import get_device, get_requested_execution, make_method, make_task
from trainables.methods.method import Method, Phase, PhaseSize

FEW = 16
"""training images with which a count or a measurement begins"""
STEPS = 16
"""steps per epoch that make a count accurate enough; with fewer, the count takes more images, up to all"""
LONG_S = 1.0
"""a measurement of at least this length is final; a shorter one is a warm-up and is repeated with more images"""


class Size(NamedTuple):
    """The phases and the numbers of images of one training."""

    phases: tuple[PhaseSize, ...]
    val: int
    """validation images"""
    test: int

    @property
    def total_steps(self) -> int:
        return sum(phase.total for phase in self.phases)

    @property
    def items(self) -> int:
        return sum(phase.items for phase in self.phases)


class Pace(NamedTuple):
    """Seconds that the parts of a phase take."""

    first: float
    """to prepare the phase and its first epoch, per item: both grow with the number of images"""
    again: float
    """to prepare a later epoch, per item"""
    step: float
    finish: float
    """to finish an epoch, per validation image"""


class Rates(NamedTuple):
    """Seconds that the parts of one training take."""

    build: float
    """to make task and method"""
    phases: tuple[Pace, ...]
    logits: float
    """inference, per image"""

    def estimate_seconds(self, size: Size) -> float:
        total = self.build + self.logits * (size.val + size.test)
        for pace, phase in zip(self.phases, size.phases, strict=True):
            total += phase.items * (pace.first + (phase.epochs - 1) * pace.again) + phase.total * pace.step
            total += phase.epochs * size.val * pace.finish
        return total


class Way(NamedTuple):
    """How trainings run on this machine."""

    device: torch.device
    chosen: ExecutionConfig = REFERENCE
    """execution configuration of cells that request none"""
    pack: int = 1
    """trainings that one process interleaves"""


class GridTimes(NamedTuple):
    """What the trainings of a grid take on this machine."""

    study: Study
    sizes: dict[tuple[Value, ...], Size]
    """by combination of the compared axis and the conditions"""
    seconds: dict[tuple[Value, ...], float]
    slots: int
    pack: int
    execution: str
    """name of the execution configuration; empty where the cells request their own"""

    def sum_seconds(self, cells: list[Cell]) -> float:
        """Return the seconds that these cells take in all slots together."""
        each = [self.seconds[_get_combination(self.study, cell)] for cell in cells]
        return max(sum(each) / self._count_slots(cells), max(each, default=0.0))

    def describe_setup(self, cells: list[Cell]) -> str:
        packs = f", {self.pack} trainings in each" if self.pack > 1 else ""
        return f"{self._count_slots(cells)} at once{packs}" + (f" ({self.execution})" if self.execution else "")

    def _count_slots(self, cells: list[Cell]) -> int:
        return max(1, min(self.slots, math.ceil(len(cells) / self.pack)))

    def format_arms(self, cells: list[Cell], head: str = "trainings to do") -> list[str]:
        """Return a table of the cells by arm as lines."""
        compared = self.study.compared
        rows: list[tuple[str, ...]] = [(compared, head, "steps each", "images seen each", "time each")]
        for value in dict.fromkeys(cell.axes[compared] for cell in cells):
            points = [_get_combination(self.study, cell) for cell in cells if cell.axes[compared] == value]
            by_phase = list(zip(*(self.sizes[point].phases for point in points), strict=True))
            steps = " + ".join(format_range(phase.total for phase in phases) for phases in by_phase)
            images = " + ".join(format_range(phase.total_images for phase in phases) for phases in by_phase)
            times = format_range((self.seconds[point] for point in points), format_duration)
            rows.append((str(value), str(len(points)), steps, images, times))
        return format_table(rows)


def estimate_grid(
    study: Study, cells: list[Cell], done: set[str], slots: int | None, pack: int | None = None, choice: AutotuneResult | None = None
) -> str:
    """Return as text the cells to train, their steps and seconds, and the total time. The parameters are those of `measure_grid`."""
    todo = [cell for cell in cells if cell.key not in done]
    head = f"{study.name}, {study.scale} scale: {len(cells)} trainings, {len(cells) - len(todo)} done, {len(todo)} to do"
    if not todo:
        return head
    times = measure_grid(study, todo, slots, pack, choice)
    total = f"about {format_duration(times.sum_seconds(todo))} on this machine with {times.describe_setup(todo)}"
    return "\n".join([head, "", *times.format_arms(todo), "", f"{total}, plus the start of the workers"])


def measure_grid(
    study: Study, todo: list[Cell], slots: int | None, pack: int | None = None, choice: AutotuneResult | None = None
) -> GridTimes:
    """Measure what these cells take with `slots` slots (None: one per GPU or core).

    `pack` is the grid's option. `choice` is the autotuning result of the run folder. Without it a new result is measured, and not stored.
    The values of a numeric axis determine how much is trained, so their times are scaled. The values of another axis determine what is
    trained, so each is measured.
    """
    torch.set_num_threads(1)  # as in a worker
    device = get_device()
    if choice is None and any(get_requested_execution(cell) is None for cell in todo):
        task = make_task(todo[0], device)
        choice = choose_execution(lambda execution: make_method(todo[0], task, execution), device)
    gpus = torch.cuda.device_count()
    way = Way(device, choice.execution if choice else REFERENCE, min(pack or (PACK if gpus else 1), len(todo)))
    sizes, seconds = _measure_combinations(study, todo, way)
    return GridTimes(study, sizes, seconds, slots or gpus or os.cpu_count() or 1, way.pack, str(choice.execution) if choice else "")


def _measure_combinations(study: Study, todo: list[Cell], way: Way) -> tuple[dict[tuple[Value, ...], Size], dict[tuple[Value, ...], float]]:
    """Return size and seconds of each combination, measured on its first replicate."""
    first_cells: dict[tuple[Value, ...], Cell] = {}
    groups: dict[tuple[Value, ...], list[tuple[Value, ...]]] = defaultdict(list)
    word_axes = [axis for axis, values in study.condition_axes.items() if not all(type(value) in (int, float) for value in values)]
    for cell in todo:
        if (point := _get_combination(study, cell)) not in first_cells:
            first_cells[point] = cell
            groups[tuple(cell.axes[axis] for axis in (study.compared, *word_axes))].append(point)
    sizes = {point: count_steps(cell, way.device) for point, cell in first_cells.items()}
    seconds: dict[tuple[Value, ...], float] = {}
    for points in groups.values():
        rates = measure_rates(first_cells[min(points, key=lambda point: (sizes[point].total_steps, sizes[point].items))], way)
        seconds |= {point: rates.estimate_seconds(sizes[point]) for point in points}
    return sizes, seconds


def _get_combination(study: Study, cell: Cell) -> tuple[Value, ...]:
    return tuple(value for axis, value in cell.axes.items() if axis != study.replicated)


def count_steps(cell: Cell, device: torch.device) -> Size:
    """Count the phases, epochs and steps of a cell without augmenting or encoding all its images.

    Where the phases do not know their size beforehand, the steps for a part of the training images are scaled in proportion to all. The
    count is exact where the batch size divides the number of samples made from these images. Otherwise its error is at most one step in
    `STEPS`.
    """
    task = make_task(cell, device)
    method = make_method(cell, task)
    for module in method.modules.values():
        module.forward = _make_constant_forward(module.forward)
    known = [phase.measure_size() for phase in method.build_phases()]
    total, images = len(task.train.labels), FEW
    while not all(known):
        images = min(images, total)
        method.task = _thin_task(task, images)
        phases = method.build_phases()
        steps = []
        for phase in phases:
            phase.begin_phase()
            steps.append(phase.start_epoch(0))
        if images == total or min(steps) >= STEPS:
            break
        images *= 2
    if not all(known):
        scaled = [max(1, count * total // images) for count in steps]
        known = [
            PhaseSize(phase.epochs, count, phase.epochs * count, count, phase.count_images())
            for phase, count in zip(phases, scaled, strict=True)
        ]
    return Size(tuple(size for size in known if size), len(task.val.labels), len(task.test.labels))


def _make_constant_forward(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a forward function that computes one sample once and repeats its output for all others: enough to count by, at no cost."""
    outputs: list[Tensor] = []

    def answer(batch: Tensor) -> Tensor:
        if not outputs:
            outputs.append(forward(batch[:1]))
        return outputs[0].expand(len(batch), *outputs[0].shape[1:])

    return answer


def measure_rates(cell: Cell, way: Way) -> Rates:
    """Measure the rates of a cell by running the parts of its training on a part of its images."""
    device, execution = way.device, get_requested_execution(cell) or way.chosen
    start = _read_clock(device)
    task = make_task(cell, device)
    methods = [make_method(cell, task, execution) for _ in range(way.pack)]
    build, images = (_read_clock(device) - start) / way.pack, FEW
    while True:
        start = _read_clock(device)
        for method in methods:
            method.task = _thin_task(task, images)
        packs = zip(*(method.build_phases() for method in methods), strict=True)
        with execution.autocast(device):
            rates = Rates(build, tuple(_time_step(phases, methods[0], device) for phases in packs), _time_inference(methods[0], device))
        if images >= len(task.train.labels) or _read_clock(device) - start >= LONG_S:
            return rates
        images *= 4


def _time_step(phases: tuple[Phase, ...], method: Method, device: torch.device) -> Pace:
    """Time one phase of a pack of trainings, whose steps are interleaved."""
    first = phases[0]
    start = _read_clock(device)
    first.begin_phase()
    steps = first.start_epoch(0)
    size = first.measure_size()
    items = size.items if size else steps
    ready = _read_clock(device)
    first.start_epoch(1)
    again = _read_clock(device) - ready
    for phase in phases[1:]:
        phase.begin_phase()
        phase.start_epoch(0)
    members = [Member(phase, _run_steps(phase, steps)) for phase in phases]
    times = [_read_clock(device)]
    while len(times) <= 20 and times[-1] - times[0] < LONG_S / 2:
        for member in members:
            with member.use_own_state(), torch.autocast(device.type, enabled=False):  # a step opens its own autocast context
                next(member.training)
        times.append(_read_clock(device))
    step_times = np.diff(times) / len(phases)
    finish = _read_clock(device)
    first.finish_epoch(0)
    finish = _read_clock(device) - finish
    return Pace(
        (ready - start) / items,
        again / items,
        median(step_times[1:] if len(step_times) > 1 else step_times),
        finish / len(method.task.val.labels),
    )


def _run_steps(phase: Phase, steps: int) -> Generator[None, None, None]:
    phase.model.train()
    for step in itertools.count():
        phase.train_step(step % steps)
        yield


def _time_inference(method: Method, device: torch.device) -> float:
    start = _read_clock(device)
    with torch.no_grad():
        method.compute_logits(method.task.val.pixels)
    return (_read_clock(device) - start) / len(method.task.val.labels)


def _read_clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _thin_task(task: Task, images: int) -> Task:
    """Return the task with at most `images` training images and at most as many validation images, evenly spaced."""

    def some(every: Images) -> Images:
        rows = np.linspace(0, len(every.rows) - 1, min(images, len(every.rows))).astype(np.int64)
        return Images(every.pixels[rows], every.labels[rows], every.rows[rows], None if every.values is None else every.values[rows])

    return replace(task, train=some(task.train), val=some(task.val), kept_views={})


def format_table(rows: list[tuple[str, ...]]) -> list[str]:
    """Return lines of aligned columns: the first left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
