"""The training loop compared with a bare training step: the cost of data, logging, checkpoints and checks.

.venv/bin/python -m benchmarks.loop trains cells with trainables.loop.train_cell. Between its steps it makes the same steps bare: the same
network, batch size, precision, memory format and optimiser; a random normalised batch; forward, loss, backward, step. It uses one thread
and reports medians over rounds. `loop` is the time from one step of the loop to the next. `whole` is the mean time per step of the epochs
including the work between them (augmentation, validation, rows). The bare step has no validation. Augmentation is also timed separately.
"""

import itertools
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer

from benchmarks.common import last_line, machine, pocket_cells, show
from trainables.autotune import AutotuneResult
from trainables.cell import Cell
from trainables.data.augment import Augmentation, augment_images, draw_parameters
from trainables.execution.config import REFERENCE, ExecutionConfig
from trainables.loop import make_method, make_task, train_cell
from trainables.storage.store import RunFolder

ENCODERS: dict[str, dict[str, Any]] = {
    "pocket": {"epochs": 6},
    "resnet18": {"encoder": "resnet18", "encoder_settings": {"stem": "imagenet"}, "epochs": 2, "per_class": 10},
}
ARMS = {"SL": "SL(c)", "SC": "SC(c)"}
CPU = torch.device("cpu")


class Round(NamedTuple):
    """Milliseconds per step."""

    loop: float
    whole: float
    bare: float


def main(
    rounds: int = 3,
    encoder: Annotated[list[str] | None, typer.Option(help="pocket, resnet18 (imagenet stem); default: both")] = None,
    precision: Annotated[str, typer.Option(help="fp32 or bf16")] = "fp32",
    seed: int = 0,
) -> None:
    """Measure, print tables, and end with one line of JSON: bare step over loop step for SL and SC with each network."""
    machine_info = machine()
    torch.set_num_threads(1)
    rows: list[tuple[Any, ...]] = []
    figures: dict[str, float] = {}
    execution = ExecutionConfig(precision)  # type: ignore[arg-type]
    for name, (label, arm) in itertools.product(encoder or ENCODERS, ARMS.items()):
        (cell,) = pocket_cells(1, seed, {"method": arm, "split": "0.9", "ratio": "5"}, ENCODERS[name] | {"probe_epochs": 1})
        results = [one_round(cell, execution) for _ in range(rounds)]
        loop, whole, bare = (median(column) for column in zip(*results, strict=True))
        ratio = median(result.bare / result.loop for result in results)
        share = median(result.bare / result.whole for result in results)
        rows.append((f"{label}, {name}", bare, loop, whole, 32e3 / loop, ratio, share))
        figures |= {f"{label}_{name}": round(ratio, 4), f"{label}_{name}_whole": round(share, 4), f"{label}_{name}_images_s": 32e3 / loop}
    columns = (f"32 images a step, one thread, {execution}", "bare ms", "loop ms", "whole ms", "images/s", "bare/loop", "bare/whole")
    show(f"the loop against the bare step, medians of {rounds} rounds", columns, rows)
    speeds = crafting(seed, rounds)
    show("augmentation, 48x48", ("", "images/s"), list(speeds.items()))
    lowest = min(value for name, value in figures.items() if name.removesuffix("_whole") == name and not name.endswith("_s"))
    last_line({"ratio": lowest} | figures | {f"augment_{name}_images_s": value for name, value in speeds.items()}, machine_info)


def one_round(cell: Cell, execution: ExecutionConfig) -> Round:
    """Train once with the loop and make a bare step after each of its steps, so that a drift of the machine's speed affects both."""
    bare_step, fit_epochs = bare(cell, CPU, execution), cell.method_settings["epochs"]
    rows: list[dict[str, Any]] = []
    loop_seconds: dict[int, list[float]] = {}
    bare_seconds: list[float] = []
    last = 0.0

    def tick() -> bool:  # the loop calls it after every step to ask whether to stop
        nonlocal last
        now = time.perf_counter()
        if len(rows) < fit_epochs:
            loop_seconds.setdefault(len(rows), []).append(now - last)
            bare_step()
            bare_seconds.append(time.perf_counter() - now)
        last = time.perf_counter()
        return False

    def report(row: dict[str, Any]) -> bool:
        rows.append(row)
        return True

    with tempfile.TemporaryDirectory() as folder:
        train_cell(cell, RunFolder(folder), report, halt=tick, choice=AutotuneResult(execution))
    epochs = [loop_seconds[epoch] for epoch in range(1, fit_epochs)]  # the first epoch is a warm-up
    loop = median(step for epoch in epochs for step in epoch[1:])  # an epoch's first step includes the work between epochs
    whole = sum(map(sum, epochs)) / sum(map(len, epochs))
    return Round(1e3 * loop, 1e3 * whole, 1e3 * median(bare_seconds[len(loop_seconds[0]) :]))


def bare(cell: Cell, device: torch.device = CPU, execution: ExecutionConfig = REFERENCE) -> Callable[[], None]:
    """Return a function that makes one eager step on a fixed random batch: only forward, loss, backward and step."""
    task = make_task(cell, device)
    method: Any = make_method(cell, task)
    settings, model = method.settings, method.build_phases()[0].model
    decay = {"momentum": settings.momentum, "weight_decay": settings.weight_decay}
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.lr, fused=True, **decay)
    generator = torch.Generator().manual_seed(cell.seed)
    images = torch.randn(settings.batch, task.channels, task.size, task.size, generator=generator)
    images = images.clamp(-1, 1).to(device).contiguous(memory_format=torch.channels_last)
    items = settings.batch if cell.method == "supervised" else settings.batch // 2
    labels = torch.randint(len(task.classes), (items,), generator=generator).to(device)
    model.train()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with execution.autocast(device):
            output = model(images)
            loss = (
                torch.nn.functional.cross_entropy(output, labels) if items == len(output) else method.compare_projections(output, labels)[0]
            )
        loss.backward()
        optimizer.step()

    return step


def crafting(seed: int, rounds: int, images: int = 4096) -> dict[str, float]:
    """Return augmented images per second, for grey and colour. Each round draws new parameters."""
    rng, speed = np.random.default_rng(seed), {}
    for name, channels in (("grey", 1), ("rgb", 3)):
        pixels = torch.from_numpy(rng.integers(0, 256, (images, channels, 48, 48), dtype=np.uint8))
        seconds = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            augment_images(pixels, draw_parameters(images, 48, Augmentation(), rng))
            seconds.append(time.perf_counter() - began)
        speed[name] = images / median(seconds[1:])
    return speed


if __name__ == "__main__":
    typer.run(main)
