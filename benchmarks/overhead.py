"""Measure a cell's seconds beyond its training: warm slots against one TorchTrainer per Tune trial, as in Ray's documentation.

.venv/bin/python -m benchmarks.overhead runs a warm block, a cold block and a warm block in one Ray session, two cells at once on two
cores. All have the same tiny trainings and the same store writes. The overhead of a cell is the time between the end of the previous cell
on its slot and its own end, less its training seconds. Both sides are measured by this rule, so the start of the first cells counts for
neither. The cold side is spared all avoidable costs: it has final metrics by return value, no report callback, no preemption watcher, and
quick health checks. The time in which its fresh processes read the data and warm up lies within `seconds`, so it counts as training.
"""

import shutil
import tempfile
import time
from statistics import mean
from typing import Annotated, Any

import typer

from benchmarks.common import last_line, machine, pocket_cells, show

SLOTS = 2
TINY = {"epochs": 1, "per_class": 10}


def main(
    warm: Annotated[int, typer.Option(help="cells of each of the two warm blocks")] = 30,
    rounds: Annotated[int, typer.Option(min=2, help="rounds of two concurrent cold trials; the first is not measured")] = 3,
    seed: int = 0,
) -> None:
    """Measure, print a table, and end with one line of JSON: ratio, warm_s, cold_s and the numbers of cells."""
    from platform.launch import run_with_tune
    from platform.launch.output_redirection import redirect_output
    from trainables.storage.store import RunFolder

    machine_info, scratch = machine(), tempfile.mkdtemp(prefix="overhead-")
    only = {"method": "SL(c)", "split": "0.5", "ratio": "1"}
    count = SLOTS * rounds
    cells = pocket_cells(2 * warm + count, seed, only, TINY)
    blocks = [("warm", cells[:warm]), ("cold", cells[warm : warm + count]), ("warm", cells[warm + count :])]
    overheads: dict[str, list[float]] = {"warm": [], "cold": []}
    rows = []
    try:
        run_with_tune.ray.init(log_to_driver=False, logging_level="ERROR", configure_logging=False)  # the cold side needs the dashboard
        for number, (kind, block) in enumerate(blocks):
            folder = RunFolder(f"{scratch}/{number}")
            print(f"{kind} block, {len(block)} cells", flush=True)
            began = time.time()
            with redirect_output(folder):
                ends = run_warm(run_with_tune, block, folder) if kind == "warm" else run_cold(run_with_tune, block, folder)
            seconds = {key: folder.get_result(key)["seconds"] for _, key in ends}  # type: ignore[index]
            costs = beyond(ends, seconds)
            overheads[kind] += costs
            rows.append((kind, len(block), time.time() - began, ends[0][0] - began, mean(seconds.values()), mean(costs)))
    finally:
        run_with_tune.ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)
    warm_s, cold_s = mean(overheads["warm"]), mean(overheads["cold"])
    show(f"seconds, {SLOTS} at once", ("block", "cells", "all", "until the first end", "training a cell", "beyond it a cell"), rows)
    print(f"\n  one TorchTrainer a trial costs {cold_s / warm_s:.0f} times what a warm slot does")
    last_line({"ratio": cold_s / warm_s, "warm_s": warm_s, "cold_s": cold_s, "warm_cells": 2 * warm, "cold_cells": count}, machine_info)


def beyond(ends: list[tuple[float, str]], seconds: dict[str, float]) -> list[float]:
    """Return, for each cell but the first of each slot, the time since the slot's previous end, less the cell's training seconds.

    The k-th end is taken to follow the (k - SLOTS)-th. Which slot it was does not matter to the mean, since the sum is the same.
    """
    ordered = sorted(ends)
    return [end - before - seconds[key] for (before, _), (end, key) in zip(ordered, ordered[SLOTS:], strict=False)]


def run_warm(run_with_tune: Any, cells: list[Any], folder: Any) -> list[tuple[float, str]]:
    """Run the cells on warm slots. Return (end time, key) of each."""
    ends = []

    def listen(event: dict[str, Any]) -> None:
        if event["kind"] == "done":
            ends.append((event["time"], event["key"]))

    run_with_tune.run_cells(cells, folder, listen, slots=SLOTS)
    if len(ends) < len(cells):
        raise SystemExit(f"{len(cells) - len(ends)} of the warm cells failed: {folder.uri}")
    return ends


def run_cold(run_with_tune: Any, cells: list[Any], folder: Any) -> list[tuple[float, str]]:
    """Run the cells by the documented pattern: a trial is a function that fits a TorchTrainer with one worker. Return as `run_warm`."""
    tune, ends = run_with_tune.tune, []

    class Ends(tune.Callback):  # type: ignore[name-defined]
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            ends.append((time.time(), trial.config["cell"]["key"]))

    tuner = tune.Tuner(
        tune.with_resources(trial, {"node:__internal_head__": 0.001}),  # no CPU: workers need both, and two trials on them would deadlock
        param_space={"cell": tune.grid_search([cell.to_json() for cell in cells]), "runs": folder.uri},
        tune_config=tune.TuneConfig(max_concurrent_trials=SLOTS),
        run_config=tune.RunConfig(name="cold", storage_path=f"{folder.uri}/ray", callbacks=[Ends()], verbose=0),
    )
    if errors := tuner.fit().errors:
        raise SystemExit(f"a cold trial failed: {errors[0]}")
    return ends


def trial(config: dict[str, Any]) -> None:
    """Run one Tune trial, as documented, with a TorchTrainer of its own."""
    import ray.train
    from ray import tune
    from ray.train.torch import TorchTrainer

    fitted = TorchTrainer(
        train_one,
        train_loop_config=config,
        scaling_config=ray.train.ScalingConfig(num_workers=1),
        run_config=ray.train.RunConfig(name=f"trial-{tune.get_context().get_trial_id()}", storage_path=f"{config['runs']}/ray"),
    ).fit()
    tune.report({"seconds": fitted.return_value})


def train_one(config: dict[str, Any]) -> float:
    """Train one cell in a Train worker. Return its training seconds."""
    import torch

    from trainables.cell import Cell
    from trainables.loop import train_cell
    from trainables.storage.store import RunFolder

    torch.set_num_threads(1)
    return train_cell(Cell.from_json(config["cell"]), RunFolder(config["runs"]))["seconds"]


if __name__ == "__main__":
    typer.run(main)
