"""Ray's session folders: those of Rays that we started are removed when they end, and what killed ones left behind is capped."""

import contextlib
import errno
import os
import shutil
import tempfile
import time
from pathlib import Path

NAME_LENGTH = len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.0")
SOCKET_LENGTH = 107
"""bytes that the path of a Unix socket may have"""
LONGEST = SOCKET_LENGTH - NAME_LENGTH - len("/ray")
MARK = "ferray"
"""a file in the session folders that are ours"""
KEPT = 3
"""of those whose driver died: why may be in their logs"""


def find_session_root() -> Path:
    """The folder for Ray's session folders: RAY_TMPDIR's, else TMPDIR's, else one whose path is short enough for sockets.

    Raises OSError that says what to set where RAY_TMPDIR cannot be written or is too long, or where no folder can be.
    """
    given = os.environ.get("RAY_TMPDIR")
    reason = ""
    for place in [given] if given else [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]:
        path = Path(place, "ray").absolute()
        if len(os.fsencode(path)) + NAME_LENGTH > SOCKET_LENGTH:
            reason = reason or f"the path of Ray's folder is too long for a socket; set RAY_TMPDIR to one of {LONGEST} characters or less"
            continue
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                return path
        except OSError as error:
            reason = reason or f"{error.strerror}; set RAY_TMPDIR to a folder that can be written"
    raise OSError(errno.EACCES, reason, given or tempfile.gettempdir())


def open_session() -> str:
    """Mark the folder of the Ray that this process has just started, and return it; nothing of one that was joined."""
    if session := get_own_session():
        Path(session, MARK).touch()
    return session


def get_own_session() -> str:
    """The folder of the Ray that this process started; empty where it joined one. What lies in it goes with it."""
    import ray

    node = ray._private.worker._global_node
    return node.get_session_dir_path() if node.head else ""


def close_session(session: str) -> None:
    """Remove the folder of a Ray that has ended well."""
    if session:
        latest = Path(session).with_name("session_latest")
        with contextlib.suppress(OSError):
            if os.readlink(latest) == session:
                latest.unlink()
        for _ in range(3):  # its daemons may still be writing
            shutil.rmtree(session, ignore_errors=True)
            if not os.path.exists(session):
                return
            time.sleep(0.3)
        Path(session, MARK).touch()  # the next one sweeps it


def remove_dead_sessions(place: Path, kept: int = KEPT) -> None:
    """Remove the folders of ours whose driver is dead, but the newest few."""
    over = sorted(mark.parent for mark in place.glob(f"session_*/{MARK}") if not _is_driver_alive(mark.parent.name))
    for session in over[: len(over) - kept]:
        close_session(str(session))


def _is_driver_alive(session: str) -> bool:
    """A session's name ends in the number of the process that began it."""
    pid = session.rpartition("_")[2]
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
