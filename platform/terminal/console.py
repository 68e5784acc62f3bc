"""Standard output and standard error: readers that close them, Ray's output on them, and a last line that nothing follows."""

from __future__ import annotations  # so that an older Python gets as far as the line of `require_environment`

import contextlib
import errno
import io
import os
import select
import sys
import time
from typing import Any, TextIO


def open_descriptors() -> None:
    """Open standard input, output and error on /dev/null where they are closed: otherwise the next file would get their number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


LAST_S = 3.0
"""seconds to wait until the last line of a process is written"""
STUCK_S = 10.0
"""seconds to wait for a full pipe or a terminal stopped by Ctrl-S; output that it cannot take by then is dropped"""
CHUNK = 512
"""bytes that a pipe takes at once where `poll` reports it writable"""


def write_within(descriptor: int, content: bytes, seconds: float) -> int:
    """Write to a descriptor whose reader may be slow or never read. Return the number of bytes written within `seconds`."""
    deadline, written = time.monotonic() + seconds, 0
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    while written < len(content) and poller.poll(max(0.0, 1000 * (deadline - time.monotonic()))):
        written += os.write(descriptor, content[written : written + CHUNK])
    return written


class _Descriptor(io.RawIOBase):
    """A file descriptor for output. Output that its reader does not accept is dropped: the command's work does not depend on it."""

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
            if error.errno in (errno.EPIPE, errno.EIO):  # a pipe without a reader, a closed terminal
                silence_output(self.descriptor)
        return len(content)


def open_stream(descriptor: int) -> TextIO:
    """Return a line-buffered text stream to a descriptor whose reader may close it."""
    encoding = getattr(sys.__stderr__, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(descriptor)), encoding=encoding, errors="backslashreplace", line_buffering=True, write_through=True
    )


def silence_output(*descriptors: int) -> None:
    """Redirect these descriptors to /dev/null."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


def print_last(descriptor: int, line: str) -> None:
    """Print the last line of the process.

    Descriptors 1 and 2 are silenced first: Ray's C++ code prints on them until the process ends.
    """
    duplicate = os.dup(descriptor)
    silence_output(1, 2)
    with contextlib.suppress(OSError):  # bypasses Python's buffers, whose lock may be held
        write_within(duplicate, f"{line}\n".encode(), LAST_S)
