"""Measure what a grid leaves behind, and how much memory each cell adds to the driver.

.venv/bin/python -m benchmarks.leaks --cells 500 trains this many cells of a tenth of a second and records the memory of the command's
driver. It then looks for processes, shared memory and temporary folders that did not exist before.
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.common import kilobytes, last_line, machine, show
from tests.faults import processes
from tests.faults.ordeal import Ordeal, checkout

PLACES = ("/dev/shm", tempfile.gettempdir(), f"{tempfile.gettempdir()}/ray")
WARM = 0.2
"""share of the cells during which caches fill; memory growth is measured after it"""


def main(cells: Annotated[int, typer.Option()] = 500) -> None:
    """Train, record memory, look for leftovers; print a table and one line of JSON."""
    machine_info = machine()
    with tempfile.TemporaryDirectory(prefix="leaks-") as scratch:
        before = {path for name in PLACES for path in Path(name).iterdir()}
        ordeal = Ordeal(checkout(Path(scratch, "checkout")), Path(scratch, "runs"), seeds=cells, arms=("well",))
        ordeal.settings = ("epochs=1", "pause=0", "batch=32")
        ordeal.start()
        samples: list[tuple[int, float]] = []
        assert ordeal.process
        driver = 0
        while ordeal.running:
            driver = driver or processes.driver_of(ordeal.process.pid)
            samples.append((len(list(Path(ordeal.folder.get_path("cells")).glob("*/result.json"))), kilobytes(driver)))
            time.sleep(1)
        code = ordeal.end()
        left = processes.gone(ordeal.mark, 5)
        after = {path for name in PLACES for path in Path(name).iterdir() if mine(path, driver)} - before
        settled = [(done, size) for done, size in samples if WARM * cells <= done < cells and size]  # without the report at the end
        grown = (settled[-1][1] - settled[0][1]) / max(1, settled[-1][0] - settled[0][0])
    figures: dict[str, Any] = {
        "exit": code,
        "cells": cells,
        "driver_kb_per_cell": grown,
        "driver_mb": max(size for _, size in samples) / 1024,
        "processes_left": len(left),
        "folders_left": len(after),
    }
    show(f"{cells} cells", ("figure", "value"), list(figures.items()))
    for path in sorted(after):
        print(f"  left: {path}")
    last_line(figures, machine_info)


def mine(path: Path, pid: int) -> bool:
    """Return whether the path may be this benchmark's. A Ray session's name ends with the pid; other paths may be from another user."""
    return not path.name.startswith("session_") or path.name.endswith(f"_{pid}")


if __name__ == "__main__":
    typer.run(main)
