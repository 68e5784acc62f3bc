"""Time the saliency maps of many networks: 64 test images x 10 seeds x 2 methods, with start-up, sheets, board and report.

.venv/bin/python -m benchmarks.explain trains SL(c) and SC(c<-a) of the pocket study for one epoch each, because the cost of a map does
not depend on what was learnt. It runs `python -m platform.explain` on them in a process of its own and measures wall-clock and processor
time.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from benchmarks.common import last_line, machine, pocket_cells, show
from trainables.loop import train_cell
from trainables.storage.store import RunFolder

CHECKOUT = Path(__file__).parents[1]
IMAGES, SEEDS, METHODS = 64, 10, ("SL(c)", "SC(c<-a)")
MEASURE = """
import resource, subprocess, sys, time
began = time.time()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.time() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20)
"""


def main(rounds: Annotated[int, typer.Option(min=1, help="of every kind of map, in turn")] = 2) -> None:
    """Measure seconds, processor seconds and GB by kind of map. Print a table, and medians of the seconds as one line of JSON."""
    measurements: dict[str, list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory(prefix="explain-") as scratch:
        folder = RunFolder(scratch)
        settings = {"epochs": 1, "probe_epochs": 1, "precision": "fp32"}
        only = {"split": "0.9", "ratio": "1"}
        cells = [cell for method in METHODS for cell in pocket_cells(SEEDS, only=only | {"method": method}, settings=settings)]
        folder.put_grid(cells[0].study, cells[0].scale, cells)
        for cell in cells:
            train_cell(cell, folder)
        for _ in range(rounds):
            for how in ("gradcam", "gradcam++", "saliency"):
                command = [sys.executable, "-m", "platform.explain", scratch, "--how", how, "--count", str(IMAGES)]
                out = subprocess.run([sys.executable, "-c", MEASURE, *command], cwd=CHECKOUT, check=True, capture_output=True, text=True)
                measurements.setdefault(how, []).append(tuple(map(float, out.stdout.split())))
    figures = {how: {"s": median(row[0] for row in rows), "cpu_s": median(row[1] for row in rows)} for how, rows in measurements.items()}
    rows = [(how, figures[how]["s"], figures[how]["cpu_s"], max(row[2] for row in measurements[how])) for how in measurements]
    show(f"{IMAGES} images x {SEEDS} seeds x {len(METHODS)} methods", ("maps", "s", "processor s", "GB"), rows)
    last_line(figures, machine())


if __name__ == "__main__":
    typer.run(main)
