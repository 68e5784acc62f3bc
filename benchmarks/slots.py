"""Measures a machine's total throughput by the number of trainings at once and the number of threads of each.

.venv/bin/python -m benchmarks.slots runs P processes with T threads each, which make the same steps for some seconds, all at once. It
measures up to six combinations of P and T in turn, round after round. `platform.launch.worker_pool.count_slots` follows the result: one
training per core, with one thread each.
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
    """Measure, print a table, and end with one line of JSON: images per second of the whole machine by combination."""
    machine_info, cores = machine(), os.cpu_count() or 1
    combinations = sorted({(1, 1), (1, cores), (max(1, cores // 2), 2), (cores, 1), (cores, 2), (2 * cores, 1)})
    throughputs: dict[tuple[str, tuple[int, int]], list[float]] = {}
    for _ in range(rounds):
        for name, settings in NETWORKS.items():
            for combination in combinations:
                throughputs.setdefault((name, combination), []).append(together(*combination, settings, seconds, seed))
    speed = {key: median(values) for key, values in throughputs.items()}
    rows = [
        (f"{processes} x {threads}", *(speed[name, (processes, threads)] for name in NETWORKS), *(
            speed[name, (processes, threads)] / speed[name, (cores, 1)] for name in NETWORKS))
        for processes, threads in combinations
    ]  # fmt: skip
    columns = ("trainings x threads", *(f"{name}, images/s" for name in NETWORKS), *(f"{name}, of {cores} x 1" for name in NETWORKS))
    show(f"{cores} cores, fp32, medians of {rounds} rounds", columns, rows)
    last_line({f"{name}, {combination[0]} x {combination[1]}": value for (name, combination), value in speed.items()}, machine_info)


def together(processes: int, threads: int, settings: dict[str, Any], seconds: float, seed: int) -> float:
    """Return the total images per second of the processes at once. All of them are ready before the first begins."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes), context.Queue()
    arguments = (threads, json.dumps(settings), seconds, seed, barrier, answers)
    workers = [context.Process(target=one, args=arguments) for _ in range(processes)]
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
    barrier.wait()  # a process that ends early would make the others faster


if __name__ == "__main__":
    typer.run(main)
