"""Kill the processes of a command at random moments, again and again. Check whether each command ends as the README promises.

.venv/bin/python -m benchmarks.chaos --kills 200 makes 200 kills of each kind. The command, its driver, and Ray's daemons and actors get
SIGKILL; the command also gets SIGTERM, SIGINT and SIGHUP. --seed determines the moments, which are spread evenly over a command's life,
from start to exit. After each kill of a kind, the next command resumes the same run folder. Each kill is checked by exit code, last line,
and the processes alive 20 s after the end. After all kills, each kind's numbers are compared with those of trainings in one process
without Ray. If the benchmark is interrupted, the same command resumes it: each kill is a line of kills.jsonl. The last line is one JSON
object.
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
"""number of undisturbed commands; their median length is the range from which moments are drawn"""


def main(
    kills: Annotated[int, typer.Option(help="kills of each kind")] = 200,
    seed: Annotated[int, typer.Option(help="which moments")] = 1,
    only: Annotated[str, typer.Option(metavar="KIND,KIND", help="of these kinds alone")] = "",
    minutes: Annotated[float, typer.Option(help="begin no further kill after so long; the same command goes on")] = 1e9,
    place: Annotated[Path, typer.Option(metavar="DIR", help="where it all lies")] = Path("/tmp/chaos"),
) -> None:
    """Kill, check the end, continue; print a table of kinds and stages."""
    machine_info, until = machine(), time.monotonic() + 60 * minutes
    place = place / f"seed-{seed}"
    code = checkout(place / "checkout")
    journal = place / "kills.jsonl"
    past = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    names = [name for name in KILLS if not only or name in only.split(",")]
    length = find_length(place, code)
    moments = {name: draw_moments(name, kills, length, seed) for name in names}
    known = {(entry["kind"], entry["number"]) for entry in past}
    left = [(number, name) for number in range(kills) for name in names if (name, number) not in known]
    for number, name in left:  # kinds alternate, so that an interrupted benchmark has figures of each
        if time.monotonic() > until:
            break
        past.append(kill_once(open_ordeal(code, place / name.replace(" ", "-")), name, number, moments[name][number]))
        with journal.open("a") as file:
            file.write(json.dumps(past[-1]) + "\n")
    for name in {entry["kind"] for entry in past}:
        check_numbers(open_ordeal(code, place / name.replace(" ", "-")), name, place)
    report(past, machine_info)


def open_ordeal(code: Path, runs: Path) -> Ordeal:
    ordeal = Ordeal(code, runs, seeds=0, slots=1, arms=("well",))
    ordeal.seeds = len(ordeal.folder.get_cells()) if ordeal.folder.files.exists(ordeal.folder.get_path("grid.json")) else 0
    return ordeal


def find_length(place: Path, code: Path) -> float:
    """Return the milliseconds of an undisturbed command. They are measured once and stored with the kills, which depend on them."""
    file = place / "length.json"
    if not file.exists():
        ordeal = open_ordeal(code, place / "undisturbed")
        measure_length(ordeal)  # the first command decodes the data; later ones find it decoded
        file.write_text(json.dumps(statistics.median(measure_length(ordeal) for _ in range(LENGTHS))))
    return float(json.loads(file.read_text()))


def kill_once(ordeal: Ordeal, name: str, number: int, moment: float) -> dict[str, Any]:
    """Kill at this moment, or earlier if the command ends before it. Return the line of kills.jsonl."""
    while (outcome := kill_at(ordeal, name, moment)) is None:
        moment *= 0.9
    entry = {"number": number} | outcome._asdict()
    if outcome.broken:
        print(f"BROKEN: {outcome.broken}", flush=True)
    stage = f"{outcome.milliseconds / 1000:6.2f} s, {outcome.stage}"
    print(f"{name:20s} {number + 1:4d}  at {stage:22s} exit {outcome.code:4d}  {outcome.last_line[:90]}", flush=True)
    return entry


def check_numbers(ordeal: Ordeal, name: str, place: Path) -> None:
    """Finish all cells and check that the first seeds' numbers equal those of trainings without Ray. Raises Broken."""
    ordeal.until_done()
    ordeal.whole()
    alone = ordeal.alone(place / "alone", seeds=3).numbers()
    numbers = ordeal.numbers()
    if changed := [key for key in alone if numbers[key] != alone[key]]:
        raise Broken(f"{name}: other numbers: {changed}")


def report(past: list[dict[str, Any]], here: dict[str, Any]) -> None:
    rows = []
    for name in KILLS:
        group = [entry for entry in past if entry["kind"] == name]
        if group:
            stages = Counter(entry["stage"] for entry in group)
            longest = max(entry["seconds_to_end"] for entry in group), max(entry["seconds_to_gone"] for entry in group)
            rows.append((name, len(group), sum(bool(entry["broken"]) for entry in group), *longest, *(stages[stage] for stage in STAGES)))
    show(f"{len(past)} kills", ("kill", "times", "promises broken", "longest s to the end", "longest s to all gone", *STAGES), rows)
    last_line({"kills": len(past), "broken": sum(bool(entry["broken"]) for entry in past)}, here)


if __name__ == "__main__":
    typer.run(main)
