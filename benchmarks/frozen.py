"""Measure the speed-up from caching a frozen encoder's features, against the ceiling that the operation counts set.

.venv/bin/python -m benchmarks.frozen takes each regime of CIAO that freezes anything, with and without mask. It counts the operations of a
step that runs the whole encoder and of a step that starts from cached features (PyTorch's own counter, two per multiply-add), and times
both, interleaved. The ceiling is the ratio of the operations. The speed-up reached is the ratio of the times. On a CPU it uses one thread,
as a slot does, and measures the process's CPU time, so that other processes do not count. Precision is fp32.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer

from benchmarks.common import last_line, machine, show
from benchmarks.roofline import operations
from trainables.data.dataset import FaceDataset
from trainables.data.task import TASKS, Task
from trainables.methods.ciao import CIAO, CIAOPhase
from trainables.settings import resolve_settings

REGIMES = (("DL", False), ("DL", True), ("LC", False), ("LC", True))
ENCODERS: dict[str, tuple[int, dict[str, Any]]] = {
    "vgg_face": (96, {"encoder": "vgg_face"}),
    "pk": (96, {"encoder": "pk"}),
    "pocket": (48, {"encoder": "pocket"}),
}


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    batch: Annotated[int, typer.Option(min=2)] = 32,
    only: Annotated[str, typer.Option(help="an encoder; all without it")] = "",
) -> None:
    """Measure each network's ceiling and speed-up. Print a table with their ratio, and end with one line of JSON."""
    machine_info, device = machine(), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    rows = []
    for name, (size, settings) in ENCODERS.items():
        for regime, mask in REGIMES if only in ("", name) else ():
            given = settings | {"regime": regime, "mask": mask, "batch": batch, "precision": "fp32"}
            whole, reduced = (step(given, size, device, cached) for cached in (False, True))
            work = {kind: operations(run_step) for kind, run_step in (("whole", whole), ("kept", reduced))}
            durations: dict[str, list[float]] = {"whole": [], "kept": []}
            for _ in range(rounds):
                durations["whole"].append(seconds(whole, device))
                durations["kept"].append(seconds(reduced, device))
            ceiling = work["whole"] / work["kept"]
            reached = median(durations["whole"]) / median(durations["kept"])
            network = f"{name}, {regime}{'+CIAO' * mask}"
            rows.append((network, *(1e3 * median(times) for times in durations.values()), ceiling, reached, reached / ceiling))
            figures |= {f"{network}, ceiling": ceiling, f"{network}, reached": reached}
    show(f"batches of {batch} on {device}, fp32", ("network", "whole, ms", "kept, ms", "ceiling", "reached", "share"), rows)
    last_line(figures, machine_info)


def seconds(step: Callable[[], None], device: torch.device, least: float = 0.3) -> float:
    """Return the median seconds per step, over as many steps as take `least` seconds, at least three."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    durations: list[float] = []
    while len(durations) < 3 or sum(durations) < least:
        began = clock()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        durations.append(clock() - began)
    return median(durations)


def step(settings: dict[str, Any], size: int, device: torch.device, keep: bool) -> Any:
    """Return a function that trains one step per call, batch after batch. Without `keep` a step runs the frozen part too."""
    torch.manual_seed(0)
    method = CIAO(resolve_settings(CIAO.Settings, settings, "ciao"), task(size, 4 * settings["batch"], device), 0)
    method.modules.to(device, memory_format=torch.channels_last)
    phase = CIAOPhase(method)
    if not keep:
        method.get_frozen_features = lambda pixels: None  # type: ignore[method-assign]
    phase.begin_phase()
    steps, made = phase.start_epoch(0), 0
    phase.model.train()

    def run() -> None:
        nonlocal made
        phase.train_step(made % steps)
        made += 1

    return run


def task(size: int, images: int, device: torch.device) -> Task:
    """Return a task of noise images in seven classes. The time of a step does not depend on the images."""
    rng = np.random.default_rng(0)
    classes = TASKS.find("adaptation").settings.model_fields["classes"].default
    count = 2 * images
    pixels = rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    split = ["train"] * images + ["val", "test"] * (images // 2)
    faces = FaceDataset(pixels, np.arange(count) % len(classes), classes, pd.DataFrame({"split": split}), "noise")
    settings = resolve_settings(TASKS.find("adaptation").settings, {"role": "noise", "size": size}, "task adaptation")
    return TASKS.find("adaptation").build(settings, {"noise": faces}, 0, device)


if __name__ == "__main__":
    typer.run(main)
