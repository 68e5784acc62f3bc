"""Start a process and wait for an event or for its end. All tests wait in this way.

Limits are generous, because the machine may be busy. A test that exceeds a limit fails with the last output of the process.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 1200.0
LOOK_S = 0.05
LAST = 6000
"""number of characters of an output that a failure shows"""
NO_TOKEN = {"RAY_AUTH_MODE": "disabled"}
"""otherwise Ray writes a token into the home folder"""

Found = TypeVar("Found")


def wait_for(event: Callable[[], Found], describe: Callable[[], str] = str, seconds: float = PATIENCE_S) -> Found:
    """Return the first true value of `event`. After `seconds`, fail with the text of `describe`."""
    until = time.monotonic() + seconds
    while not (value := event()):
        assert time.monotonic() < until, f"not within {seconds:.0f} s: {describe()}"
        time.sleep(LOOK_S)
    return value


class Started(Protocol):
    """The part of `subprocess.Popen` that this module needs."""

    pid: int

    def poll(self) -> int | None: ...

    def send_signal(self, sig: int) -> None: ...


class Process:
    """A process that a test started. Its output is in a file and can be read at any time."""

    def __init__(self, started: Started, output: IO[str]) -> None:
        self.started, self.output = started, output
        self.pid = started.pid

    @property
    def code(self) -> int | None:
        return self.started.poll()

    @property
    def running(self) -> bool:
        return self.code is None

    @property
    def said(self) -> str:
        """All output so far."""
        return Path(self.output.name).read_text(errors="replace")

    def describe(self) -> str:
        return f"process {self.pid}, exit code {self.code}, said last:\n{self.said[-LAST:]}"

    def wait_for(self, event: Callable[[], Found], seconds: float = PATIENCE_S) -> Found:
        """Return the first true value of `event`. Fail if the process ends before."""

        def look() -> Found:
            running = self.running  # read before the event, so that the last act of the process counts
            value = event()
            assert value or running, f"it ended too early: {self.describe()}"
            return value

        return wait_for(look, self.describe, seconds)

    def end(self, seconds: float = PATIENCE_S) -> tuple[int, str]:
        """Wait for the end; return exit code and output."""
        wait_for(lambda: not self.running, self.describe, seconds)
        assert self.code is not None
        return self.code, self.said

    def send(self, number: signal.Signals) -> None:
        self.started.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        self.send(signal.SIGKILL)
        self.end()


def start(arguments: Sequence[str], environment: Mapping[str, str] | None = None, cwd: Path = ROOT, **options: Any) -> Process:
    """Start Python with these arguments. Standard error goes to standard output."""
    output = open_output()
    variables = os.environ | NO_TOKEN | dict(environment or {})
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT} | options
    return Process(subprocess.Popen([sys.executable, *arguments], cwd=cwd, env=variables, **streams), output)


def open_output() -> IO[str]:
    """Return a file that exists as long as it is open."""
    return tempfile.NamedTemporaryFile("w", prefix="output-")


def run(arguments: Sequence[str], environment: Mapping[str, str] | None = None, cwd: Path = ROOT, **options: Any) -> tuple[int, str]:
    """Run Python with these arguments; return exit code and output."""
    return start(arguments, environment, cwd, **options).end()
