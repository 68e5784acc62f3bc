"""Start a process and wait for an event or for its end: the one way in which tests wait.

Limits are generous, for a machine that is busy with other things. A limit that is exceeded fails with what the process printed last.
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
"""characters of an output that a failure shows"""
NO_TOKEN = {"RAY_AUTH_MODE": "disabled"}
"""otherwise Ray writes a token into the home folder"""

Found = TypeVar("Found")


def wait_for(event: Callable[[], Found], describe: Callable[[], str] = str, seconds: float = PATIENCE_S) -> Found:
    """The first true value of `event`. Fails with what `describe` says where it takes longer."""
    until = time.monotonic() + seconds
    while not (found := event()):
        assert time.monotonic() < until, f"not within {seconds:.0f} s: {describe()}"
        time.sleep(LOOK_S)
    return found


class Started(Protocol):
    """The part of `subprocess.Popen` that is needed here."""

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
        """All output up to now."""
        return Path(self.output.name).read_text(errors="replace")

    def describe(self) -> str:
        return f"process {self.pid}, exit code {self.code}, said last:\n{self.said[-LAST:]}"

    def wait_for(self, event: Callable[[], Found], seconds: float = PATIENCE_S) -> Found:
        """The first true value of `event`. Fails where the process ends before."""

        def look() -> Found:
            running = self.running  # before the event: what a process did last counts
            found = event()
            assert found or running, f"it ended too early: {self.describe()}"
            return found

        return wait_for(look, self.describe, seconds)

    def end(self, seconds: float = PATIENCE_S) -> tuple[int, str]:
        """Wait for the end: exit code and output."""
        wait_for(lambda: not self.running, self.describe, seconds)
        assert self.code is not None
        return self.code, self.said

    def send(self, number: signal.Signals) -> None:
        self.started.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.send(signal.SIGKILL)
        self.end()


def start(arguments: Sequence[str], environment: Mapping[str, str] | None = None, cwd: Path = ROOT, **options: Any) -> Process:
    """Start Python with these arguments. Standard error goes where standard output does."""
    output = open_output()
    variables = os.environ | NO_TOKEN | dict(environment or {})
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT} | options
    return Process(subprocess.Popen([sys.executable, *arguments], cwd=cwd, env=variables, **given), output)


def open_output() -> IO[str]:
    """A file that is there as long as it is open."""
    return tempfile.NamedTemporaryFile("w", prefix="output-")


def run(arguments: Sequence[str], environment: Mapping[str, str] | None = None, cwd: Path = ROOT, **options: Any) -> tuple[int, str]:
    """Exit code and output of Python with these arguments."""
    return start(arguments, environment, cwd, **options).end()
