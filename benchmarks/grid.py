"""A grid as a person runs it: seconds until the first epoch, seconds in all, and the memory of every process it started.

.venv/bin/python -m benchmarks.grid [--seeds N] [--slots N] starts `python -m platform.grid` on the pocket study in a run folder of its
own and watches. Memory is the sum of PSS (shared pages counted once, in shares) over the command and whatever it started, Ray's
daemons included: they are found as its descendants, or, should one have left its parent, by a variable of the environment it inherited.
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
"""between two looks at the memory: each takes some 0.1 s of a core"""


def main(
    seeds: Annotated[int, typer.Option(help="seeds of the pocket grid; 5 is all of it")] = 5,
    seed: Annotated[int, typer.Option(hidden=True, help="a grid's seeds begin with 0")] = 0,
    slots: int = 2,
    only: Annotated[list[str] | None, typer.Option(metavar="AXIS=V,V", help="as platform.grid's")] = None,
) -> None:
    """Measure, print a table, end with one line of JSON: first_cell_s, total_s, peak_pss_gb."""
    from trainables.storage.store import RunFolder

    here, mark = machine(), uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="grid-") as runs:
        command = [sys.executable, "-m", "platform.grid", "--runs", runs, "--seeds", str(seeds), "--slots", str(slots)]
        for option in only or []:
            command += ["--only", option]
        began = time.time()
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env=os.environ | {MARK: mark}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        heard: list[tuple[float, str]] = []
        reader = threading.Thread(target=listen, args=(process, heard))
        reader.start()
        peak: Counter[str] = Counter()
        most = 0
        while process.poll() is None:
            now, processes = memory(mark)
            if now.total() > peak.total():
                peak, most = now, processes
            time.sleep(PAUSE_S)
        total_s = time.time() - began
        reader.join()
        folder = RunFolder(next(str(path) for path in Path(runs).iterdir()))
        if process.returncode != 0:
            raise SystemExit(f"the grid ended with {process.returncode}: {heard[-1][1]}")
        done = len(folder.list_done())
        first_training_s = min(path.stat().st_mtime for path in Path(folder.get_path("cells")).glob("*/cell.json")) - began
        results = [folder.get_result(cell.key) or {} for cell in folder.get_cells()]
    first_cell_s = next(moment for moment, line in heard if line.startswith("first epoch")) - began
    training_s = sum(result["seconds"] for result in results)
    left = len(members(mark))
    show(f"memory at its peak, {most} processes", ("what", "PSS GB"), [(name, size / 2**30) for name, size in peak.most_common()])
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
        "processes_left": left,
    }
    explained = {
        "first_training_s": "from the command to the first cell in training",
        "first_cell_s": "to the first epoch heard of",
        "total_s": "to the end, report included",
        "cells_s": "cells a second after the first epoch",
        "training_s": "of all cells, in their workers",
        "efficiency": "training_s / (slots x seconds since the first cell began)",
        "peak_pss_gb": "memory of all processes at once, at most",
        "processes_left": "still alive just after the end",
    }
    show(f"{done} cells, {slots} at once", ("figure", "value", "what it is"), [(n, figures[n], text) for n, text in explained.items()])
    last_line(figures, here)


def listen(process: subprocess.Popen[str], heard: list[tuple[float, str]]) -> None:
    """Pass on what the grid says, with the moment it was said."""
    for line in process.stderr or []:
        heard.append((time.time(), line.rstrip()))
        print(f"  | {line.rstrip()}", flush=True)


def memory(mark: str) -> tuple[Counter[str], int]:
    """Bytes of PSS by the name of the process, and how many there are."""
    sizes: Counter[str] = Counter()
    for pid, title in (family := members(mark)).items():
        with suppress(OSError):  # it has gone
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            sizes[name_of(title)] += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return sizes, len(family)


def name_of(title: str) -> str:
    """A short name for a command line: `ray::Slot` of Ray's `ray::Slot.step`, else the script that Python runs, else the program."""
    if "platform.grid" in title:
        return "the command"
    words = title.split() or ["?"]
    program = Path(words[0]).name
    if not program.startswith("python"):
        return program.split(".")[0]
    return next((Path(word).name for word in words if word.endswith(".py")), program)


if __name__ == "__main__":
    typer.run(main)
