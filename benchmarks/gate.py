"""Benchmark of annealed label transfer: the share of a training that each step's two passes over the gate set take.

.venv/bin/python -m benchmarks.gate trains cells of the pocket study with the training loop and times each pass. The algorithm requires
the passes (Florea et al. 2019, algorithm 1). The lower bound of a pass is a forward pass over the same number of images: `forward`
measures this bound in the gate's precision.
"""

import tempfile
import time
from statistics import median
from typing import Annotated, Any, Literal

import torch
import typer

from benchmarks.common import last_line, machine, show
from platform.cli.study_options import read_roles
from search_spaces.study import STUDIES
from trainables.autotune import AutotuneResult
from trainables.execution.config import ExecutionConfig
from trainables.loop import make_method, make_task, train_cell
from trainables.methods.annealed_label_transfer import AnnealedLabelTransfer
from trainables.storage.store import RunFolder


def main(
    scenario: Annotated[list[str] | None, typer.Option(help="default: all")] = None,
    precision: Annotated[str, typer.Option(help="fp32 or bf16, of all but the gate")] = "fp32",
    rounds: int = 3,
) -> None:
    """Measure, print a table, and end with one line of JSON."""
    machine_info = machine()
    torch.set_num_threads(1)
    study = STUDIES.find("annealed_label_transfer")("pocket").narrow_axis("method", ["ALT"]).with_seeds(1).with_setting("epochs", 6)
    data = read_roles(study, [])
    rows: list[tuple[Any, ...]] = []
    figures: dict[str, float] = {}
    for cell in study.make_cells(data):
        name = str(cell.axes["scenario"])
        if scenario and name not in scenario:
            continue
        results = [one_round(cell, ExecutionConfig(precision)) for _ in range(rounds)]  # type: ignore[arg-type]
        share, gate, bare = (median(column) for column in zip(*results, strict=True))
        images = len(make_task(cell, torch.device("cpu")).gate.labels)  # type: ignore[union-attr]
        rows.append((name, images, share, 1e3 * gate, 1e3 * bare, bare / gate))
        figures |= {f"{name}_share": share, f"{name}_reach": bare / gate}
    columns = ("", "gate images", "share of training", "ms a pass", "ms a forward", "forward/pass")
    show(f"gate passes, pocket network, one thread, {precision}, medians of {rounds} rounds", columns, rows)
    last_line(figures, machine_info)


def one_round(cell: Any, execution: ExecutionConfig) -> tuple[float, float, float]:
    """Return the passes' share of the training time, the median seconds of a pass, and those of a bare forward pass."""
    seconds: list[float] = []
    original = AnnealedLabelTransfer.compute_gate_loss

    def timed(self: AnnealedLabelTransfer, reduction: Literal["mean", "sum"]) -> torch.Tensor:
        began = time.perf_counter()
        loss = original(self, reduction)
        seconds.append(time.perf_counter() - began)
        return loss

    AnnealedLabelTransfer.compute_gate_loss = timed  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            train_cell(cell, RunFolder(folder), choice=AutotuneResult(execution))
            total = time.perf_counter() - began
    finally:
        AnnealedLabelTransfer.compute_gate_loss = original  # type: ignore[method-assign]
    task = make_task(cell, torch.device("cpu"))
    method = make_method(cell, task)
    assert task.gate is not None
    network = torch.nn.Sequential(method.modules["encoder"], method.modules["classifier"]).eval()
    pixels = torch.randn(task.gate.pixels.shape)
    bare = []
    with torch.inference_mode():
        for _ in range(20):
            began = time.perf_counter()
            network(pixels)
            bare.append(time.perf_counter() - began)
    return sum(seconds) / total, median(seconds), median(bare)


if __name__ == "__main__":
    typer.run(main)
