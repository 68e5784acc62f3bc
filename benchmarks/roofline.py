"""Measures which fraction of the device's peak FLOP/s a training step reaches. Where it is low, the kernels wait for something else.

.venv/bin/python -m benchmarks.roofline measures the peaks, which are a large matrix product and a convolution like those of the networks,
and the bare step of each network (forward, loss, backward, optimiser), interleaved. PyTorch's own counter counts the operations: two for
a multiply-add, in convolutions and matrix products only. It measures in fp32 and in bf16, with one thread on a CPU, as in a slot.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Annotated, Any

import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import last_line, machine, pocket_cells, show
from benchmarks.loop import bare
from trainables.execution.config import ExecutionConfig

STEPS: dict[str, dict[str, Any]] = {
    "pocket": {},
    "ResNet-18, ImageNet stem": {"encoder": "resnet18", "encoder_settings": {"stem": "imagenet"}, "per_class": 10},
    "ResNet-18, CIFAR stem": {"encoder": "resnet18", "encoder_settings": {"stem": "cifar"}, "per_class": 10},
}


def main(rounds: Annotated[int, typer.Option(min=1)] = 5, seed: int = 0) -> None:
    """Measure, print tables with each step's fraction of the peaks, and end with one line of JSON: GFLOP/s of the peaks and the steps."""
    machine_info, device = machine(), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    for execution in (ExecutionConfig("fp32"), ExecutionConfig("bf16")):
        figures |= one(execution, rounds, seed, device)
    last_line(figures, machine_info)


def one(execution: ExecutionConfig, rounds: int, seed: int, device: torch.device) -> dict[str, float]:
    """Measure with one execution configuration and print its table. Return GFLOP/s by name."""
    peaks = {"matrix product": product(device), "convolution": convolution(device)}
    work: dict[str, Callable[[], Any]] = {name: autocast(execution, peak, device) for name, peak in peaks.items()}
    for name, settings in STEPS.items():
        (cell,) = pocket_cells(1, seed, {"method": "SC(c)", "split": "0.9", "ratio": "5"}, settings)
        work[f"step, {name}"] = bare(cell, device, execution)
    flop = {name: operations(step) for name, step in work.items()}
    durations: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds + 1):
        for name, step in work.items():
            durations[name].append(seconds(step, device))
    speed = {name: flop[name] / median(times[1:]) / 1e9 for name, times in durations.items()}
    peak = {name: speed[name] for name in ("matrix product", "convolution")}
    rows = [
        (name, flop[name] / 1e9, 1e3 * median(durations[name][1:]), speed[name], *(speed[name] / other for other in peak.values()))
        for name in work
    ]
    title = f"{execution} on {device}, medians of {rounds} rounds"
    show(title, ("", "GFLOP", "ms", "GFLOP/s", "of product", "of convolution"), rows)
    return {f"{name}, {execution.precision}": value for name, value in speed.items()}


def autocast(execution: ExecutionConfig, work: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    def cast() -> Any:
        with execution.autocast(device):
            return work()

    return cast


def product(device: torch.device, side: int = 2048) -> Callable[[], Any]:
    a, b = torch.randn(side, side, device=device), torch.randn(side, side, device=device)
    return lambda: a @ b


def convolution(device: torch.device) -> Callable[[], Any]:
    """Return a 3x3 convolution of 32 images of 24 x 24 with 128 channels in and out, as in the middle of a ResNet."""
    layer = torch.nn.Conv2d(128, 128, 3, padding=1, bias=False).to(device, memory_format=torch.channels_last)
    images = torch.randn(32, 128, 24, 24, device=device).contiguous(memory_format=torch.channels_last)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return layer(images)

    return forward


def operations(step: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def seconds(step: Callable[[], Any], device: torch.device, least: float = 0.3) -> float:
    """Return the median duration of a step, repeated until `least` seconds have passed, at least three times."""
    durations: list[float] = []
    while len(durations) < 3 or sum(durations) < least:
        began = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        durations.append(time.perf_counter() - began)
    return median(durations)


if __name__ == "__main__":
    typer.run(main)
