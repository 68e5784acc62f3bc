"""Kinds of fault, one function each. A fault happens while a grid runs, or between two runs of the same command.

A function takes the ordeal and a random number generator, causes the fault, and returns a description, or "" if there was nothing to
harm. What must be restored before the next run (disk space, a mount) is appended to `ordeal.undo`.
"""

import os
import random
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.faults import processes
from tests.faults.ordeal import GOES_ON, WELL, Broken, Ordeal

Inflict = Callable[[Ordeal, random.Random], str]
LAST_LINE = "curves: tensorboard"
"""beginning of a command's last line if all went well; the run folder is free then, but the process has not ended yet"""


class Kind(NamedTuple):
    what: str
    running: bool
    """whether the fault happens while a grid runs; otherwise it happens between two runs"""
    inflict: Inflict
    mounts: bool = False
    """whether it needs root, and a separate file system under the run folder"""


KINDS: dict[str, Kind] = {}


def kind(what: str, running: bool = True, mounts: bool = False) -> Callable[[Inflict], Inflict]:
    """Decorator: register the function under its name."""

    def register(inflict: Inflict) -> Inflict:
        KINDS[inflict.__name__] = Kind(what, running, inflict, mounts)
        return inflict

    return register


def mountable(place: Path) -> bool:
    """Return whether file systems may be mounted at `place`."""
    if os.geteuid() != 0:
        return False
    place.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    return mounted.returncode == 0 and subprocess.run(["umount", str(place)], capture_output=True).returncode == 0


# deaths of processes
@kind("SIGKILL of the command")
def driver_killed(ordeal: Ordeal, chance: random.Random) -> str:
    assert ordeal.process
    ordeal.killed = True
    return "killed" if processes.kill(ordeal.process.pid) else ""


def _role_killed(role: str) -> None:
    @kind(f"SIGKILL of a {role}")
    def killed(ordeal: Ordeal, chance: random.Random) -> str:
        pids = processes.of_role(ordeal.mark, role)
        return f"{role} {len(pids)} of them" if pids and processes.kill(chance.choice(pids)) else ""

    KINDS[f"{role}_killed"] = KINDS.pop("killed")


for _role in processes.ROLES:
    _role_killed(_role)


@kind("SIGSTOP of a worker for 5 to 15 s, then SIGCONT")
def worker_frozen(ordeal: Ordeal, chance: random.Random) -> str:
    pids = processes.of_role(ordeal.mark, "worker")
    if not pids:
        return ""
    pid, seconds = chance.choice(pids), chance.uniform(5, 15)
    processes.kill(pid, signal.SIGSTOP)
    thaw = threading.Timer(seconds, processes.kill, (pid, signal.SIGCONT))
    thaw.start()
    ordeal.undo.append(lambda: (thaw.cancel(), processes.kill(pid, signal.SIGCONT)))
    return f"{seconds:.0f} s"


@kind("a worker gets no more memory")
def worker_starved(ordeal: Ordeal, chance: random.Random) -> str:
    pids = processes.of_role(ordeal.mark, "worker")
    if not pids:
        return ""
    pid = chance.choice(pids)
    with suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize(), -1))
        return "capped"
    return ""


# interruptions by the user
@kind("Ctrl-C")
def interrupted(ordeal: Ordeal, chance: random.Random) -> str:
    return _interrupt(ordeal, signal.SIGINT, 30.0)


@kind("SIGTERM")
def terminated(ordeal: Ordeal, chance: random.Random) -> str:
    return _interrupt(ordeal, signal.SIGTERM, 30.0)


@kind("Ctrl-C twice")
def interrupted_twice(ordeal: Ordeal, chance: random.Random) -> str:
    assert ordeal.process
    processes.kill(ordeal.process.pid, signal.SIGINT)
    time.sleep(chance.uniform(0.2, 1.5))
    return _interrupt(ordeal, signal.SIGINT, 6.0)


def _interrupt(ordeal: Ordeal, number: signal.Signals, within: float) -> str:
    """Send the signal and wait for the end. `within` is twice the promised seconds, because the machine may be busy."""
    assert ordeal.process
    began = time.monotonic()
    processes.kill(ordeal.process.pid, number)
    with suppress(subprocess.TimeoutExpired):
        ordeal.process.wait(90)
    seconds = time.monotonic() - began
    if ordeal.running or seconds > within:
        raise Broken(f"{number.name}: {seconds:.1f} s until it left, more than {within:.0f}: {ordeal.stacks()}")
    return f"left after {seconds:.1f} s"


@kind("a second command on the same run folder")
def second_driver(ordeal: Ordeal, chance: random.Random) -> str:
    second = Ordeal(ordeal.checkout, ordeal.runs, ordeal.seeds, ordeal.slots, ordeal.arms)
    second.start(output="second")
    assert second.process and ordeal.process
    code = second.process.wait(ordeal.patience_s)
    second.output.seek(0)
    output = second.output.read()
    if code == 2 and f"process {ordeal.process.pid} on " in output and "Traceback" not in output:
        return "refused"
    if not ordeal.running or LAST_LINE in Path(ordeal.output.name).read_text():
        return ""  # the first command had already released the folder
    raise Broken(f"the second command was not refused: exit {code}, {output}")


