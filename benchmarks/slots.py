"""How many trainings at once, with how many threads each: what a machine trains in all by each way of sharing its cores.

.venv/bin/python -m benchmarks.slots lets P processes of T threads make the same steps for some seconds, all at once, way after way and
round after round. `platform.launch.worker_pool.count_slots` follows what it shows: one training a core, one thread each.
"""

import json
import multiprocessing
import os
import time
from statistics import median
from typing import Annotated, Any

import torch
import typer

from benchmarks.common import last_line, machine, pocket_cells, show
from benchmarks.loop import bare

NETWORKS: dict[str, dict[str, Any]] = {
    "pocket": {},
    "ResNet-18, ImageNet stem": {"encoder": "resnet18", "encoder_settings": {"stem": "imagenet"}, "per_class": 10},
}


def main(rounds: Annotated[int, typer.Option(min=1)] = 3, seconds: float = 4.0, seed: int = 0) -> None:
    """Measure, print a table, end with one line of JSON: images a second of the whole machine by way."""
    here, cores = machine(), os.cpu_count() or 1
    ways = sorted({(1, 1), (1, cores), (max(1, cores // 2), 2), (cores, 1), (cores, 2), (2 * cores, 1)})
    took: dict[tuple[str, tuple[int, int]], list[float]] = {}
    for _ in range(rounds):
        for name, settings in NETWORKS.items():
            for way in ways:
                took.setdefault((name, way), []).append(together(*way, settings, seconds, seed))
    speed = {key: median(values) for key, values in took.items()}
    rows = [
        (f"{processes} x {threads}", *(speed[name, (processes, threads)] for name in NETWORKS), *(
            speed[name, (processes, threads)] / speed[name, (cores, 1)] for name in NETWORKS))
        for processes, threads in ways
    ]  # fmt: skip
    columns = ("trainings x threads", *(f"{name}, images/s" for name in NETWORKS), *(f"{name}, of {cores} x 1" for name in NETWORKS))
    show(f"{cores} cores, fp32, medians of {rounds} rounds", columns, rows)
    last_line({f"{name}, {way[0]} x {way[1]}": value for (name, way), value in speed.items()}, here)


def together(processes: int, threads: int, settings: dict[str, Any], seconds: float, seed: int) -> float:
    """Images a second of so many processes at once, all of them ready before the first begins."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes), context.Queue()
    given = (threads, json.dumps(settings), seconds, seed, barrier, answers)
    workers = [context.Process(target=one, args=given) for _ in range(processes)]
    for worker in workers:
        worker.start()
    speeds = [answers.get() for _ in workers]
    for worker in workers:
        worker.join()
    return sum(speeds)


def one(threads: int, settings: str, seconds: float, seed: int, barrier: Any, answers: Any) -> None:
    torch.set_num_threads(threads)
    (cell,) = pocket_cells(1, seed, {"method": "SC(c)", "split": "0.9", "ratio": "5"}, json.loads(settings))
    step = bare(cell)
    step()
    barrier.wait()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        step()
        steps += 1
    answers.put(cell.method_settings["batch"] * steps / (time.perf_counter() - began))
    barrier.wait()  # who ends first must not leave the others faster


if __name__ == "__main__":
    typer.run(main)
