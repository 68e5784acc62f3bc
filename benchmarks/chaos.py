"""Processes of a command are killed at random milliseconds, again and again: does each command end as the README promises?

.venv/bin/python -m benchmarks.chaos --kills 200 kills 200 times per kind: the command, its driver, Ray's daemons and actors with SIGKILL,
the command with SIGTERM, SIGINT and SIGHUP. The moments are drawn by --seed, spread evenly over a command's life, from start to
exit. The same run folder is continued after each kill. Counted: exit code, last line, what is alive 20 s after the end, and, at the end of
each kind, whether all numbers are those of trainings in one process without Ray. Interrupted, the same command goes on: a kill is a line
of kills.jsonl. The last line is one JSON object.
"""

import json
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.common import last_line, machine, show
from tests.faults.kills import KILLS, draw_moments, kill_at, measure_length
from tests.faults.ordeal import Broken, Ordeal, checkout

STAGES = ("start", "first cell", "between cells", "report", "exit")
LENGTHS = 3
"""undisturbed commands whose median length is what moments are drawn from"""


def main(
    kills: Annotated[int, typer.Option(help="kills of each kind")] = 200,
    seed: Annotated[int, typer.Option(help="which moments")] = 1,
    only: Annotated[str, typer.Option(metavar="KIND,KIND", help="of these kinds alone")] = "",
    minutes: Annotated[float, typer.Option(help="begin no further kill after so long; the same command goes on")] = 1e9,
    place: Annotated[Path, typer.Option(metavar="DIR", help="where it all lies")] = Path("/tmp/chaos"),
) -> None:
    """Kill, look at the end, continue; print a table of kinds and stages."""
    here, until = machine(), time.monotonic() + 60 * minutes
    place = place / f"seed-{seed}"
    code = checkout(place / "checkout")
    journal = place / "kills.jsonl"
    past = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    names = [name for name in KILLS if not only or name in only.split(",")]
    length = find_length(place, code)
    moments = {name: draw_moments(name, kills, length, seed) for name in names}
    known = {(entry["kind"], entry["number"]) for entry in past}
    left = [(number, name) for number in range(kills) for name in names if (name, number) not in known]
    for number, name in left:  # kinds in turn: an interrupted benchmark has figures of each
        if time.monotonic() > until:
            break
        past.append(kill_once(open_ordeal(code, place / name.replace(" ", "-")), name, number, moments[name][number]))
        with journal.open("a") as file:
            file.write(json.dumps(past[-1]) + "\n")
    for name in {entry["kind"] for entry in past}:
        check_numbers(open_ordeal(code, place / name.replace(" ", "-")), name, place)
    report(past, here)


def open_ordeal(code: Path, runs: Path) -> Ordeal:
    ordeal = Ordeal(code, runs, seeds=0, slots=1, arms=("well",))
    ordeal.seeds = len(ordeal.folder.get_cells()) if ordeal.folder.files.exists(ordeal.folder.get_path("grid.json")) else 0
    return ordeal


def find_length(place: Path, code: Path) -> float:
    """Milliseconds of an undisturbed command; measured once, kept with the kills, which depend on it."""
    file = place / "length.json"
    if not file.exists():
        ordeal = open_ordeal(code, place / "undisturbed")
        measure_length(ordeal)  # it decodes the data, which the others find decoded
        file.write_text(json.dumps(statistics.median(measure_length(ordeal) for _ in range(LENGTHS))))
    return float(json.loads(file.read_text()))


def kill_once(ordeal: Ordeal, name: str, number: int, moment: float) -> dict[str, Any]:
    """Kill at that moment, or earlier where the command is over by then."""
    while (outcome := kill_at(ordeal, name, moment)) is None:
        moment *= 0.9
    entry = {"number": number} | outcome._asdict()
    if outcome.broken:
        print(f"BROKEN: {outcome.broken}", flush=True)
    stage = f"{outcome.milliseconds / 1000:6.2f} s, {outcome.stage}"
    print(f"{name:20s} {number + 1:4d}  at {stage:22s} exit {outcome.code:4d}  {outcome.last_line[:90]}", flush=True)
    return entry


def check_numbers(ordeal: Ordeal, name: str, place: Path) -> None:
    """All cells done, and their numbers those of trainings without Ray. Raises Broken."""
    ordeal.until_done()
    ordeal.whole()
    alone = ordeal.alone(place / "alone", seeds=3).numbers()
    found = ordeal.numbers()
    if changed := [key for key in alone if found[key] != alone[key]]:
        raise Broken(f"{name}: other numbers: {changed}")


def report(past: list[dict[str, Any]], here: dict[str, Any]) -> None:
    rows = []
    for name in KILLS:
        mine = [entry for entry in past if entry["kind"] == name]
        if mine:
            stages = Counter(entry["stage"] for entry in mine)
            longest = max(entry["seconds_to_end"] for entry in mine), max(entry["seconds_to_gone"] for entry in mine)
            rows.append((name, len(mine), sum(bool(entry["broken"]) for entry in mine), *longest, *(stages[stage] for stage in STAGES)))
    show(f"{len(past)} kills", ("kill", "times", "promises broken", "longest s to the end", "longest s to all gone", *STAGES), rows)
    last_line({"kills": len(past), "broken": sum(bool(entry["broken"]) for entry in past)}, here)


if __name__ == "__main__":
    typer.run(main)
