"""Measure the driver's cost per cell with grids of 100, 1,000 and 10,000 cells that train nothing.

.venv/bin/python -m benchmarks.driver [100 1000 10000] copies the checkout. In the copy, a training writes the files of one real result at
once. The benchmark runs `python -m platform.grid` there, runs it again when all cells are done, then runs the report alone. Everything else
is real: Ray, Tune, Train workers, every file of every cell, TensorBoard, the report. CPU time is that of the driver's process with all its
threads. The CPU time of the processes that stay on the head node of a cluster is reported separately.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.common import last_line, machine, pocket_cells, show
from tests.faults.processes import driver_of

CHECKOUT = Path(__file__).parents[1]
COPIED = ("platform", "search_spaces", "trainables")
CONDITIONS = 28
"""of the pocket study: the number of cells per seed"""
PAUSE_S = 0.5
SHORT = {"epochs": 1, "per_class": 8, "probe_epochs": 1, "precision": "fp32"}
NOTHING = '''


def iterate_training(cell, folder, report=lambda row: True, context=None, *given, **options):  # type: ignore[no-redef]
    """Writes what one training wrote, under another key."""
    import json
    from pathlib import Path

    with open(Path(__file__).with_name("finished.json")) as file:
        result = json.load(file)
    folder.put_cell(cell)
    row = {"phase": "fit", "epoch": 0, "step": 0, "train/loss": 1.0, "val/accuracy": 0.5, "time": time.time()}
    report(row)
    yield
    shift = (int(cell.key[:8], 16) % 1000) / 1e4
    metrics = {name: value + shift for name, value in result["metrics"].items()}
    given = {"key": cell.key, "axes": cell.axes, "metrics": metrics, "split_hash": f"split {cell.seed}"}
    folder.put_history(cell.key, [row])
    folder.put(Path(__file__).with_name("finished.npz").read_bytes(), "cells", cell.key, "predictions.npz")
    folder.put_result(cell.key, result | given | {"provenance": result["provenance"] | (context or {})})
'''


def main(cells: Annotated[list[int] | None, typer.Argument(help="how many, one run each")] = None, slots: int = 2) -> None:
    """Measure, print a table, end with one line of JSON."""
    from trainables.loop import train_cell
    from trainables.storage.store import RunFolder

    host, figures, rows = machine(), {}, []
    with tempfile.TemporaryDirectory(prefix="driver-") as scratch:
        copy = Path(scratch, "checkout")
        for name in COPIED:
            shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        (cell,) = pocket_cells(1, only={"method": "SL(c)", "split": ".5", "ratio": "1"}, settings=SHORT)
        real = RunFolder(f"{scratch}/real")
        train_cell(cell, real)
        (copy / "trainables" / "finished.json").write_text(json.dumps(real.get_result(cell.key)))
        (copy / "trainables" / "finished.npz").write_bytes(real.get("cells", cell.key, "predictions.npz") or b"")
        loop = copy / "trainables" / "loop.py"
        assert "def iterate_training(" in loop.read_text(), "what is replaced has another name"
        with loop.open("a") as file:
            file.write(NOTHING)
        for number in cells or [100, 1000, 10_000]:
            figures[str(number)] = measured = measure(copy, f"{scratch}/{number}", number, slots)
            rows.append(tuple(measured.values()))
            show(f"{number} cells", tuple(measured), [tuple(measured.values())])
    show("the driver", tuple(next(iter(figures.values()))), rows)
    first, last = (figures[name] for name in (min(figures, key=int), max(figures, key=int)))
    extra = last["cells"] - first["cells"]
    if extra:
        figures["kb_a_cell"] = (last["driver_mb"] - first["driver_mb"]) * 1024 / extra
        print(f"\n  memory beyond the smallest grid's: {figures['kb_a_cell']:.1f} KB a cell")
    last_line(figures, host)


def measure(checkout: Path, runs: str, number: int, slots: int) -> dict[str, Any]:
    """Run one grid of about `number` cells, resume it, write its report, and return the measured times and memory."""
    seeds = max(1, round(number / CONDITIONS))
    grid = [sys.executable, "-m", "platform.grid", "--seeds", str(seeds), "--slots", str(slots), "--runs", runs, "--set", "precision=fp32"]
    run = watched(grid, checkout)
    began, lines = run["began"], run["heard"]
    first = next(moment for moment, line in lines if line.startswith("first epoch"))
    last = max(moment for moment, line in lines if "trainings done" in line)
    cells = seeds * CONDITIONS
    cpu_at = {moment: sample for moment, sample in run["samples"]}

    def cpu(moment: float) -> float:
        return cpu_at[min(cpu_at, key=lambda other: abs(other - moment))]

    resumed = watched(grid, checkout)
    folder = next(Path(runs).iterdir())
    report = watched([sys.executable, "-m", "platform.report", str(folder)], checkout)
    helpers = {
        name: seconds / cells * 1000 for name, seconds in run["others"].items() if name in ("Dispatcher", "Slot", "gcs_server", "raylet")
    }
    return {
        "cells": cells,
        "start_s": first - began,
        "train_s": last - first,
        "driver_ms_a_cell": (cpu(last) - cpu(first)) / cells * 1000,
        **{f"{name}_ms": helpers.get(name, 0.0) for name in ("Slot", "Dispatcher", "gcs_server", "raylet")},
        "driver_mb": run["memory"],
        "draw_s": run["ended"] - last,
        "resume_s": resumed["ended"] - resumed["began"],
        "of_it_report_s": report["ended"] - report["began"],
    }


def watched(command: list[str], folder: Path) -> dict[str, Any]:
    """Run a command. Return its output lines with their times, CPU seconds of its driver over time and of the driver's descendants, and the
    driver's peak memory in MB."""
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"}
    began = time.time()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines: list[tuple[float, str]] = []
    reader = threading.Thread(target=lambda: lines.extend((time.time(), line.rstrip()) for line in process.stderr or []))
    reader.start()
    samples: list[tuple[float, float]] = [(began, 0.0)]
    others: dict[str, dict[int, float]] = defaultdict(dict)
    memory = 0.0
    while process.poll() is None:
        with suppress(OSError, StopIteration):
            driver = driver_of(process.pid)
            samples.append((time.time(), seconds_of(driver)))
            status = Path(f"/proc/{driver}/status").read_text()
            memory = max(memory, int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024)
        for pid, name in started_by(driver_of(process.pid)):
            with suppress(OSError):
                others[name][pid] = seconds_of(pid)
        time.sleep(PAUSE_S)
    reader.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {lines[-1:]}")
    spent = {name: sum(by_pid.values()) for name, by_pid in others.items()}
    return {"began": began, "ended": time.time(), "heard": lines, "samples": samples, "others": spent, "memory": memory}


def seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def started_by(pid: int) -> Iterator[tuple[int, str]]:
    """Yield the PIDs of all descendants with short names: the actor class or the program."""
    children: dict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            children[int((path / "stat").read_text().rpartition(")")[2].split()[1])].append(int(path.name))
    pending = list(children[pid])
    while pending:
        child = pending.pop()
        pending += children[child]
        with suppress(OSError):
            title = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            actor = title.removeprefix("ray::").split(".")[0].split()
            yield child, actor[0] if title.startswith("ray::") and actor else Path(title.split()[0]).name if title.strip() else "?"


if __name__ == "__main__":
    typer.run(main)
