"""Finds the processes of a running grid: its command, Ray's daemons, and its actors by role."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

MARK = "ORDEAL_MARK"
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F")
"""127.0.0.1, and the same as an IPv4-mapped IPv6 address, as the kernel writes them"""
ROLES = {
    "slot": "ray::ResourceTrainable",  # Tune's name for a trainable class with resources
    "worker": "ray::RayTrainWorker",
    "controller": "ray::TrainController",
    "synchroniser": "ray::SynchronizationActor",
    "dispatcher": "ray::Dispatcher",
    "raylet": "/raylet/raylet ",
    "gcs": "/gcs/gcs_server ",
}
"""by role: the text by which a process is recognised in its command line"""


def members(mark: str) -> dict[int, str]:
    """Return the command lines, by pid, of all living processes with the mark in their environment, and of their descendants.

    Neither criterion suffices: a process that renames itself overwrites its environment, and one that detaches has another parent.
    """
    parent, marked, command_lines = {}, set(), {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, parent_pid = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            command_lines[path.name] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if state == "Z":
                continue
            parent[path.name] = parent_pid
            if f"{MARK}={mark}".encode() in (path / "environ").read_bytes():
                marked.add(path.name)
        except OSError:  # the process has ended, or is another user's
            continue
    for process in parent:
        chain = [process]
        while chain[-1] in parent and chain[-1] not in marked:
            chain.append(parent[chain[-1]])
        if chain[-1] in marked:
            marked.update(chain)
    return {int(process): command_lines[process] for process in marked}


def driver_of(command: int) -> int:
    """Return the process that does a command's work, which is the child of the one that was started; 0 if there is none."""
    with suppress(OSError):
        children = Path(f"/proc/{command}/task/{command}/children").read_text().split()
        return int(children[0]) if children else 0
    return 0


def of_role(mark: str, role: str) -> list[int]:
    return sorted(pid for pid, line in members(mark).items() if ROLES[role] in line)


def gone(mark: str, seconds: float) -> dict[int, str]:
    """Wait until the processes have ended, at most for `seconds`. Return those that are still alive."""
    deadline = time.monotonic() + seconds
    while (alive := members(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return alive


def listening(mark: str) -> dict[str, str]:
    """Return the addresses on which the processes listen, in the kernel's hexadecimal form, by process and file descriptor."""
    sockets: dict[str, str] = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":  # LISTEN
                sockets[f"socket:[{fields[9]}]"] = fields[1].partition(":")[0]
    addresses = {}
    for pid, title in members(mark).items():
        for file in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(OSError):
                if address := sockets.get(os.readlink(file)):
                    addresses[f"{pid} {title[:40]} {file.name}"] = address
    return addresses


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
