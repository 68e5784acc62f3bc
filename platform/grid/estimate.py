"""How long a grid will take here, by measurement: what --dry-run says. Nothing is trained to its end, and Ray is not started.

Steps are counted for every combination of conditions, by its own method and phases on a part of its training images; seconds are
measured once for each value of the compared axis, at its combination of fewest steps, and scaled by steps and images from there.
"""

import itertools
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from dataclasses import replace
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from platform.terminal.progress import format_duration
from search_spaces.study import Study
from trainables.autotune import AutotuneResult, choose_execution
from trainables.cell import Cell, Value
from trainables.data.task import Images, Task
from trainables.execution.config import REFERENCE, ExecutionConfig
from trainables.execution.interleave import PACK, Member
from trainables.loop import get_device, get_requested_execution, make_method, make_task
from trainables.methods.method import Method, Phase

FEW = 16
"""training images a count or a measurement begins with"""
STEPS = 16
"""an epoch of so many steps counts finely enough: with fewer, more images are taken, until all are"""
LONG_S = 1.0
"""a measurement as long as this is taken for good; a shorter one has warmed up, and is made again with more images"""


class Size(NamedTuple):
    """What one training consists of."""

    phases: tuple[tuple[int, int], ...]
    """(epochs, steps an epoch) of each"""
    val: int
    """images"""
    test: int

    @property
    def total_steps(self) -> int:
        return sum(epochs * steps for epochs, steps in self.phases)


class Pace(NamedTuple):
    """Seconds of a phase's parts."""

    first: float
    """making ready the phase and its first epoch, by step of an epoch: both grow with the images"""
    again: float
    """making ready a later epoch, by step"""
    step: float
    finish: float
    """an epoch's end, by validation image"""


class Rates(NamedTuple):
    """What the parts of one training take, in seconds."""

    build: float
    """task and method"""
    phases: tuple[Pace, ...]
    logits: float
    """by image"""

    def estimate_seconds(self, size: Size) -> float:
        total = self.build + self.logits * (size.val + size.test)
        for pace, (epochs, steps) in zip(self.phases, size.phases, strict=True):
            total += steps * (pace.first + (epochs - 1) * pace.again + epochs * pace.step) + epochs * size.val * pace.finish
        return total


class Way(NamedTuple):
    """How trainings would be made here."""

    device: torch.device
    chosen: ExecutionConfig = REFERENCE
    """of cells that ask for none"""
    pack: int = 1
    """side by side in one process"""


def estimate_grid(
    study: Study, cells: list[Cell], done: set[str], slots: int | None, pack: int | None = None, choice: AutotuneResult | None = None
) -> str:
    """The cells to do, their steps and seconds, and the time for all with `slots` at once (none: one a GPU, or one a core).

    `pack` is as for the grid; `choice` the run folder's arithmetic: where it has none yet, one is made, and not kept. An axis of numbers
    says how much is trained, and is scaled; an axis of words says what, and each of its values is measured.
    """
    todo = [cell for cell in cells if cell.key not in done]
    head = f"{study.name}, {study.scale} scale: {len(cells)} cells, {len(cells) - len(todo)} done, {len(todo)} to do"
    if not todo:
        return head
    torch.set_num_threads(1)  # as a worker has
    device = get_device()
    if choice is None and any(get_requested_execution(cell) is None for cell in todo):
        task = make_task(todo[0], device)
        choice = choose_execution(lambda execution: make_method(todo[0], task, execution), device)
    gpus = torch.cuda.device_count()
    way = Way(device, choice.execution if choice else REFERENCE, min(pack or (PACK if gpus else 1), len(todo)))
    sizes, seconds = _measure_combinations(study, todo, way)

    rows: list[tuple[str, ...]] = [(study.compared, "cells to do", "steps a cell", "time a cell")]
    for value in dict.fromkeys(cell.axes[study.compared] for cell in todo):
        mine = [_get_combination(study, cell) for cell in todo if cell.axes[study.compared] == value]
        if mine:
            steps, times = {sizes[each].total_steps for each in mine}, {seconds[each] for each in mine}
            rows.append((str(value), str(len(mine)), _format_range(steps, "{:,}".format), _format_range(times, format_duration)))
    each = [seconds[_get_combination(study, cell)] for cell in todo]
    slots = min(slots or gpus or os.cpu_count() or 1, math.ceil(len(todo) / way.pack))
    total = max(sum(each) / slots, max(each))
    how = f"{slots} at once" + (f", {way.pack} side by side in each" if way.pack > 1 else "") + (f" ({choice.execution})" if choice else "")
    return "\n".join(
        [
            head,
            "",
            *_format_table(rows),
            "",
            f"about {format_duration(total)} on this machine with {how}; starting the workers comes on top",
        ]
    )


