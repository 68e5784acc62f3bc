"""Host check: whether this machine is fit to train. It does not depend on a cluster."""

import os
import socket
import time
from collections.abc import Iterable

from trainables.registry import BadRequest
from trainables.storage.store import RunFolder


def check_host(runs: str, mark: str, paths: Iterable[str], patience_s: float = 10.0) -> str:
    """Return why no cell can be trained on this machine, in one line; empty if nothing prevents it.

    `mark` is what the driver has written into the run folder. `paths` are where the cells' data lie. The mark is awaited for `patience_s`
    seconds, because a shared folder may show a new file late.
    """
    host = socket.gethostname()
    try:
        deadline = time.monotonic() + patience_s
        while (seen := RunFolder(runs).get_mark()) != mark:
            if time.monotonic() > deadline:
                visible = "another run's files" if seen else "nothing"
                return f"{host} sees {visible} in {runs}: it must be one folder that all machines share under this path, or a bucket"
            time.sleep(0.5)
    except (OSError, BadRequest) as error:
        return f"{host} cannot read {runs}: {error}"
    for path in paths:
        if not os.access(path, os.R_OK):
            problem = "cannot be read" if os.path.exists(path) else "is missing"
            return f"{host}: {path} {problem}: data must lie under the same path on every machine"
    return ""
