"""Injects faults, drawn from a seed, into a small grid until it has survived them all. Its numbers must then equal an undisturbed grid's.

.venv/bin/python -m benchmarks.faults --seed 1 --faults 40 runs an undisturbed grid and then rounds. A round has a fresh run folder. Faults
are injected into its grid one after another, and the same command is run again after each fault that ends it, until the grid is done. A
round must show the results and all numbers of the undisturbed run, no half-written file, no process left, and no two minutes in which
nothing happens. The kinds of fault are in tests/faults/kinds.py. After an interruption the same command continues with the round that it
was in. The last line is one JSON object.
"""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.common import last_line, machine, show
from tests.faults.kinds import KINDS, mountable
from tests.faults.ordeal import Broken, Ordeal, checkout

ROUND = 5
"""faults that are injected into one run folder"""
SEEDS = 4
"""seeds of a round's grid at first; one more is added whenever the grid is done before a fault is injected"""
DISK_MB = 96
HANG_S = 120.0
"""seconds without a step, a result or an end that count as a hang"""


def main(
    seed: Annotated[int, typer.Option(help="which faults, when, on whom")] = 1,
    faults: Annotated[int, typer.Option(help="how many in all")] = 40,
    only: Annotated[str, typer.Option(metavar="KIND,KIND", help="of these kinds alone")] = "",
    minutes: Annotated[float, typer.Option(help="begin no further round after so long; the same command goes on")] = 1e9,
    place: Annotated[Path, typer.Option(metavar="DIR", help="where it all lies")] = Path("/tmp/faults"),
) -> None:
    """Inject faults, resume, compare, and print a table of the kinds of fault."""
    machine_info, began = machine(), time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs the finally blocks, which undo faults
    place = place / f"seed-{seed}"
    code = checkout(place / "checkout")
    book = place / "faults.jsonl"
    calm = Ordeal(code, place / "calm", seeds=SEEDS + ROUND, patience_s=HANG_S)
    undisturbed(calm)
    mounts = mountable(place / "probe")
    names = [name for name in KINDS if (mounts or not KINDS[name].mounts) and (not only or name in only.split(","))]
    plan = draw(names, faults, seed)
    past = [json.loads(line) for line in book.read_text().splitlines()] if book.exists() else []
    while len(past) < faults and time.monotonic() - began < 60 * minutes:
        kinds, ordeal = plan[len(past) :][:ROUND], Ordeal(code, place / f"round-{len(past)}", seeds=SEEDS, patience_s=HANG_S)
        entries = suffer(ordeal, kinds, len(past), seed, mounts, calm)
        past += entries
        with book.open("a") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in entries)
    report(past, seed, machine_info)


def undisturbed(calm: Ordeal) -> None:
    """Run the undisturbed grid to its end."""
    try:
        calm.until_done()
    finally:
        stop(calm)


def draw(names: list[str], faults: int, seed: int) -> list[str]:
    """Return kinds of fault in random order, each equally often. In a round, the kinds between two runs come last and share a run."""
    chance, plan = random.Random(seed), []
    while len(plan) < faults:
        plan += chance.sample(names, len(names))
    rounds = [sorted(plan[first : first + ROUND], key=lambda name: not KINDS[name].running) for first in range(0, faults, ROUND)]
    return [name for kinds in rounds for name in kinds][:faults]


