"""A process that imports once and then forks. Each fork runs a command without the seconds that imports take.

It is started as a script: `python server.py SOCKET`. A request is a connection to the socket (see request.py). This process forks only
while it has one thread. A fork gets the request's arguments, environment, folder and streams.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
import types
from pathlib import Path
from typing import Any, NoReturn

ROOT = str(Path(__file__).resolve().parents[2])
PRELOADED = (
    "torch._dynamo",
    "platform.launch.run_with_tune",
    "platform.tensorboard.board_writer",
    "platform.report.write_report",
    "platform.grid.run",
    "platform.grid.estimate",
    "platform.cli.command",
    "platform.report.freshness",
    "platform.search.search_board_writer",
    "platform.search.figures",
    "platform.search.driver",
    "ray.tune.search.hyperopt",
    "s3fs",
)
"""what a command imports, except the modules that it runs by name: `runpy` warns if these are imported already"""
LENGTH = 8
"""bytes of the length that precedes a request"""


def read_request(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return the request and the three streams that came with it. Raises ConnectionError if it is cut off."""
    content, streams, _, _ = socket.recv_fds(connection, 1 << 16, 3)
    while len(content) < LENGTH or len(content) < LENGTH + int(content[:LENGTH]):
        chunk = connection.recv(1 << 16)
        if not chunk:
            raise ConnectionError("the request is cut off")
        content += chunk
    return json.loads(content[LENGTH:]), list(streams)


def become(request: dict[str, Any], streams: list[int], imported: dict[str, str]) -> None:
    """Give this fork the properties of the request, as of a new process. `imported`: environment variables that the imports have set."""
    signal.set_wakeup_fd(-1)
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"] | imported)
    os.chdir(request["folder"])
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False, encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False, encoding="utf-8", errors="backslashreplace")
    sys.modules["ray._raylet"].Config.initialize("")  # Ray reads its settings again, from this environment


def serve(place: str, imported: dict[str, str]) -> dict[str, Any]:
    """Fork for each request. Return only in a fork, with its request. When standard input ends, kill all forks and exit."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen(64)
    wakened, waker = socket.socketpair()
    waker.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    forks: dict[int, socket.socket] = {}
    gc.collect()
    gc.freeze()  # a garbage collection in a fork would copy the shared pages
    with selectors.DefaultSelector() as selector:
        for source in (listener, wakened, sys.stdin):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    if (forked := _fork(connection)) is None:
                        continue
                    pid, request, streams = forked
                    if pid == 0:
                        for endpoint in (listener, wakened, waker, connection, *forks.values()):
                            endpoint.close()
                        become(request, streams, imported)
                        return request
                    forks[pid] = connection
                    selector.register(connection, selectors.EVENT_READ, pid)
                elif key.fileobj is wakened:
                    wakened.recv(1024)
                    _collect(forks, selector)
                elif key.fileobj is sys.stdin:
                    _end(forks)
                else:  # the requester closed the connection
                    _kill(key.data)
                    selector.unregister(key.fileobj)


def _fork(connection: socket.socket) -> tuple[int, dict[str, Any], list[int]] | None:
    """Fork and return the result of os.fork, the request and its streams; None if the request is cut off."""
    try:
        request, streams = read_request(connection)
    except (OSError, ValueError):
        connection.close()
        return None
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, f"a fork would lose the threads {threads}"
    pid = os.fork()
    if pid:
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(OSError):
            connection.sendall(f"{pid}\n".encode())
    return pid, request, streams


def _collect(forks: dict[int, socket.socket], selector: selectors.BaseSelector) -> None:
    """Send the exit code of each fork that has ended to its requester. A signal is a negative code, as in `subprocess`."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        connection = forks.pop(pid)
        with contextlib.suppress(KeyError):
            selector.unregister(connection)
        with contextlib.suppress(OSError):
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        connection.close()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _end(forks: dict[int, socket.socket]) -> None:
    for pid in forks:
        _kill(pid)
        os.waitpid(pid, 0)
    os._exit(0)


def main(place: str) -> None:
    sys.path.remove(str(Path(__file__).resolve().parent))
    sys.path.insert(0, ROOT)  # as `python -m` in the checkout does
    before = dict(os.environ)
    for name in PRELOADED:
        importlib.import_module(name)
    run(serve(place, {name: value for name, value in os.environ.items() if before.get(name) != value})["arguments"])


def run(arguments: list[str]) -> NoReturn:
    """Do what Python does with these arguments, `-m module ...`, `-c code ...` or `file ...`, and end the process.

    It joins threads, runs exit functions and flushes, but skips the rest of Python's teardown, which would write to every page that the
    forks share.
    """
    code = 0
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        elif arguments[0] == "-c":
            sys.argv = ["-c", *arguments[2:]]
            module = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(arguments[1], "<string>", "exec"), module.__dict__)
        else:
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
