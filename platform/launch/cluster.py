"""Start or join Ray in a thread, while the driver does other work."""

import atexit
import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

from platform.launch.driver_record import get_process_start
from platform.launch.ray_sessions import announce_session, close_session, find_session_root, open_session, remove_dead_sessions
from platform.launch.ray_token import close_token
from platform.terminal.console import print_last
from platform.terminal.supervisor import GOES_ON, ONCE_S, exit_process, report_lost
from trainables.registry import join_lines

# Read by Ray at import, here and in every process it starts.
os.environ.update(
    RAY_CHDIR_TO_TRIAL_DIR="0",  # relative paths keep the meaning that they have for the user
    RAY_TRAIN_ENABLE_PREEMPTION_WATCHER="0",  # one process fewer; the watcher does not fit replica groups
    RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.5",
    RAY_TRAIN_METRICS_ENABLED="0",
    RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S="90",  # Ray's default of ten minutes is too long for a worker that is out of memory
    RAY_USAGE_STATS_ENABLED="0",  # no data leave the site
    RAY_USAGE_STATS_REPORT_URL="http://127.0.0.1:9/",  # Ray would report once that it reports nothing; nobody listens on this port
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",  # board_writer.py writes TensorBoard, the workers write the results
    TUNE_GLOBAL_CHECKPOINT_S="600",  # Tune's own state is never restored
    TUNE_WARN_THRESHOLD_S="60",
)

DAEMONS = ("gcs_server", "raylet")
"""Ray cannot work without these daemons. It would notice their death after a minute and end the driver's process without a message."""
MEMBER = Path(__file__).resolve().parents[2] / ".cluster"
"""On a machine of a cluster, the file with the cluster's address. The start commands of cluster.yaml write it."""
ANSWER_S = 45.0
"""seconds that a cluster may take to answer"""


class Fatal(RuntimeError):
    """The run cannot continue: the disk is full, or Ray or the workers cannot start."""


def choose_address() -> str:
    """Return the address of the Ray that a command uses.

    It is RAY_ADDRESS if that is set. On a machine that cluster.yaml set up, it is that cluster. Otherwise it is "local", a Ray of the
    command's own. Ray itself would join the Ray that was started last on this machine, even another user's.
    """
    if given := os.environ.get("RAY_ADDRESS"):
        return given
    return MEMBER.read_text().strip() if MEMBER.exists() else "local"


@contextlib.contextmanager
def start_ray(stream: TextIO | None = None) -> Iterator[Callable[[], None]]:
    """Start or join Ray in a thread. The yielded function waits until Ray is up, or raises Fatal. At the end Ray is stopped.

    The same thread stops Ray, and lives until then: Linux kills Ray's daemons when the thread that started them ends. In the main thread, a
    scheduler's SIGTERM raises KeyboardInterrupt, as Ctrl-C does, and a second signal ends the process at once with a line on `stream`.
    """
    address = choose_address()
    options: dict[str, Any] = {}
    if address != "local":
        if "RAY_ADDRESS" not in os.environ:
            os.environ.setdefault("RAY_AUTH_MODE", "token")
    else:
        check_loopback()
        # with this setting Ray listens on 127.0.0.1; on Linux it would otherwise open every port to the network
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # for this Ray only; Ray would write one to the home folder
        # no dashboard: it starts a dozen processes, for which ray.init waits; to get one, start Ray by hand and set RAY_ADDRESS
        options = {"include_dashboard": False, "_temp_dir": str(find_session_root())}
        remove_dead_sessions(Path(options["_temp_dir"]))
        announce_session(Path(options["_temp_dir"]))
    close_token()

    import ray  # imported here, because a grid with nothing to do imports this file too

    children.clear()
    stuck.clear()
    up, over, output = threading.Event(), threading.Event(), stream or sys.stderr
    reasons: list[str] = []

    def connect() -> None:
        from platform.launch.ray_internals import keep_dashboard_offline

        with keep_dashboard_offline() if address == "local" else contextlib.nullcontext():
            ray.init(address, log_to_driver=False, logging_level="ERROR", configure_logging=False, **options)
        close_token()

    def live() -> None:
        session = ""
        try:
            if address != "local":
                require_answer(address)
            try:
                connect()
            except Exception as error:  # Ray gives a raylet 30 s to start, which is too short on a busy machine
                if "timed out during startup" not in str(error):
                    raise
                ray.shutdown()
                connect()
            session = open_session()
        except Exception as error:
            message = join_lines(error, 400)
            reasons.append(
                f"Ray does not start: {message}" if address == "local" else f"the Ray cluster at {address} cannot be joined: {message}"
            )
        up.set()
        last_check = 0.0
        while not over.wait(0.1):
            if time.monotonic() - last_check > 0.5:
                last_check = time.monotonic()
                _remember_children(children)
            if dead := list_dead_daemons():
                report_lost(dead[0])
                if not over.wait(12):  # threads that called Ray are blocked, possibly the main thread too
                    _end_process(output, 2, f"Ray's {dead[0]} died; what was finished is kept: {GOES_ON}")
        if not must_abandon_ray():
            ray.shutdown()
            close_session(session)

    def ready() -> None:
        if not up.wait(None if address == "local" else ANSWER_S):
            raise Fatal(f"the Ray cluster at {address} does not answer within {ANSWER_S:.0f} s: run ray status on it")
        if reasons:
            raise Fatal(reasons[0])
        if threading.current_thread() is threading.main_thread():
            _handle_signals(output)  # again: Ray's own code has meanwhile made SIGTERM abort the process
        if address != "local":
            print(describe_cluster(), file=stream or sys.stderr, flush=True)

    atexit.unregister(ray.shutdown)  # it would wait for a Ray that never comes up
    if threading.current_thread() is threading.main_thread():
        _handle_signals(output)
    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    patience_s = 5.0
    try:
        yield ready
        patience_s = 60.0  # the work is done, so there is time for Ray to stop
    finally:
        over.set()
        deadline = time.monotonic() + patience_s
        # this also waits for a Ray that is still starting: a half-started Ray cannot be stopped, but it may never come up
        while thread.is_alive() and time.monotonic() < deadline:
            thread.join(0.1)
            _restore_signal_handlers()
        abandon_ray()


