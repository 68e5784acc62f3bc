"""A Ray for a whole test session: `python -m tests.forking.head GPUS`. It ends when its standard input ends.

It listens on 127.0.0.1 only, with two CPUs and no dashboard. Ray starts its workers as usual. Workers that were forked from a process
with all imports started at once, but sometimes one died in Ray's own C++ code.
"""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

from platform.launch import cluster  # first: it sets what Ray reads at import, here and in child processes

# isort: split
import ray
import ray._private.node
from ray._private.parameter import RayParams


def main(gpus: str) -> None:
    os.environ.update(RAY_AUTH_MODE="disabled")
    parameters = RayParams(
        node_ip_address="127.0.0.1",
        num_cpus=2,
        num_gpus=int(gpus),
        include_dashboard=False,
        include_log_monitor=False,
        no_monitor=True,
    )
    node = ray._private.node.Node(parameters, head=True, shutdown_at_exit=False, spawn_reaper=True, ray_init_cluster=True)
    raylet = node.all_processes["raylet"][0].process.pid
    print(f"ready at {node.gcs_address}", flush=True)
    sys.stdin.read()
    agents = [int(pid) for path in Path(f"/proc/{raylet}/task").glob("*/children") for pid in path.read_text().split()]
    node.kill_all_processes(check_alive=False, allow_graceful=False)
    for pid in agents:  # they would notice the end of their raylet only after a minute
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(node.get_session_dir_path(), ignore_errors=True)


if __name__ == "__main__":
    assert cluster.DAEMONS
    main(*sys.argv[1:])
