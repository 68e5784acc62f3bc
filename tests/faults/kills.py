"""Kill a process of a command at a given millisecond of the command's life, and check the README's promises about the end."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.faults import processes
from tests.faults.ordeal import GOES_ON, Broken, Ordeal

GONE_S = 20.0
"""seconds after its end from which on a command leaves no process behind, on an otherwise idle machine"""
TIMES = 5
"""kills of each kind in a test"""
SEED = 17
IDLE_MS = 20_000.0
"""a command that takes longer than this runs on a busy machine, and its processes get more time to end"""


class Kill(NamedTuple):
    target: str
    """`command`: the process that a user started; `driver`: its child, which does the work; otherwise a key of processes.ROLES"""
    number: signal.Signals
    survived: bool = False
    """whether the command continues to its end"""


KILLS = {f"{target} {signal.SIGKILL.name}": Kill(target, signal.SIGKILL) for target in ("command", "driver", "raylet", "gcs", "dispatcher")}
KILLS |= {f"command {number.name}": Kill("command", number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
KILLS |= {f"{role} {signal.SIGKILL.name}": Kill(role, signal.SIGKILL, survived=True) for role in ("worker", "slot", "controller")}


class Outcome(NamedTuple):
    kind: str
    milliseconds: int
    """time of the kill after the command's start"""
    stage: str
    """start, first cell, between cells, report, exit"""
    code: int
    last_line: str
    seconds_to_end: float
    seconds_to_gone: float
    broken: str
    """the broken promise; empty if there is none"""


def kill_at(ordeal: Ordeal, name: str, milliseconds: float, gone_s: float = GONE_S) -> Outcome | None:
    """Start the command, kill at this moment or once the target exists, and wait for the end. Return None if the command ended before."""
    before = read_results(ordeal)
    begin(ordeal)
    kill = KILLS[name]
    started = time.monotonic()
    pid = wait_for_target(ordeal, kill.target, lambda: time.monotonic() - started >= milliseconds / 1000)
    if not pid:
        finish(ordeal)
        return None
    stage, after = find_stage(ordeal, len(before)), time.monotonic() - started
    if not processes.kill(pid, kill.number):
        finish(ordeal)
        return None
    killed = time.monotonic()
    code, output, left, seconds = finish(ordeal, gone_s)
    last = (output.strip().splitlines() or [""])[-1]
    broken = find_broken(kill, code, output, left) or find_lost(before, ordeal)
    return Outcome(name, round(1000 * after), stage, code, last, round(time.monotonic() - killed - seconds, 1), round(seconds, 1), broken)


def kill_in_life(ordeal: Ordeal, name: str, length_ms: float) -> list[Outcome]:
    """Make TIMES kills at seeded moments of a command of this length. Return the outcomes that broke a promise."""
    broken = []
    for moment in draw_moments(name, TIMES, length_ms, SEED):
        while (outcome := kill_at(ordeal, name, moment, find_patience(length_ms))) is None:  # the command ended before
            moment *= 0.8
        broken += [outcome] if outcome.broken else []
    return broken


def begin(ordeal: Ordeal) -> None:
    """Start the command with at least two cells to train."""
    missing = ordeal.seeds * len(ordeal.arms) - len(ordeal.folder.list_done())
    ordeal.seeds += max(0, 2 - missing)
    ordeal.start()


def wait_for_target(ordeal: Ordeal, target: str, due: Callable[[], bool]) -> int:
    """Wait until the kill is due and the target exists. Return the target's pid; 0 if the command ended before."""
    assert ordeal.process
    while ordeal.running:
        if not due():
            time.sleep(0.001)
            continue
        if target == "command":
            return ordeal.process.pid
        pids = [processes.driver_of(ordeal.process.pid)] if target == "driver" else processes.of_role(ordeal.mark, target)
        if pids and pids[0]:
            return pids[0]
        time.sleep(0.02)  # a scan of all processes takes milliseconds of processor time
    return 0


def find_stage(ordeal: Ordeal, done_before: int) -> str:
    with open(ordeal.output.name) as output:
        text = output.read()
    done = len(ordeal.folder.list_done()) - done_before
    if "curves: " in text:
        return "exit"
    if done >= 2:
        return "report"
    if done:
        return "between cells"
    return "first cell" if ordeal.training() else "start"


