"""Redirection of everything that Ray prints to a log file of the run folder."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TextIO

from platform.terminal.console import open_stream
from trainables.storage.store import RunFolder


@contextlib.contextmanager
def redirect_output(folder: RunFolder) -> Iterator[TextIO]:
    """Redirect everything that Ray prints, from any process, to a log file. Yield a stream to the real standard error."""
    log = f"{folder.make_folder(folder.get_path('log'))}/{time.strftime('%Y%m%d-%H%M%S.log')}" if folder.local else os.devnull
    saved, streams = (os.dup(1), os.dup(2)), (sys.stdout, sys.stderr)
    stream = open_stream(os.dup(2))  # stays open: a second signal may arrive later, and its line is printed here
    with open(log, "ab", buffering=0) as file:
        sys.stdout.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = open_stream(1), open_stream(2)  # the command's own streams use other descriptors
        try:
            yield stream
        finally:
            sys.stdout, sys.stderr = streams
            for descriptor, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)
