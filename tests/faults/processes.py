"""The processes of a grid that runs: its command, Ray's daemons, and the actors by what they are."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

MARK = "ORDEAL_MARK"
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F")
"""127.0.0.1, and the same in IPv6's clothes"""
ROLES = {
    "slot": "ray::ResourceTrainable",  # as Tune calls a class that it gave resources
    "worker": "ray::RayTrainWorker",
    "controller": "ray::TrainController",
    "synchroniser": "ray::SynchronizationActor",
    "dispatcher": "ray::Dispatcher",
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


def driver_of(command: int) -> int:
    """The process that does a command's work: the child of the one that was started; 0 where there is none yet, or no more."""
    with suppress(OSError):
        children = Path(f"/proc/{command}/task/{command}/children").read_text().split()
        return int(children[0]) if children else 0
    return 0


def of_role(mark: str, role: str) -> list[int]:
    return sorted(pid for pid, line in members(mark).items() if ROLES[role] in line)


def gone(mark: str, seconds: float) -> dict[int, str]:
    """What is still alive after so long; nothing, if all is well."""
    until = time.monotonic() + seconds
    while (left := members(mark)) and time.monotonic() < until:
        time.sleep(0.2)
    return left


def listening(mark: str) -> dict[str, str]:
    """The addresses at which its processes wait for connections, as the kernel writes them in hexadecimal, by who does."""
    sockets: dict[str, str] = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":  # LISTEN
                sockets[f"socket:[{fields[9]}]"] = fields[1].partition(":")[0]
    found = {}
    for pid, title in members(mark).items():
        for file in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(OSError):
                if address := sockets.get(os.readlink(file)):
                    found[f"{pid} {title[:40]} {file.name}"] = address
    return found


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
