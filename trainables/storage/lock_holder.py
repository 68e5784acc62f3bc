"""The owner of a run folder: the command that holds it. Processes of another command must not write there."""

import os
import time
from typing import TYPE_CHECKING

from trainables.registry import BadRequest

if TYPE_CHECKING:
    from trainables.storage.whole_files import WholeFiles

DRIVER = "driver.json"
"""In the run folder: the record of the command that holds it. Its `claim` is that command's ID."""
PATIENCE_S = 5.0
"""Seconds for which the record may be missing: a driver whose record was deleted writes it again within seconds."""


class FolderLost(BadRequest):
    """A run folder was moved, deleted, or taken over by another command. Nothing more may be written at its path."""


def require_owner(folder: "WholeFiles") -> None:
    """Raise FolderLost unless the folder's record holds the ID of the folder's owner. Without an owner nothing is checked."""
    if not folder.owner:
        return
    deadline = time.monotonic() + PATIENCE_S
    while (recorded := _read_owner(folder)) != folder.owner:
        if folder.local and not os.path.isdir(folder.root):
            raise FolderLost(f"{folder.uri}: was moved or deleted during a training; nothing more is written there")
        if recorded:
            raise FolderLost(f"{folder.uri}: is now locked by another command; this training writes nothing there")
        if time.monotonic() > deadline:
            raise FolderLost(f"{folder.uri}: has no {DRIVER}, so another command may lock it; this training writes nothing there")
        time.sleep(0.1)


def _read_owner(folder: "WholeFiles") -> str:
    """Return the ID in the record; empty if the record is missing or is being written."""
    try:
        content = folder.get_json(DRIVER)
    except (ValueError, RecursionError, NotADirectoryError):
        return ""
    return str(content.get("claim", "")) if isinstance(content, dict) else ""
