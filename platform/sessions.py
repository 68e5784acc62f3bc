"""Ray's session folders: those of Rays that we started are removed when they end, and what killed ones left behind is capped."""

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

MARK = "ferray"
"""a file in the session folders that are ours"""
KEPT = 3
"""of those whose driver died: why may be in their logs"""


def open_session() -> str:
    """Mark the folder of the Ray that this process has just started, and return it; nothing of one that was joined."""
    if session := here():
        Path(session, MARK).touch()
    return session


def here() -> str:
    """The folder of the Ray that this process started; empty where it joined one. What lies in it goes with it."""
    import ray

    node = ray._private.worker._global_node
    return node.get_session_dir_path() if node.head else ""


def close(session: str) -> None:
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


def sweep(place: Path | None = None, kept: int = KEPT) -> None:
    """Remove the folders of ours whose driver is dead, but the newest few."""
    place = place or Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), "ray")
    over = sorted(mark.parent for mark in place.glob(f"session_*/{MARK}") if not _lives(mark.parent.name))
    for session in over[: len(over) - kept]:
        close(str(session))


def _lives(session: str) -> bool:
    """A session's name ends in the number of the process that began it."""
    pid = session.rpartition("_")[2]
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
