"""The processes of a grid that runs: its command, Ray's daemons, and the actors by what they are."""

import os
import signal
import time
from pathlib import Path

MARK = "ORDEAL_MARK"
ROLES = {
    "slot": "ray::Slot",
    "worker": "ray::RayTrainWorker",
    "controller": "ray::TrainController",
    "synchroniser": "ray::SynchronizationActor",
    "mailbox": "ray::Mailbox",
    "raylet": "/raylet/raylet ",
    "gcs": "/gcs/gcs_server ",
}
"""by how a process' command line tells it"""


def members(mark: str) -> dict[int, str]:
    """Command lines, by their numbers, of all living processes that carry the mark in their environment, and of their descendants.

    Neither is enough: a process that renames itself overwrites its environment, one that detaches has another parent.
    """
    parent, found, lines = {}, set(), {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, above = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            lines[path.name] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if state == "Z":
                continue
            parent[path.name] = above
            if f"{MARK}={mark}".encode() in (path / "environ").read_bytes():
                found.add(path.name)
        except OSError:  # it has gone, or is another person's
            continue
    for process in parent:
        line = [process]
        while line[-1] in parent and line[-1] not in found:
            line.append(parent[line[-1]])
        if line[-1] in found:
            found.update(line)
    return {int(process): lines[process] for process in found}


def of_role(mark: str, role: str) -> list[int]:
    return sorted(pid for pid, line in members(mark).items() if ROLES[role] in line)


def gone(mark: str, seconds: float) -> dict[int, str]:
    """What is still alive after so long; nothing, if all is well."""
    until = time.monotonic() + seconds
    while (left := members(mark)) and time.monotonic() < until:
        time.sleep(0.2)
    return left


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
