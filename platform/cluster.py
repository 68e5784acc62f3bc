"""Ray, started or joined beside whatever the driver does meanwhile."""

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

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


class Fatal(RuntimeError):
    """Nothing more can be done: the disk is full, Ray or the workers cannot start."""


@contextlib.contextmanager
def started() -> Iterator[Callable[[], None]]:
    """Ray comes up in a thread; the function that is yielded waits for it, or raises Fatal. At the end Ray is stopped.

    The same thread stops it, and lives until then: Linux kills Ray's daemons when the thread that started them ends. Called in the
    main thread, a scheduler's SIGTERM becomes Ctrl-C.
    """
    import ray  # here, for a grid that has nothing to do imports this file, too

    up, over = threading.Event(), threading.Event()
    reasons: list[str] = []

    def live() -> None:
        try:
            # no dashboard: it starts a dozen processes, and ray.init waits for them; whoever wants it starts Ray and sets RAY_ADDRESS
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", configure_logging=False)
        except Exception as error:
            reasons.append(f"Ray does not start: {(str(error).splitlines() or [type(error).__name__])[0]}")
        up.set()
        over.wait()
        ray.shutdown()

    def ready() -> None:
        up.wait()
        if reasons:
            raise Fatal(reasons[0])

    atexit.unregister(ray.shutdown)  # it would wait for a Ray that never comes up
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # not by way of SIGINT, which a job of `nohup ... &` ignores
    life = threading.Thread(target=live, daemon=True)
    life.start()
    try:
        yield ready
    finally:
        over.set()
        life.join(10)  # also of a Ray that is still coming up: half of it cannot be stopped, but an address may never answer
