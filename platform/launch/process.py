"""What a driver knows of its checkout, and where what its process prints goes."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

from platform.terminal.console import open_stream
from trainables.storage.store import RunFolder


def describe_commit() -> dict[str, Any]:
    """The checkout's commit, and whether it was changed since."""
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        head = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(["git", "-C", here, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": head, "dirty": bool(changed.strip())}


@contextlib.contextmanager
def redirect_output(folder: RunFolder) -> Iterator[TextIO]:
    """Whatever Ray prints, from any process, goes to a log file; yields a stream to the real standard error."""
    log = f"{folder.make_folder(folder.get_path('log'))}/{time.strftime('%Y%m%d-%H%M%S.log')}" if folder.local else os.devnull
    saved, streams = (os.dup(1), os.dup(2)), (sys.stdout, sys.stderr)
    stream = open_stream(os.dup(2))  # stays open: a second signal, which may come later, is answered there
    with open(log, "ab", buffering=0) as file:
        sys.stdout.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = open_stream(1), open_stream(2)  # those of the command are on descriptors of their own
        try:
            yield stream
        finally:
            sys.stdout, sys.stderr = streams
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
