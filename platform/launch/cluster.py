"""Ray, started or joined beside whatever the driver does meanwhile."""

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
from platform.launch.sessions import close_session, find_session_root, open_session, remove_dead_sessions
from platform.terminal.console import print_last
from platform.terminal.supervisor import GOES_ON, ONCE_S, exit_process, report_lost

# Read by Ray at import, here and in every process it starts.
os.environ.update(
    RAY_CHDIR_TO_TRIAL_DIR="0",  # paths mean what the user typed
    RAY_TRAIN_ENABLE_PREEMPTION_WATCHER="0",  # one process less; it does not fit replica groups
    RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.5",
    RAY_TRAIN_METRICS_ENABLED="0",
    RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S="90",  # Ray's ten minutes are long for a worker that has no memory left to answer with
    RAY_USAGE_STATS_ENABLED="0",  # nothing leaves the building
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",  # board.py writes TensorBoard, the workers write the results
    TUNE_GLOBAL_CHECKPOINT_S="600",  # Tune's own state is never restored
    TUNE_WARN_THRESHOLD_S="60",
)

DAEMONS = ("gcs_server", "raylet")
"""without these a Ray is none; it would notice after a minute, and end the driver's process without a word"""
MEMBER = Path(__file__).resolve().parents[2] / ".cluster"
"""On a machine of a cluster, the cluster's address: cluster.yaml's start commands write it there."""
ANSWER_S = 45.0
"""so long a cluster may take to answer"""


class Fatal(RuntimeError):
    """Nothing more can be done: the disk is full, Ray or the workers cannot start."""


def choose_address() -> str:
    """Which Ray a command uses: the one of RAY_ADDRESS, else on a machine that cluster.yaml set up that cluster, else one of its own.

    Ray itself would join whatever was started last on this machine, a stranger's too.
    """
    if given := os.environ.get("RAY_ADDRESS"):
        return given
    return MEMBER.read_text().strip() if MEMBER.exists() else "local"


@contextlib.contextmanager
def start_ray(stream: TextIO | None = None) -> Iterator[Callable[[], None]]:
    """Ray comes up in a thread; the function that is yielded waits for it, or raises Fatal. At the end Ray is stopped.

    The same thread stops it, and lives until then: Linux kills Ray's daemons when the thread that started them ends. Called in the
    main thread, a scheduler's SIGTERM becomes Ctrl-C, and the second of either leaves at once, with a line on `stream`.
    """
    where = choose_address()
    own: dict[str, Any] = {}
    if where != "local":
        if "RAY_ADDRESS" not in os.environ:
            os.environ.setdefault("RAY_AUTH_MODE", "token")
    else:
        check_loopback()
        # of Ray's two sides the one that listens on 127.0.0.1: on Linux the other would open every port to the network
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # for this Ray alone; Ray would write one into the home folder
        # no dashboard: it starts a dozen processes, and ray.init waits for them; whoever wants it starts Ray and sets RAY_ADDRESS
        own = {"include_dashboard": False, "_temp_dir": str(find_session_root())}
        remove_dead_sessions(Path(own["_temp_dir"]))

    import ray  # here, for a grid that has nothing to do imports this file, too

    children.clear()
    stuck.clear()
    up, over, heard = threading.Event(), threading.Event(), stream or sys.stderr
    reasons: list[str] = []

    def live() -> None:
        session = ""
        try:
            if where != "local":
                require_answer(where)
            ray.init(where, log_to_driver=False, logging_level="ERROR", configure_logging=False, **own)
            session = open_session()
        except Exception as error:
            said = " ".join(str(error).split())[:400] or type(error).__name__
            reasons.append(f"Ray does not start: {said}" if where == "local" else f"the Ray cluster at {where} cannot be joined: {said}")
        up.set()
        looked = 0.0
        while not over.wait(0.1):
            if time.monotonic() - looked > 0.5:
                looked = time.monotonic()
                _remember_children(children)
            if gone := list_dead_daemons():
                report_lost(gone[0])
                if not over.wait(12):  # whoever asked it something waits for an answer, be it the main thread
                    _end_process(heard, 2, f"Ray's {gone[0]} died; what was finished is kept: {GOES_ON}")
        if not must_abandon_ray():
            ray.shutdown()
            close_session(session)

    def ready() -> None:
        if not up.wait(None if where == "local" else ANSWER_S):
            raise Fatal(f"the Ray cluster at {where} does not answer within {ANSWER_S:.0f} s: ray status, there, says how it is")
        if reasons:
            raise Fatal(reasons[0])
        if threading.current_thread() is threading.main_thread():
            _handle_signals(heard)  # again: Ray's own code has meanwhile made of SIGTERM an abort
        if where != "local":
            print(describe_cluster(), file=stream or sys.stderr, flush=True)

    atexit.unregister(ray.shutdown)  # it would wait for a Ray that never comes up
    if threading.current_thread() is threading.main_thread():
        _handle_signals(heard)
    life = threading.Thread(target=live, daemon=True)
    life.start()
    patience_s = 5.0
    try:
        yield ready
        patience_s = 60.0  # all is done, and nobody in a hurry
    finally:
        over.set()
        until = time.monotonic() + patience_s
        while life.is_alive() and time.monotonic() < until:  # also of one that comes up: half of it cannot be stopped, but may never be up
            life.join(0.1)
            _restore_signal_handlers()
        abandon_ray()


