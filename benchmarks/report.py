"""Measures a report of many runs: seconds and memory of the command, including start-up and all files.

.venv/bin/python -m benchmarks.report generates tables of plausible scores, runs `python -m platform.report --table` on them in a separate
process, and records its peak memory. The sizes are the paper grid of the first study (7 methods x 3 splits x 4 ratios x 10 seeds) and
10,000 runs (10 x 5 x 4 x 50), each with data splits that methods share (paired tests) and without (rank tests with ties).
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from benchmarks.common import last_line, machine, show

CHECKOUT = Path(__file__).parents[1]
SIZES = {"840": (7, 3, 4, 10), "10000": (10, 5, 4, 50)}
MEASURE = """
import resource, subprocess, sys, time
began = time.time()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.time() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20)
"""


def main(rounds: Annotated[int, typer.Option(min=1, help="of every table, in turn")] = 3) -> None:
    """Measure, print a table, and end with one line of JSON: median seconds and maximum GB, by size and pairing."""
    measurements: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="report-") as scratch:
        for number in range(rounds):
            for size, shape in SIZES.items():
                for paired in (True, False):
                    name = f"{size} {'paired' if paired else 'unpaired'}"
                    path = Path(scratch, f"{size}-{paired}.csv")
                    scores(*shape, paired).to_csv(path, index=False)
                    command = [sys.executable, "-m", "platform.report", "--table", str(path), "--condition", "split,ratio"]
                    command += ["--out", f"{scratch}/{number}-{path.stem}"]
                    out = subprocess.run(
                        [sys.executable, "-c", MEASURE, *command], cwd=CHECKOUT, check=True, capture_output=True, text=True
                    )
                    measurements.setdefault(name, []).append(tuple(map(float, out.stdout.split())))  # type: ignore[arg-type]
    figures = {name: {"s": median(s for s, _ in row), "gb": max(gb for _, gb in row)} for name, row in measurements.items()}
    rows = [(name, figures[name]["s"], min(row)[0], max(row)[0], figures[name]["gb"]) for name, row in measurements.items()]
    show("a report of so many runs", ("runs", "s, median", "least", "most", "GB"), rows)
    last_line(figures, machine())


def scores(methods: int, splits: int, ratios: int, seeds: int, paired: bool) -> pd.DataFrame:
    """Return accuracies on 300 test images, with ties and with differences of a few points."""
    rng = np.random.default_rng(0)
    rows = []
    for split in np.linspace(0.5, 0.9, splits).round(2):
        for ratio in (1, 5, 10, 20)[:ratios]:
            for seed in range(seeds):
                shared = rng.normal(0, 0.015)
                for method in range(methods):
                    level = 0.6 + 0.1 * split + 0.004 * method + 0.001 * ratio + shared
                    val, test = rng.binomial(300, level) / 300, rng.binomial(300, level) / 300
                    row = {"method": f"M{method}", "split": split, "ratio": ratio, "seed": seed, "val": val, "test": test}
                    rows.append(row | ({"split_hash": f"{split}-{seed}"} if paired else {}))
    return pd.DataFrame(rows)


if __name__ == "__main__":
    typer.run(main)
