"""How Ray is started: parallel to the driver's imports, without anything that a grid does not need, and stoppable at any moment."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from platform.launch import cluster
from tests.running import PATIENCE_S
from tests.s3 import free_port

ROOT = Path(__file__).resolve().parent.parent


def python(code: str, **variables: str) -> tuple[int, str]:
    """Run code in a new process; return (exit code, standard output). Standard error, with Ray's messages, is left out."""
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)} | variables
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    return done.returncode, done.stdout.strip()


CTRL_C = """
import os, signal, subprocess, time
from platform.launch import cluster

{first}

def living():
    # our children, less the `ps` that names them and those that only wait to be collected
    lines = subprocess.run(["ps", "-o", "stat=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if not line.startswith("Z") and not line.endswith(" ps")]

try:
    with cluster.start_ray() as ready:
        os.kill(os.getpid(), signal.{name})
        ready()
except KeyboardInterrupt:
    print("stopped")
until = time.monotonic() + 600
while living() and time.monotonic() < until:
    time.sleep(0.1)
print(living())
"""


@pytest.mark.parametrize(
    ("name", "first"),
    [
        (signal.SIGINT.name, "signal.signal(signal.SIGINT, signal.default_int_handler)"),  # tests that run in the background ignore SIGINT
        (signal.SIGTERM.name, "signal.signal(signal.SIGINT, signal.SIG_IGN)"),  # as in `nohup ... &`
    ],
)
def test_ctrl_c_and_sigterm_stop_a_ray_that_is_coming_up(name: str, first: str) -> None:
    assert python(CTRL_C.format(name=name, first=first)) == (0, "stopped\n[]")


UP = """
import os, signal, time
import ray
from platform.launch import cluster
with cluster.start_ray() as ready:
    ready()
    print(ray.get(ray.remote(lambda: "a task ran").remote()))
print(ray.is_initialized(), flush=True)
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)
except KeyboardInterrupt:
    print("stopped")
"""


REFUSED = """
from platform.launch import cluster
try:
    with cluster.start_ray() as ready:
        ready()
except cluster.Fatal as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("no address", "no address cannot be joined: "),
        ("127.0.0.1:{free}", "Connection refused; is it up? ray up, or unset RAY_ADDRESS"),
        ("ray://127.0.0.1:10001", "ray job submit"),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_one_line(address: str, said: str) -> None:
    address = address.format(free=free_port())
    code, output = python(REFUSED, RAY_ADDRESS=address)
    assert code == 0 and output.startswith("the Ray cluster at ") and said in output and len(output.splitlines()) == 1


def test_a_port_that_never_speaks_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, output = python(
            "from platform.launch import cluster\ncluster.ANSWER_S = 3" + REFUSED, RAY_ADDRESS=f"127.0.0.1:{silent.getsockname()[1]}"
        )
    assert code == 0 and "does not answer within 3 s" in output and len(output.splitlines()) == 1


def test_which_ray_a_command_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a laptop, a command uses its own Ray, whatever else runs; on a machine of a cluster, the cluster. RAY_ADDRESS overrides both."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cluster, "MEMBER", tmp_path / ".cluster")
    assert cluster.choose_address() == "local"
    (tmp_path / ".cluster").write_text("10.0.0.1:6379\n")
    assert cluster.choose_address() == "10.0.0.1:6379"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    assert cluster.choose_address() == "10.0.0.2:6379"


LONG_PATH = "/tmp/" + "a-folder-with-a-long-name/" * 4


def test_ray_is_up_when_ready_and_stopped_at_the_end_and_then_signals_are_still_heard() -> None:
    """Ray starts with a read-only home and a long TMPDIR, too. All grids in the tests show that it starts with ordinary ones.

    Ray resets the handler of SIGTERM when it shuts down. Without our handler, SIGTERM would end the report without a message.
    """
    Path(LONG_PATH).mkdir(parents=True, exist_ok=True)
    assert python(UP, HOME="/proc/nowhere", TMPDIR=LONG_PATH, RAY_AUTH_MODE="token") == (0, "a task ran\nFalse\nstopped")


@pytest.mark.parametrize(
    ("place", "said"),
    [("/proc/nowhere", "set RAY_TMPDIR to a folder that can be written"), (LONG_PATH, "set RAY_TMPDIR to one of")],
)
def test_a_folder_that_ray_cannot_use_is_one_line(place: str, said: str) -> None:
    code, output = python(REFUSED.replace("cluster.Fatal", "(cluster.Fatal, OSError)"), RAY_TMPDIR=place)
    assert code == 0 and place in output and said in output and len(output.splitlines()) == 1, output


def test_no_network_at_all_is_one_line() -> None:
    """Without any network, as in some containers, Ray would wait forever."""
    command = ["unshare", "--net", sys.executable, "-c", REFUSED]
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        pytest.skip("a network namespace needs root")
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0 and "127.0.0.1 does not answer" in done.stdout and len(done.stdout.splitlines()) == 1


LEAN = """
import sys
import trainables.workers.trial_actor
print([name for name in ("torch", "ray.tune", "tensorboard") if name in sys.modules])
"""


def test_what_every_worker_imports_first_is_lean() -> None:
    """The Train controller and the workers import trial_actor.py. A second of import delays every process by a second."""
    assert python(LEAN) == (0, "[]")


COMMANDS = """
import sys
from platform import data, doctor, explain, grid, report, search
for command in (data, doctor, explain, grid, report, search):
    __import__(f"{command.__name__}.__main__")
print([name for name in ("torch", "ray", "scipy", "matplotlib", "optuna") if name in sys.modules])
import platform.report.write_report
print([name for name in ("torch", "ray") if name in sys.modules])
"""


def test_help_waits_for_no_large_import_and_a_report_for_no_torch() -> None:
    assert python(COMMANDS) == (0, "[]\n[]")


GRID = """
import sys
import platform.grid.run
print([name for name in ("scipy", "matplotlib", "optuna") if name in sys.modules])
"""


def test_a_grid_begins_without_the_imports_of_its_report() -> None:
    """The report imports scipy while nothing waits for it. The question whether a run folder has a sequential design must not."""
    assert python(GRID) == (0, "[]")


IN_A_FINALISER = """
import sys, time
from platform.launch import cluster
cluster._handle_signals(sys.stderr)
class Slow:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(60)
try:
    Slow()
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def test_a_signal_that_meets_a_finaliser_is_not_lost() -> None:
    """Python prints an exception in a finaliser and continues. The command would train to its end, with a traceback on the terminal."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", IN_A_FINALISER], cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, error) == (0, "stopped\n", "")


TWICE = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.{sigint})
from platform.launch import cluster
cluster._handle_signals(sys.stderr)
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopping", flush=True)
    time.sleep(60)  # what is being tidied up
"""


@pytest.mark.parametrize(("sigint", "sent"), [("default_int_handler", signal.SIGINT), ("SIG_IGN", signal.SIGTERM)])
def test_the_second_time_it_leaves_at_once_and_says_how_to_go_on(sigint: str, sent: signal.Signals) -> None:
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", TWICE.format(sigint=sigint)], cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout and process.stdout.readline() == "ready\n"
    if sigint == "SIG_IGN":
        process.send_signal(signal.SIGINT)  # a job of `nohup ... &` ignores it
    process.send_signal(sent)
    assert process.stdout.readline() == "stopping\n"
    time.sleep(cluster.ONCE_S)  # within ONCE_S it counts as the same signal, sent to the process and to its group
    process.send_signal(sent)
    error = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 130 and error.endswith("ended at once; run the same command again to resume from the last checkpoints\n")
