"""Ray, started or joined beside whatever the driver does meanwhile."""

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TextIO

from platform.sessions import close, open_session, sweep

# Read by Ray at import, here and in every process it starts.
os.environ.update(
    RAY_CHDIR_TO_TRIAL_DIR="0",  # paths mean what the user typed
    RAY_TRAIN_ENABLE_PREEMPTION_WATCHER="0",  # one process less; it does not fit replica groups
    RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.5",
    RAY_TRAIN_METRICS_ENABLED="0",
    RAY_USAGE_STATS_ENABLED="0",  # nothing leaves the building
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",  # board.py writes TensorBoard, the workers write the results
    TUNE_GLOBAL_CHECKPOINT_S="600",  # Tune's own state is never restored
    TUNE_WARN_THRESHOLD_S="60",
)
if not os.environ.get("RAY_ADDRESS"):
    # of its two sides the one that listens on 127.0.0.1: on Linux the other would, even for one machine, open every port to the network
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"

DAEMONS = ("gcs_server", "raylet")
"""without these a Ray is none; it would notice after a minute, and end the driver's process without a word"""
GOES_ON = "the same command again goes on"


class Fatal(RuntimeError):
    """Nothing more can be done: the disk is full, Ray or the workers cannot start."""


@contextlib.contextmanager
def started(stream: TextIO | None = None) -> Iterator[Callable[[], None]]:
    """Ray comes up in a thread; the function that is yielded waits for it, or raises Fatal. At the end Ray is stopped.

    The same thread stops it, and lives until then: Linux kills Ray's daemons when the thread that started them ends. Called in the
    main thread, a scheduler's SIGTERM becomes Ctrl-C, and the second of either leaves at once, with a line on `stream`.
    """
    import ray  # here, for a grid that has nothing to do imports this file, too

    up, over = threading.Event(), threading.Event()
    reasons: list[str] = []

    def live() -> None:
        session = ""
        try:
            # no dashboard: it starts a dozen processes, and ray.init waits for them; whoever wants it starts Ray and sets RAY_ADDRESS
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", configure_logging=False)
            session = open_session()
        except Exception as error:
            reasons.append(f"Ray does not start: {(str(error).splitlines() or [type(error).__name__])[0]}")
        up.set()
        over.wait()
        if not dead():  # half a Ray cannot be shut down: it would wait for the other half
            ray.shutdown()
            close(session)

    def ready() -> None:
        up.wait()
        if reasons:
            raise Fatal(reasons[0])

    atexit.unregister(ray.shutdown)  # it would wait for a Ray that never comes up
    if threading.current_thread() is threading.main_thread():
        _hear_signals(stream or sys.stderr)
    sweep()
    life = threading.Thread(target=live, daemon=True)
    life.start()
    try:
        yield ready
    finally:
        over.set()
        life.join(5)  # also of a Ray that is still coming up: half of it cannot be stopped, but an address may never answer


def dead() -> list[str]:
    """Which of the daemons that we started have died; of a cluster that was joined there are none."""
    ray = sys.modules.get("ray")
    node = ray and ray._private.worker._global_node
    return [name for name, _ in node.dead_processes() if name in DAEMONS] if node else []


def _hear_signals(stream: TextIO) -> None:
    """Ctrl-C and SIGTERM: the first time a KeyboardInterrupt, the second time the end."""
    heard = [signal.SIGTERM]  # not by way of SIGINT, which a job of `nohup ... &` ignores
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        heard.append(signal.SIGINT)

    def second(number: int, frame: object) -> None:
        with contextlib.suppress(OSError):  # not by way of Python's buffers, whose lock may be held
            os.write(stream.fileno(), f"\nleft at once; {GOES_ON} from the last checkpoints\n".encode())
        os._exit(130)

    def first(number: int, frame: object) -> None:
        for each in heard:
            signal.signal(each, second)
        raise KeyboardInterrupt

    for each in heard:
        signal.signal(each, first)
