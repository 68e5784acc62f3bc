"""Measures a grid as a user runs it: seconds until the first epoch, total seconds, and the memory of every process that it starts.

.venv/bin/python -m benchmarks.grid [--seeds N] [--slots N] starts `python -m platform.grid` on the pocket study in its own run folder and
monitors it. Memory is the sum of PSS (each shared page counts once, divided among its processes) over the command and all processes that
it started, including Ray's daemons. These are found as descendants of the command, or, if one has left its parent, by an environment
variable that it inherited.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.common import last_line, machine, show
from tests.faults.processes import MARK, members

CHECKOUT = Path(__file__).parents[1]
PAUSE_S = 2.0
"""seconds between two readings of the memory; each takes about 0.1 s of a core"""


def main(
    seeds: Annotated[int, typer.Option(help="seeds of the pocket grid; 5 is all of it")] = 5,
    seed: Annotated[int, typer.Option(hidden=True, help="a grid's seeds begin with 0")] = 0,
    slots: int = 2,
    only: Annotated[list[str] | None, typer.Option(metavar="AXIS=V,V", help="as platform.grid's")] = None,
) -> None:
    """Measure, print a table, and end with one line of JSON: first_cell_s, total_s, peak_pss_gb."""
    from trainables.storage.store import RunFolder

    machine_info, mark = machine(), uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="grid-") as runs:
        command = [sys.executable, "-m", "platform.grid", "--runs", runs, "--seeds", str(seeds), "--slots", str(slots)]
        for option in only or []:
            command += ["--only", option]
        began = time.time()
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env=os.environ | {MARK: mark}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        output: list[tuple[float, str]] = []
        reader = threading.Thread(target=listen, args=(process, output))
        reader.start()
        peak: Counter[str] = Counter()
        peak_processes = 0
        while process.poll() is None:
            sizes, processes = memory(mark)
            if sizes.total() > peak.total():
                peak, peak_processes = sizes, processes
            time.sleep(PAUSE_S)
        total_s = time.time() - began
        reader.join()
        folder = RunFolder(next(str(path) for path in Path(runs).iterdir()))
        if process.returncode != 0:
            raise SystemExit(f"the grid ended with {process.returncode}: {output[-1][1]}")
        done = len(folder.list_done())
        first_training_s = min(path.stat().st_mtime for path in Path(folder.get_path("cells")).glob("*/cell.json")) - began
        results = [folder.get_result(cell.key) or {} for cell in folder.get_cells()]
    first_cell_s = next(moment for moment, line in output if line.startswith("first epoch")) - began
    training_s = sum(result["seconds"] for result in results)
    remaining = len(members(mark))
    show(f"memory at its peak, {peak_processes} processes", ("what", "PSS GB"), [(name, size / 2**30) for name, size in peak.most_common()])
    figures: dict[str, Any] = {
        "first_training_s": first_training_s,
        "first_cell_s": first_cell_s,
        "total_s": total_s,
        "cells": done,
        "cells_s": done / (total_s - first_cell_s),
        "training_s": training_s,
        "efficiency": training_s / (slots * (total_s - first_training_s)),
        "slots": slots,
        "peak_pss_gb": peak.total() / 2**30,
        "processes_left": remaining,
    }
    descriptions = {
        "first_training_s": "from the command to the first cell in training",
        "first_cell_s": "to the first epoch heard of",
        "total_s": "to the end, report included",
        "cells_s": "cells a second after the first epoch",
        "training_s": "of all cells, in their workers",
        "efficiency": "training_s / (slots x seconds since the first cell began)",
        "peak_pss_gb": "memory of all processes at once, at most",
        "processes_left": "still alive just after the end",
    }
    show(f"{done} cells, {slots} at once", ("figure", "value", "what it is"), [(n, figures[n], text) for n, text in descriptions.items()])
    last_line(figures, machine_info)


def listen(process: subprocess.Popen[str], heard: list[tuple[float, str]]) -> None:
    """Print the grid's standard error, and record each line with its time."""
    for line in process.stderr or []:
        heard.append((time.time(), line.rstrip()))
        print(f"  | {line.rstrip()}", flush=True)


def memory(mark: str) -> tuple[Counter[str], int]:
    """Return the bytes of PSS by process name, and the number of processes."""
    sizes: Counter[str] = Counter()
    for pid, title in (processes := members(mark)).items():
        with suppress(OSError):  # the process has ended
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            sizes[name_of(title)] += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return sizes, len(processes)


def name_of(title: str) -> str:
    """Return a short name for a command line: `ray::Slot` for Ray's `ray::Slot.step`, the script for Python, otherwise the program."""
    if "platform.grid" in title:
        return "the command"
    words = title.split() or ["?"]
    program = Path(words[0]).name
    if not program.startswith("python"):
        return program.split(".")[0]
    return next((Path(word).name for word in words if word.endswith(".py")), program)


if __name__ == "__main__":
    typer.run(main)
