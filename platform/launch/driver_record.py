"""The record of a run folder's driver, driver.json: which process holds the folder, on which host, and whether that process is alive."""

import os
import socket
import subprocess
import time
import uuid
from typing import Any

from platform.terminal.supervisor import supervisor_pid
from trainables.storage.lock_holder import DRIVER
from trainables.storage.store import RunFolder

Driver = dict[str, Any]
BEAT_S = 20.0
"""seconds between renewals of the driver's record, where files cannot be locked"""
DEAD_S = 4 * BEAT_S


def describe_self() -> Driver:
    """Return the record of this process; `claim` is the id of its command."""
    parent = supervisor_pid()
    record = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S %Z")}
    record |= {"born": get_process_start(os.getpid()), "beat": time.time(), "claim": uuid.uuid4().hex}
    return record | ({"supervisor": {"pid": parent, "born": get_process_start(parent)}} if parent else {})


def read_driver(folder: RunFolder) -> Driver:
    """Return the folder's record; empty where it is missing or cannot be parsed."""
    try:
        content = folder.get_json(DRIVER)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def is_alive(driver: Driver) -> bool:
    """Return whether the recorded process is alive. For a process of another host: whether it has renewed its record within DEAD_S."""
    beat = driver.get("beat")
    if is_here(driver):
        return _is_process_alive(driver)
    return isinstance(beat, int | float) and time.time() - beat < DEAD_S


def is_ending(driver: Driver) -> bool:
    """Return whether a driver that still has its lock is about to end, because it or its supervisor is dead.

    This is known only for processes of this host.
    """
    supervisor: Any = driver.get("supervisor")
    if not is_here(driver) or "pid" not in driver:
        return False
    supervised = isinstance(supervisor, dict) and bool(supervisor.get("pid"))
    return not _is_process_alive(driver) or (supervised and not _is_process_alive(supervisor))


def describe_driver(driver: Driver) -> str:
    """Describe the recorded command by the process that the user started, or by the driver where that process is dead."""
    if {"pid", "host", "since"} <= set(driver):
        supervisor = driver.get("supervisor")
        command = driver
        if isinstance(supervisor, dict) and "pid" in supervisor and (_is_process_alive(supervisor) or not is_here(driver)):
            command = supervisor
        return f"process {command['pid']} on {driver['host']}, since {driver['since']}"
    return "another process"


def get_process_start(pid: int) -> str:
    """Return the start time of a process in kernel ticks, which differs between processes that reuse a pid. 0 is this process.

    Empty where there is no such process, where it is dead and only waits for its parent, and on a system without /proc.
    """
    try:
        with open(f"/proc/{pid or os.getpid()}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def is_here(driver: Driver) -> bool:
    """Return whether this host can tell if the recorded process is alive."""
    return driver.get("host") == socket.gethostname() and bool(get_process_start(0))


def _is_process_alive(process: Driver) -> bool:
    pid = process.get("pid")
    return isinstance(pid, int) and pid > 0 and get_process_start(pid) == process.get("born") != ""


def describe_commit() -> dict[str, Any]:
    """Return the checkout's commit, and whether the checkout has uncommitted changes."""
    folder = os.path.dirname(os.path.abspath(__file__))
    try:
        head = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(["git", "-C", folder, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": head, "dirty": bool(changed.strip())}