def finish(ordeal: Ordeal, gone_s: float = GONE_S) -> tuple[int, str, dict[int, str], float]:
    """Wait for the end. Return exit code, output, processes alive `gone_s` after it, and seconds until none was. Broken if it hangs."""
    assert ordeal.process
    until = time.monotonic() + ordeal.patience_s
    while ordeal.running:
        if time.monotonic() > until:
            raise Broken(f"no end within {ordeal.patience_s:.0f} s: {ordeal.stacks()}")
        time.sleep(0.01)
    ordeal.code, ended = ordeal.process.wait(), time.monotonic()
    left = processes.gone(ordeal.mark, gone_s)
    seconds = time.monotonic() - ended
    ordeal.output.seek(0)
    ordeal.said = ordeal.output.read()
    ordeal.output.close()
    return ordeal.code, ordeal.said, left, seconds


def find_broken(kill: Kill, code: int, output: str, left: dict[int, str]) -> str:
    """Return the promise about the end that a command broke, or "". A command killed after its work was done ends as if undisturbed."""
    last = (output.strip().splitlines() or [""])[-1]
    if "Traceback" in output:
        return f"a traceback: {output[-3000:]}"
    if left:
        return f"still alive: {left}"
    if code == 0 and last.startswith("curves: "):
        return ""
    if kill.survived:
        return f"exit {code} though the command should go on: {output[-1000:]}"
    if kill.number != signal.SIGKILL:
        as_promised = code == 130 and last.startswith(("stopped", "ended at once"))
    elif kill.target == "command":
        as_promised = code == -signal.SIGKILL
    else:
        begun = "trainings to do" in output
        known = any(word in last for word in (" died", " was killed", "Ray ended", "Ray does not start"))
        as_promised = code == 2 and known and (GOES_ON in last or not begun)
    return "" if as_promised else f"exit {code}, last line {last!r}"


def read_results(ordeal: Ordeal) -> dict[str, bytes | None]:
    """Return the contents of the finished results in the run folder, by key."""
    return {key: ordeal.folder.get("cells", key, "result.json") for key in ordeal.folder.list_done()}


def find_lost(before: dict[str, bytes | None], ordeal: Ordeal) -> str:
    lost = [key for key, content in before.items() if ordeal.folder.get("cells", key, "result.json") != content]
    return f"finished results were lost or written again: {lost}" if lost else ""


def draw_moments(name: str, kills: int, length_ms: float, seed: int) -> list[float]:
    """Return `kills` moments in a command of this length, one in each equal part of it, in random order."""
    rng = random.Random(f"{seed} {name}")
    moments = [(part + rng.random()) / kills * length_ms for part in range(kills)]
    rng.shuffle(moments)
    return moments


def measure_length(ordeal: Ordeal) -> float:
    """Return the milliseconds of an undisturbed command that has two cells to train."""
    began = time.monotonic()
    begin(ordeal)
    code, output, left, seconds = finish(ordeal, ordeal.patience_s)
    if code or left:
        raise Broken(f"undisturbed: exit {code}: {output}")
    return 1000 * (time.monotonic() - began - seconds)


def find_patience(length_ms: float) -> float:
    """Return the seconds after which no process of a command is left, for commands of this length."""
    return GONE_S if length_ms <= IDLE_MS else 3 * GONE_S * length_ms / IDLE_MS


def kill_in_turn(ordeal: Ordeal, name: str, kills: int, seed: int, gone_s: float = GONE_S) -> str:
    """Kill `kills` processes of a role, one after another, in one command that survives it. Return the broken promise, or "".

    A cell must finish between two kills, because the third death of a worker in the same cell makes that cell fail.
    """
    rng, kill, before = random.Random(f"{seed} {name}"), KILLS[name], read_results(ordeal)
    ordeal.seeds = len(ordeal.folder.list_done()) + kills + 1
    ordeal.start()
    for _ in range(kills):
        done, pause = len(ordeal.folder.list_done()), rng.uniform(0, 1.5)
        if not ordeal.wait(ordeal.training):
            break
        time.sleep(pause)
        pid = wait_for_target(ordeal, kill.target, lambda: True)
        if not pid or not processes.kill(pid, kill.number):
            break
        leave_half_written(ordeal)
        ordeal.began = time.time()  # then `ordeal.training` waits for a step after the kill
        ordeal.wait(lambda done=done: len(ordeal.folder.list_done()) > done)  # type: ignore[misc]
    code, output, left, _ = finish(ordeal, gone_s)
    half_written = [str(path) for path in Path(ordeal.folder.root).rglob("*.aside")]
    broken = find_broken(kill, code, output, left) or find_lost(before, ordeal)
    return broken or (f"half-written files are left: {half_written}" if half_written else "")


def leave_half_written(ordeal: Ordeal) -> None:
    """Leave the files of a worker that is killed while it writes. A kill at a random moment seldom interrupts a write."""
    for folder in Path(ordeal.folder.get_path("cells")).iterdir():
        (folder / "checkpoint.pt.0badcafe.aside").write_bytes(b"PK")
