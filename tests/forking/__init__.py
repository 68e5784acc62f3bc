"""Forks of a process that has imported everything, for tests that do not test the start of a process, and one Ray for several grids.

A fork is a separate process with its own arguments, environment, folder, output, signals, exit code and death.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.faults.processes import MARK, of_role
from tests.forking.request import ask
from tests.running import NO_TOKEN, ROOT, Process, open_output, start

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""keeps libraries from starting threads, because a process with several threads cannot be forked"""
LOCAL = NO_TOKEN | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""makes Ray keep the address 127.0.0.1; Ray reads the variable at import"""


class Fork:
    """A fork, with the part of the interface of `subprocess.Popen` that tests.running needs."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.code, self.told = connection, None, b""
        while b"\n" not in self.told:
            self._read()
        self.pid = int(self.told.partition(b"\n")[0])

    def _read(self) -> None:
        content = self.connection.recv(64)
        assert content or self.told.count(b"\n") == 2, "the server that forks has died"
        self.told += content

    def poll(self) -> int | None:
        while self.code is None and select.select([self.connection], [], [], 0)[0]:
            self._read()
            if self.told.count(b"\n") == 2:
                self.code = int(self.told.splitlines()[1])
                self.connection.close()
        return self.code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)


class ForkServer:
    """A process that forks on request."""

    def __init__(self, socket_path: Path) -> None:
        self.path = socket_path

    def start(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Process:
        """Start a fork as tests.running.start starts a process: `-m module ...` or `-c code ...` in the checkout."""
        variables = os.environ | NO_TOKEN | dict(environment or {})
        output = open_output()
        with open(os.devnull) as nothing:
            request = {"environment": variables, "folder": str(ROOT), "arguments": list(arguments)}
            return Process(Fork(ask(str(self.path), request, (nothing.fileno(), output.fileno(), output.fileno()))), output)

    def run(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[int, str]:
        return self.start(arguments, environment).end()


@contextlib.contextmanager
def serve_commands(place: Path) -> Iterator[ForkServer]:
    """Start the server. Its forks import from the checkout, like processes that are started in it."""
    path = place / "commands"
    server = start(["tests/forking/server.py", str(path)], LOCAL | ONE_THREAD, stdin=subprocess.PIPE)
    with _ended_with_its_input(server):
        server.wait_for(path.exists)
        yield ForkServer(path)


class SharedRay:
    """A Ray cluster that several grids join, one after another."""

    def __init__(self, server: ForkServer, head: Process, address: str, mark: str) -> None:
        self.server, self.head, self.address, self.mark = server, head, address, mark

    def start(self, module: str, *options: str) -> Process:
        """Start a command on this Ray cluster."""
        return self.server.start(["-m", module, *options], LOCAL | {"RAY_ADDRESS": self.address})

    def start_code(self, code: str, *arguments: str) -> Process:
        """Start code whose `ray.init` joins this Ray cluster."""
        return self.server.start(["-c", code, *arguments], LOCAL | {"RAY_ADDRESS": self.address})

    def run(self, module: str, *options: str) -> tuple[int, str]:
        return self.start(module, *options).end()

    def pids(self, role: str) -> list[int]:
        """Return the PIDs of its processes of a role."""
        return of_role(self.mark, role)


@contextlib.contextmanager
def serve_ray(server: ForkServer, environment: Mapping[str, str], gpus: int = 0) -> Iterator[SharedRay]:
    """Start a Ray cluster of two CPUs on this machine, whose workers see `environment`."""
    mark = uuid.uuid4().hex
    variables = LOCAL | ONE_THREAD | {MARK: mark} | dict(environment)
    head = start(["-m", "tests.forking.head", str(gpus)], variables, stdin=subprocess.PIPE)
    with _ended_with_its_input(head):
        address = head.wait_for(lambda: head.said.partition("ready at ")[2].partition("\n")[0])
        yield SharedRay(server, head, address, mark)


@contextlib.contextmanager
def _ended_with_its_input(process: Process) -> Iterator[None]:
    try:
        yield
    finally:
        assert isinstance(process.started, subprocess.Popen) and process.started.stdin
        process.started.stdin.close()
        try:
            process.end(60)
        except AssertionError:
            process.send(signal.SIGKILL)