def check_loopback() -> None:
    """Raise Fatal where this machine cannot reach itself, as in a container without a network: Ray would wait without a message."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2], timeout=10):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise Fatal(f"127.0.0.1 does not answer ({reason}), and Ray needs the loopback interface: ip link set lo up") from None


def _get_node() -> Any:
    """Return Ray's object of the daemons that this process has started; None where Ray was not even imported."""
    if "ray" not in sys.modules:
        return None
    from platform.launch import ray_internals

    return ray_internals.get_node()


def list_dead_daemons() -> list[str]:
    """Return the names of the daemons started by this process that have died; empty for a joined cluster."""
    node = _get_node()
    return [name for name, _ in node.dead_processes() if name in DAEMONS] if node else []


stuck = threading.Event()
"""Set where a thread is left behind in a call to Ray: a shutdown under that thread would end the process without a message."""


def must_abandon_ray() -> bool:
    """Return whether this process's Ray can only be abandoned, because in a shutdown one half of it would wait for the other."""
    return bool(list_dead_daemons()) or stuck.is_set()


children: dict[int, str] = {}
"""Pid and start time of the processes that our raylet started. Its agents outlive it for minutes unless they are killed."""


def _remember_children(children: dict[int, str]) -> None:
    node = _get_node()
    for raylet in node.all_processes.get("raylet", []) if node else []:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{raylet.process.pid}/task").iterdir():
                children.update({int(pid): get_process_start(int(pid)) for pid in (task / "children").read_text().split()})


def abandon_ray() -> None:
    """Kill the processes that our Ray started. Its daemons end with this process, but its agents may take minutes to notice."""
    for pid, start in list(children.items()):
        if start and get_process_start(pid) == start:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _end_process(stream: TextIO, code: int, line: str) -> NoReturn:
    """End this process now, and all processes that its Ray started."""
    abandon_ray()
    print_last(stream.fileno(), f"\n{line}")
    exit_process(code)


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""the signals of Ctrl-C, of a scheduler or `kill`, and of a closed terminal"""


def _handle_signals(stream: TextIO) -> None:
    """Handle SIGNALS: the first one raises KeyboardInterrupt, a second one ends the process."""
    # `nohup` ignores SIGHUP, and a shell script ignores SIGINT for `COMMAND &`; such commands are ended by SIGTERM
    numbers = [number for number in SIGNALS if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN]
    first: list[float] = []

    def handle(number: int, frame: object) -> None:
        if not first:
            first.append(time.monotonic())
            raise KeyboardInterrupt
        if time.monotonic() - first[0] > ONCE_S:
            _end_process(stream, 130, f"ended at once; {GOES_ON} from the last checkpoints")

    def handle_unraisable(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):  # raised in a finaliser, and lost there: it is raised again a moment later
            first.clear()
            again = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
            again.daemon = True
            again.start()
        else:
            previous_hook(unraisable)

    previous_hook, sys.unraisablehook = sys.unraisablehook, handle_unraisable
    for number in numbers:
        signal.signal(number, handle)


def _restore_signal_handlers() -> None:
    """Install Python's handlers again: Ray's shutdown resets SIGTERM to the default action without Python's knowledge."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if handler := signal.getsignal(number):
                signal.signal(number, handler)


def require_answer(where: str, patience_s: float = 15.0) -> None:
    """Raise ConnectionError where nothing listens at an address: Ray would try for minutes, then end the process."""
    host, colon, port = where.rpartition(":")
    if where.startswith("ray://"):
        raise ConnectionError("ray:// addresses are not supported: use ray job submit --address http://HEAD:8265")
    if not colon or not port.isdigit():
        return  # `auto` or an invalid address, which Ray handles
    deadline = time.monotonic() + patience_s
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise ConnectionError(f"{error.strerror or error}; is it up? ray up, or unset RAY_ADDRESS, or remove {MEMBER}") from None
            time.sleep(1)


def describe_cluster() -> str:
    """Describe the joined cluster in one line."""
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]
    resources = ray.cluster_resources()
    amounts = ", ".join(f"{resources[kind]:g} {kind}s" for kind in ("CPU", "GPU") if kind in resources)
    return f"joined the Ray cluster at {ray.get_runtime_context().gcs_address}: {len(nodes)} machines, {amounts}"