def suffer(ordeal: Ordeal, plan: list[str], first: int, seed: int, mounts: bool, calm: Ordeal) -> list[dict[str, Any]]:
    """Inject a round's faults into a run folder, and return an entry for each."""
    if ordeal.runs.exists() and not mounts:
        shutil.rmtree(ordeal.runs)
    ordeal.steps.unlink(missing_ok=True)
    ordeal.runs.mkdir(parents=True, exist_ok=True)
    if mounts and not ordeal.runs.is_mount():
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(ordeal.runs)], check=True)
    entries = []
    try:
        for number, name in enumerate(plan, first):
            chance, began, kind = random.Random(f"{seed} {number}"), time.monotonic(), KINDS[name]
            entry: dict[str, Any] = {"kind": name, "note": "", "broken": ""}
            try:
                entry["note"] = befall(ordeal, kind, chance)
            except Broken as error:
                entry["broken"] = str(error)
                print(f"BROKEN by {name}: {error}", flush=True)
                stop(ordeal)
            entry["seconds"] = round(time.monotonic() - began, 1)
            entries.append(entry)
            print(f"{number + 1:4d} {name:24s} {entry['seconds']:6.1f} s  {entry['note']}", flush=True)
        try:
            ordeal.until_done()
            ordeal.whole()
            numbers = ordeal.numbers()
            if ordeal.seeds > calm.seeds:
                calm.seeds = ordeal.seeds
                undisturbed(calm)
            expected = calm.numbers()
            if changed := [key for key in numbers if numbers[key] != expected[key]]:
                raise Broken(f"other numbers: {changed}")
        except Broken as error:
            print(f"BROKEN after {plan}: {error}", flush=True)
            entries[-1]["broken"] += f"; the round: {error}"
            stop(ordeal)
        entries[-1]["repeated"] = ordeal.repeated()
    finally:
        stop(ordeal)
        if mounts:
            subprocess.run(["umount", "--lazy", str(ordeal.runs)], check=True)
    return entries


def befall(ordeal: Ordeal, kind: Any, chance: random.Random) -> str:
    """Inject the fault at a random moment of a training grid, or between two runs. Return what it did."""
    if not kind.running:
        if ordeal.open:
            ordeal.end()
        for _ in range(3):
            if note := kind.inflict(ordeal, chance):
                return str(note)
            ordeal.start()  # so that there is something to harm
            ordeal.end()
        raise Broken("there was nothing to harm after three runs")
    for _ in range(20):
        if ordeal.open and not ordeal.running:
            ordeal.end()
        if not ordeal.open:
            if len(ordeal.folder.list_done()) == len(ordeal.folder.get_cells()) > 0:
                ordeal.seeds += 1  # the grid is done, and the fault needs a running grid
            ordeal.start()
        ordeal.wait(ordeal.training)
        time.sleep(chance.uniform(0, 2.5))
        if ordeal.running and (note := kind.inflict(ordeal, chance)):
            time.sleep(0.5)
            return str(note)
        if ordeal.running:  # the target has died and is restarting, or the command is about to end
            time.sleep(2)
    raise Broken("there was nothing to harm in 20 looks")


def stop(ordeal: Ordeal) -> None:
    """Kill the command if it still runs, and undo the faults, so that the next round can run after a failed one."""
    if ordeal.process and ordeal.running:
        ordeal.process.kill()
        ordeal.process.wait()
    for give_back in reversed(ordeal.undo):
        with suppress(Exception):
            give_back()
    ordeal.undo.clear()
    ordeal.process = None


def report(past: list[dict[str, Any]], seed: int, here: dict[str, Any]) -> None:
    counts, seconds, broken = Counter(e["kind"] for e in past), defaultdict(float), Counter(e["kind"] for e in past if e["broken"])
    for entry in past:
        seconds[entry["kind"]] = max(seconds[entry["kind"]], entry["seconds"])
    rows = [(KINDS[name].what, counts[name], broken[name], seconds[name]) for name in KINDS if counts[name]]
    show(f"{len(past)} faults, seed {seed}", ("fault", "times", "promises broken", "longest s"), rows)
    repeated = [entry["repeated"] for entry in past if "repeated" in entry]
    figures = {
        "faults": len(past),
        "broken": sum(broken.values()),
        "seed": seed,
        "steps_repeated_per_fault": sum(repeated) / max(1, len(past)),
    }
    last_line(figures, here)


if __name__ == "__main__":
    typer.run(main)
