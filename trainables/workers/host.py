"""Host: is this machine fit to train? Knows no cluster."""

import os
import socket
import time
from collections.abc import Iterable

from trainables.registry import BadRequest
from trainables.storage.store import RunFolder


def check_host(runs: str, mark: str, paths: Iterable[str], patience_s: float = 10.0) -> str:
    """Why no cell can be trained on this machine, in one line; empty where nothing speaks against it.

    `mark` is what the driver has written into the run folder, `paths` are where the cells' data lie. A shared folder may show a new file
    late, hence the patience.
    """
    host = socket.gethostname()
    try:
        until = time.monotonic() + patience_s
        while (seen := RunFolder(runs).get_mark()) != mark:
            if time.monotonic() > until:
                what = "another run's files" if seen else "nothing"
                return f"{host} sees {what} in {runs}: it must be one folder that all machines share under this path, or a bucket"
            time.sleep(0.5)
    except (OSError, BadRequest) as error:
        return f"{host} cannot read {runs}: {error}"
    for path in paths:
        if not os.access(path, os.R_OK):
            there = "cannot be read" if os.path.exists(path) else "is missing"
            return f"{host}: {path} {there}: data must lie under the same path on every machine"
    return ""
