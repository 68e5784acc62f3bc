"""A Ray for a whole test session: `python -m tests.forking.head SOCKET GPUS`. Ends when its standard input does.

Its workers are forks of a server that listens on the socket. On 127.0.0.1 alone, with two CPUs and no dashboard.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from platform import cluster  # first: it sets what Ray reads at import, here and in all that this starts

# isort: split
import ray
import ray._private.node
from ray._private.parameter import RayParams

HERE = Path(__file__).resolve().parent
NO_JOB = "ffffffff"
"""what Ray calls a worker's job before its first task: read when Ray is imported, so that all forks have it"""


def main(place: str, gpus: str) -> None:
    os.environ.update(RAY_AUTH_MODE="disabled", FERRAY_FORK_SERVER=place)
    parameters = RayParams(
        node_ip_address="127.0.0.1",
        num_cpus=2,
        num_gpus=int(gpus),
        setup_worker_path=str(HERE / "worker.py"),
        include_dashboard=False,
        include_log_monitor=False,
        no_monitor=True,
    )
    node = ray._private.node.Node(parameters, head=True, shutdown_at_exit=False, spawn_reaper=True, ray_init_cluster=True)
    raylet = node.all_processes["raylet"][0].process.pid
    server = None
    if not os.path.exists(place):  # else another Ray's, which lasts longer, serves this one, too
        environment = os.environ | {"RAY_RAYLET_PID": str(raylet), "RAY_JOB_ID": NO_JOB}
        server = subprocess.Popen([sys.executable, str(HERE / "server.py"), place, "worker"], stdin=subprocess.PIPE, env=environment)
    print(f"ready at {node.gcs_address}", flush=True)
    sys.stdin.read()
    agents = [int(pid) for path in Path(f"/proc/{raylet}/task").glob("*/children") for pid in path.read_text().split()]
    node.kill_all_processes(check_alive=False, allow_graceful=False)
    if server and server.stdin:
        server.stdin.close()
        server.wait()
    for pid in agents:  # they would notice the end of their raylet after a minute
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(node.get_session_dir_path(), ignore_errors=True)


if __name__ == "__main__":
    assert cluster.DAEMONS
    main(*sys.argv[1:])
