"""Folders and files that only their owner can read: those with decoded or drawn faces, and what cannot be stored in the home folder."""

import errno
import os
import tempfile
from pathlib import Path
from typing import IO, Any

OTHERS = 0o077
"""bits of a mode that give others access"""


def make_private_folder(name: str) -> Path:
    """Return the folder `NAME-USER` of the system's temporary folder. Raises OSError if it cannot be made or belongs to another user."""
    return make_private(Path(tempfile.gettempdir(), f"{name}-{os.getuid()}"))


def make_private(folder: Path) -> Path:
    """Return a folder of ours, made with its missing parents, and closed to others if it was open. Raises OSError as above."""
    for path in reversed([folder, *(parent for parent in folder.parents if not parent.exists())]):
        path.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "it belongs to another user", str(folder))
    if folder.stat().st_mode & OTHERS:
        folder.chmod(0o700)
    return folder


def choose_private(folder: Path) -> Path:
    """Return the folder that is to be private where a user names this one: it, or `ferray-USER` in it if it is there and open to others.

    Nothing is made. A folder that others can read may be somebody's own, and keeps its mode.
    """
    try:
        status = folder.stat()
    except OSError:
        return folder
    is_open = status.st_mode & OTHERS or status.st_uid != os.getuid()
    return folder / f"ferray-{os.getuid()}" if is_open and folder.is_dir() else folder


def open_private(file: str | Path, mode: str) -> IO[Any]:
    """Open a file for writing that only its owner can read, whatever its mode was before."""
    opened = open(file, mode, opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115  the caller closes it
    os.fchmod(opened.fileno(), 0o600)
    return opened