# faults of the disk
@kind("the disk is full", mounts=True)
def disk_full(ordeal: Ordeal, chance: random.Random) -> str:
    ballast = ordeal.runs / "ballast"
    ordeal.undo.append(lambda: ballast.unlink(missing_ok=True))
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return f"with {ballast.stat().st_size >> 20} MB of ballast"


@kind("the cells' folder becomes read-only", mounts=True)
def read_only(ordeal: Ordeal, chance: random.Random) -> str:
    cells = ordeal.folder.get_path("cells")
    if not os.path.isdir(cells):
        return ""
    subprocess.run(["mount", "--bind", cells, cells], check=True)
    ordeal.undo.append(lambda: subprocess.run(["umount", "--lazy", cells], check=True) and None)
    subprocess.run(["mount", "-o", "remount,bind,ro", cells], check=True)
    return "mounted so"


@kind("the command starts on a read-only run folder", running=False, mounts=True)
def read_only_start(ordeal: Ordeal, chance: random.Random) -> str:
    subprocess.run(["mount", "-o", "remount,ro", str(ordeal.runs)], check=True)
    try:
        ordeal.start()
        code = ordeal.end()
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(ordeal.runs)], check=True)
    if code != 2 or "(read-only file system); nothing was started" not in ordeal.said:
        raise Broken(f"exit {code}: {ordeal.said}")
    return "refused"


# lost and damaged files
def _file_harmed(stem: str, files: Callable[[Ordeal], list[Path]]) -> None:
    def pick(ordeal: Ordeal, chance: random.Random) -> Path | None:
        existing = [path for path in files(ordeal) if path.exists()]
        return chance.choice(existing) if existing else None

    @kind(f"a {stem} is deleted", running=False)
    def deleted(ordeal: Ordeal, chance: random.Random) -> str:
        if (path := pick(ordeal, chance)) is None:
            return ""
        path.unlink()
        return "deleted"

    @kind(f"a {stem} is cut off", running=False)
    def truncated(ordeal: Ordeal, chance: random.Random) -> str:
        if (path := pick(ordeal, chance)) is None:
            return ""
        content = path.read_bytes()
        length = chance.randrange(len(content)) if content else 0
        path.write_bytes(content[:length])
        return f"to {length} of {len(content)} bytes"

    @kind(f"a {stem} is overwritten with noise", running=False)
    def spoilt(ordeal: Ordeal, chance: random.Random) -> str:
        if (path := pick(ordeal, chance)) is None:
            return ""
        content = bytearray(path.read_bytes())
        for _ in range(min(64, len(content))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        return f"64 of {len(content)} bytes"

    for harm in (deleted, truncated, spoilt):
        KINDS[f"{stem}_{harm.__name__}"] = KINDS.pop(harm.__name__)


def _of_cells(name: str) -> Callable[[Ordeal], list[Path]]:
    return lambda ordeal: [
        Path(ordeal.folder.get_path("cells", cell.key, name)) for cell in ordeal.folder.get_cells() if cell.axes["method"] in WELL
    ]


for _name in ("checkpoint.pt", "history.jsonl", "result.json", "predictions.npz"):
    _file_harmed(_name.partition(".")[0], _of_cells(_name))
_file_harmed("cache", lambda ordeal: sorted(path for path in ordeal.cache.glob("*.*")))


# cells that always fail
ILL = {
    "segfault": ("died 3 times", "Segmentation fault"),
    "hang": ("died 3 times", "Timeout ("),
    "nan": ("the loss of phase fit is nan in epoch 1", ""),
    "memory": ("died 3 times", "memory"),
}
"""by failure: a part of the cell's error message, and a part of its worker's last output"""


def _cell_ill(illness: str) -> None:
    @kind(f"a cell that always falls to: {illness}", running=False)
    def ill(ordeal: Ordeal, chance: random.Random) -> str:
        arms, hang_s = ordeal.arms, ordeal.hang_s
        ordeal.arms, ordeal.hang_s = (*arms, illness), HANG_S
        try:
            ordeal.start()
            code = ordeal.end()
            error = check_ill(ordeal, illness)
        finally:
            ordeal.arms, ordeal.hang_s = arms, hang_s
        if code != 1:
            raise Broken(f"exit {code} with an ill cell: {ordeal.said}")
        return error[:80]

    KINDS[f"cell_{illness}"] = KINDS.pop("ill")


HANG_S = 25.0


def check_ill(ordeal: Ordeal, illness: str) -> str:
    """Check that the failing arm's seed 0 failed for its reason and that its other seeds are done. Return the reason."""
    reason, words = ILL[illness]
    for cell in ordeal.folder.get_cells():
        if cell.axes["method"] != illness:
            continue
        error, result = ordeal.folder.get_error(cell.key), ordeal.folder.get_result(cell.key)
        if cell.seed and not result:
            raise Broken(f"{cell.name} died with its neighbour: {error}")
        if cell.seed == 0:
            text = "" if not error else f"{error['reason']} {error.get('words', '')} {error.get('traceback', '')}"
            if result or reason not in text or words not in text:
                raise Broken(f"{cell.name}: {error}")
            failure = str(error["reason"]) if error else ""
    return failure


for _illness in ILL:
    _cell_ill(_illness)

__all__ = ["GOES_ON", "ILL", "KINDS", "Kind", "check_ill", "mountable"]
