"""Standard output and standard error: what a reader closes, what Ray prints on them, and a line behind which nothing stands."""

import contextlib
import errno
import io
import os
import select
import sys
import time
from typing import Any, TextIO


def open_descriptors() -> None:
    """Lead standard input, output and error to /dev/null where they are closed: the next file would get their number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


LAST_S = 3.0
"""the same for a last line, after which the process ends"""
STUCK_S = 10.0
"""so long a full pipe or a terminal that was stopped (Ctrl-S) is waited for; after that, what it cannot take is dropped"""
CHUNK = 512
"""bytes that a pipe takes at once where `poll` says that it takes any"""


def write_within(descriptor: int, content: bytes, seconds: float) -> int:
    """Write to a descriptor whose reader may be slow, or never read; how many bytes were written until `seconds` had passed."""
    until, written = time.monotonic() + seconds, 0
    ready = select.poll()
    ready.register(descriptor, select.POLLOUT)
    while written < len(content) and ready.poll(max(0.0, 1000 * (until - time.monotonic()))):
        written += os.write(descriptor, content[written : written + CHUNK])
    return written


class _Descriptor(io.RawIOBase):
    """A file descriptor to print on. What its reader does not want any more is dropped: the command's work does not depend on it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.stuck = descriptor, False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def write(self, content: Any) -> int:
        try:
            written = write_within(self.descriptor, bytes(content), 0.0 if self.stuck else STUCK_S)
            self.stuck = written < len(content)
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.EIO):  # a pipe without a reader, a terminal that was closed
                silence_output(self.descriptor)
        return len(content)


def open_stream(descriptor: int) -> TextIO:
    """Text, line by line, to a descriptor whose reader may close it."""
    encoding = getattr(sys.__stderr__, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(descriptor)), encoding=encoding, errors="backslashreplace", line_buffering=True, write_through=True
    )


def silence_output(*descriptors: int) -> None:
    """From now on these lead nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def print_last(descriptor: int, line: str) -> None:
    """Print a line behind which nothing stands: Ray's C++ code prints on the descriptors 1 and 2 until the process ends."""
    own = os.dup(descriptor)
    silence_output(1, 2)
    with contextlib.suppress(OSError):  # not by way of Python's buffers, whose lock may be held
        write_within(own, f"{line}\n".encode(), LAST_S)
