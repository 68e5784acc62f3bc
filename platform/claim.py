"""Claim: a run folder has one driver at a time. A dead driver's claim is recognised as dead and taken over."""

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from trainables.registry import BadRequest
from trainables.store import RunFolder

NAME = "driver.json"
BEAT_S = 20.0
"""where files cannot be locked, the driver says this often that it lives"""
DEAD_S = 4 * BEAT_S


@contextlib.contextmanager
def claim(folder: RunFolder) -> Iterator[None]:
    """Hold the run folder. BadRequest, naming who has it, where a driver that lives does.

    On a disk it is a lock, which the kernel drops with the process, however that ends. On an object store, which has no locks, it is a
    file that the driver renews: one that has not been renewed for DEAD_S seconds, or whose process is gone from this host, is dead.
    """
    holding = _locked(folder) if folder.local else _renewed(folder)
    with holding:
        yield


@contextlib.contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    path = folder.path(NAME)
    os.makedirs(folder.root, exist_ok=True)
    with open(path, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(folder, _read(folder)) from None
        except OSError:  # a file system without locks
            with _renewed(folder):
                yield
            return
        file.truncate(0)
        file.write(json.dumps(_me()).encode())
        file.flush()
        yield


@contextlib.contextmanager
def _renewed(folder: RunFolder) -> Iterator[None]:
    there = _read(folder)
    if there and _lives(there):
        raise _taken(folder, there)
    mine, over = _me(), threading.Event()
    folder.put_json(mine, NAME)
    time.sleep(0.5)  # of two that claim at once the later writer has it
    if (there := _read(folder)).get("claim") != mine["claim"]:
        raise _taken(folder, there)

    def beat() -> None:
        while not over.wait(BEAT_S):
            with contextlib.suppress(OSError):
                folder.put_json(mine | {"beat": time.time()}, NAME)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(OSError):
            folder.remove(NAME)


def _me() -> dict[str, Any]:
    me = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S %Z")}
    return me | {"born": born(os.getpid()), "beat": time.time(), "claim": uuid.uuid4().hex}


def _read(folder: RunFolder) -> dict[str, Any]:
    try:
        content = folder.get_json(NAME)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _lives(driver: dict[str, Any]) -> bool:
    pid, beat = driver.get("pid"), driver.get("beat")
    if driver.get("host") == socket.gethostname() and born(0):
        return isinstance(pid, int) and pid > 0 and born(pid) == driver.get("born")
    return isinstance(beat, int | float) and time.time() - beat < DEAD_S


def born(pid: int) -> str:
    """When a process began, in the kernel's ticks: a number that was given out again is another process. Empty where it cannot be told."""
    try:
        with open(f"/proc/{pid or os.getpid()}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _taken(folder: RunFolder, driver: dict[str, Any]) -> BadRequest:
    who = (
        f"process {driver['pid']} on {driver['host']}, since {driver['since']}"
        if {"pid", "host", "since"} <= set(driver)
        else "another process"
    )
    return BadRequest(f"{folder.uri}: a driver works on it ({who}); wait for its end, stop it, or name another folder with --runs")