def _measure_combinations(study: Study, todo: list[Cell], way: Way) -> tuple[dict[tuple[Value, ...], Size], dict[tuple[Value, ...], float]]:
    """Size and seconds of each combination: of its first replicate."""
    first: dict[tuple[Value, ...], Cell] = {}
    kinds: dict[tuple[Value, ...], list[tuple[Value, ...]]] = defaultdict(list)
    words = [axis for axis, values in study.condition_axes.items() if not all(type(value) in (int, float) for value in values)]
    for cell in todo:
        if (point := _get_combination(study, cell)) not in first:
            first[point] = cell
            kinds[tuple(cell.axes[axis] for axis in (study.compared, *words))].append(point)
    sizes = {point: count_steps(cell, way.device) for point, cell in first.items()}
    seconds: dict[tuple[Value, ...], float] = {}
    for points in kinds.values():
        rates = measure_rates(first[min(points, key=lambda point: sizes[point].total_steps)], way)
        seconds |= {point: rates.estimate_seconds(sizes[point]) for point in points}
    return sizes, seconds


def _get_combination(study: Study, cell: Cell) -> tuple[Value, ...]:
    return tuple(value for axis, value in cell.axes.items() if axis != study.replicated)


def count_steps(cell: Cell, device: torch.device) -> Size:
    """The phases, epochs and steps of a cell, without crafting or encoding all its images.

    A part of the training images gives the steps for all in proportion: exact where a batch divides what they make, and else
    within one in `STEPS`.
    """
    task = make_task(cell, device)
    method = make_method(cell, task)
    for module in method.modules.values():
        module.forward = _make_constant_forward(module.forward)
    every, images = len(task.train.labels), FEW
    while True:
        images = min(images, every)
        method.task = _thin_task(task, images)
        phases = method.build_phases()
        steps = []
        for phase in phases:
            phase.begin_phase()
            steps.append(phase.start_epoch(0))
        if images == every or min(steps) >= STEPS:
            break
        images *= 2
    scaled = ((phase.epochs, max(1, number * every // images)) for phase, number in zip(phases, steps, strict=True))
    return Size(tuple(scaled), len(task.val.labels), len(task.test.labels))


def _make_constant_forward(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A network that looks at one sample ever and says the same of all others: enough to count by, at no cost."""
    seen: list[Tensor] = []

    def answer(batch: Tensor) -> Tensor:
        if not seen:
            seen.append(forward(batch[:1]))
        return seen[0].expand(len(batch), *seen[0].shape[1:])

    return answer


def measure_rates(cell: Cell, way: Way) -> Rates:
    """The rates of a cell, by the parts of its training at work on a part of its images."""
    device, execution = way.device, get_requested_execution(cell) or way.chosen
    began = _read_clock(device)
    task = make_task(cell, device)
    methods = [make_method(cell, task, execution) for _ in range(way.pack)]
    build, images = (_read_clock(device) - began) / way.pack, FEW
    while True:
        began = _read_clock(device)
        for method in methods:
            method.task = _thin_task(task, images)
        alike = zip(*(method.build_phases() for method in methods), strict=True)
        with execution.autocast(device):
            rates = Rates(build, tuple(_time_step(phases, methods[0], device) for phases in alike), _time_inference(methods[0], device))
        if images >= len(task.train.labels) or _read_clock(device) - began >= LONG_S:
            return rates
        images *= 4


def _time_step(phases: tuple[Phase, ...], method: Method, device: torch.device) -> Pace:
    """Of the same phase of a pack of trainings, a step of each in turn."""
    first = phases[0]
    began = _read_clock(device)
    first.begin_phase()
    steps = first.start_epoch(0)
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
            with member.use_own_state(), torch.autocast(device.type, enabled=False):  # a step opens its own
                next(member.training)
        times.append(_read_clock(device))
    took = np.diff(times) / len(phases)
    finish = _read_clock(device)
    first.finish_epoch(0)
    finish = _read_clock(device) - finish
    return Pace((ready - began) / steps, again / steps, median(took[1:] if len(took) > 1 else took), finish / len(method.task.val.labels))


def _run_steps(phase: Phase, steps: int) -> Generator[None, None, None]:
    phase.model.train()
    for step in itertools.count():
        phase.train_step(step % steps)
        yield


def _time_inference(method: Method, device: torch.device) -> float:
    began = _read_clock(device)
    with torch.no_grad():
        method.compute_logits(method.task.val.pixels)
    return (_read_clock(device) - began) / len(method.task.val.labels)


def _read_clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _thin_task(task: Task, images: int) -> Task:
    """The task with this many training images, and no more validation images, spread evenly."""

    def some(every: Images) -> Images:
        rows = np.linspace(0, len(every.rows) - 1, min(images, len(every.rows))).astype(np.int64)
        return Images(every.pixels[rows], every.labels[rows], every.rows[rows], None if every.values is None else every.values[rows])

    return replace(task, train=some(task.train), val=some(task.val))


def _format_range(values: set[Any], text: Callable[[Any], str]) -> str:
    low, high = text(min(values)), text(max(values))
    return low if low == high else f"{low} to {high}"


def _format_table(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of aligned columns, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