def check_loopback() -> None:
    """Fatal where this machine cannot reach itself, as in a container without any network: Ray would wait for that without a word."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2], timeout=10):
            pass
    except OSError as error:
        said = error.strerror or error
        raise Fatal(f"127.0.0.1 does not answer ({said}), and Ray needs the loopback interface: ip link set lo up") from None


def list_dead_daemons() -> list[str]:
    """Which of the daemons that we started have died; of a cluster that was joined there are none."""
    ray = sys.modules.get("ray")
    node = ray and ray._private.worker._global_node
    return [name for name, _ in node.dead_processes() if name in DAEMONS] if node else []


stuck = threading.Event()
"""set by whoever leaves a thread behind in a call of Ray's: shut down under it, Ray would end the process, without a word"""


def must_abandon_ray() -> bool:
    """Whether this process's Ray can only be abandoned: half of it would wait for the other half."""
    return bool(list_dead_daemons()) or stuck.is_set()


children: dict[int, str] = {}
"""processes that our raylet has started, and when each was born: its agents outlive it for minutes where nobody ends them"""


def _remember_children(children: dict[int, str]) -> None:
    ray = sys.modules["ray"]
    node = ray._private.worker._global_node
    for raylet in node.all_processes.get("raylet", []) if node else []:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{raylet.process.pid}/task").iterdir():
                children.update({int(pid): get_process_start(int(pid)) for pid in (task / "children").read_text().split()})


def abandon_ray() -> None:
    """End what our Ray has started. Its daemons end with this process, but its agents may take minutes to notice."""
    for pid, when in list(children.items()):
        if when and get_process_start(pid) == when:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _end_process(stream: TextIO, code: int, line: str) -> NoReturn:
    """End the process here and now, and all that its Ray has started."""
    abandon_ray()
    print_last(stream.fileno(), f"\n{line}")
    exit_process(code)


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a scheduler's or `kill`'s, and that of a terminal that is closed"""


def _handle_signals(stream: TextIO) -> None:
    """Handle SIGNALS: the first one raises KeyboardInterrupt, a second one ends the process."""
    # `nohup` ignores SIGHUP, and a shell that runs a script SIGINT for `COMMAND &`; SIGTERM is the way to end these
    heard = [number for number in SIGNALS if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN]
    began: list[float] = []

    def handle(number: int, frame: object) -> None:
        if not began:
            began.append(time.monotonic())
            raise KeyboardInterrupt
        if time.monotonic() - began[0] > ONCE_S:
            _end_process(stream, 130, f"left at once; {GOES_ON} from the last checkpoints")

    for number in heard:
        signal.signal(number, handle)


def _restore_signal_handlers() -> None:
    """Ray's own code, shut down, has given SIGTERM back to the kernel, behind Python's back."""
    if threading.current_thread() is threading.main_thread():
        for each in SIGNALS:
            if handler := signal.getsignal(each):
                signal.signal(each, handler)


def require_answer(where: str, patience_s: float = 15.0) -> None:
    """Raise where nobody listens at an address: Ray would try for minutes, and end the process."""
    host, colon, port = where.rpartition(":")
    if where.startswith("ray://"):
        raise ConnectionError("a Ray client's driver would stay here: ray job submit --address http://HEAD:8265 sends it to the head")
    if not colon or not port.isdigit():
        return  # auto, or nonsense: Ray knows
    until = time.monotonic() + patience_s
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise ConnectionError(f"{error.strerror or error}; is it up? ray up, or unset RAY_ADDRESS, or remove {MEMBER}") from None
            time.sleep(1)


def describe_cluster() -> str:
    """Which cluster this is, in a line."""
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]
    total = ray.cluster_resources()
    has = ", ".join(f"{total[kind]:g} {kind}s" for kind in ("CPU", "GPU") if kind in total)
    return f"joined the Ray cluster at {ray.get_runtime_context().gcs_address}: {len(nodes)} machines, {has}"
