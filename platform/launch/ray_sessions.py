"""Ray's session folders: those of Rays that we started are removed when they end. The number that killed ones leave behind is limited."""

import contextlib
import errno
import os
import shutil
import tempfile
import time
from pathlib import Path

NAME_LENGTH = len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.0")
SOCKET_LENGTH = 107
"""maximum length of the path of a Unix socket, in bytes"""
LONGEST = SOCKET_LENGTH - NAME_LENGTH - len("/ray")
MARK = "ferray"
"""name of a file that marks a session folder as ours"""
BEFORE_S = 5.0
"""seconds by which a file system's times may differ from each other"""
KEPT = 3
"""number of session folders of dead drivers that are kept: their logs may hold the reason"""


def find_session_root() -> Path:
    """Return the folder for Ray's session folders: RAY_TMPDIR's, else TMPDIR's, else one whose path is short enough for sockets.

    Raises OSError, which says what to set, where RAY_TMPDIR cannot be written or is too long, or where no folder is usable.
    """
    given = os.environ.get("RAY_TMPDIR")
    reason = ""
    for candidate in [given] if given else [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]:
        path = Path(candidate, "ray").absolute()
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


def announce_session(place: Path) -> None:
    """Record that this process is about to start a Ray: a command that is killed meanwhile leaves a session folder without our mark."""
    (place / f"{MARK}.{os.getpid()}").touch()


def open_session() -> str:
    """Mark and return the session folder of the Ray that this process has just started. Return "" for a joined Ray."""
    if session := get_own_session():
        Path(session, MARK).touch()
        Path(session).with_name(f"{MARK}.{os.getpid()}").unlink(missing_ok=True)
    return session


def get_own_session() -> str:
    """Return the session folder of the Ray that this process started; empty for a joined Ray. Its content is removed with it."""
    from platform.launch import ray_internals

    node = ray_internals.get_node()
    return node.get_session_dir_path() if node and node.head else ""


def close_session(session: str) -> None:
    """Remove the session folder of a Ray that has ended."""
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
        Path(session, MARK).touch()  # a later command removes it


def remove_dead_sessions(place: Path, kept: int = KEPT) -> None:
    """Remove those of our session folders whose driver is dead, except the `kept` newest.

    They include those of drivers that were killed while their Ray started. Linux gives a dead driver's number to another process, so a
    folder is one of these only if it is newer than the record.
    """
    for record in place.glob(f"{MARK}.*"):
        with contextlib.suppress(OSError):  # another command removes it as well
            if not _is_driver_alive(record.suffix[1:]):
                begun = record.stat().st_mtime - BEFORE_S
                for session in place.glob(f"session_*_{record.suffix[1:]}"):
                    if session.stat().st_mtime >= begun:
                        (session / MARK).touch()
                record.unlink()
    # without `session_latest`, which is a link to one of them
    dead = sorted(mark.parent for mark in place.glob(f"session_[0-9]*/{MARK}") if not _is_driver_alive(mark.parent.name))
    for session in dead[: max(0, len(dead) - kept)]:
        close_session(str(session))


def _is_driver_alive(session: str) -> bool:
    """Return whether the process that started a session is alive. Its pid is the end of the session's name."""
    pid = session.rpartition("_")[2]
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
