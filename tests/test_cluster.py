"""How Ray is started: beside the driver's imports, with nothing a grid does not need, and stoppable at any moment."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def python(code: str, **variables: str) -> tuple[int, str]:
    """Run code in a process of its own, Ray's chatter left out; (exit code, what it printed)."""
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)} | variables
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, timeout=300)
    return done.returncode, done.stdout.strip()


CTRL_C = """
import os, signal, subprocess, time
from platform import cluster

{first}

def living():
    # our children, less the `ps` that names them and those that only wait to be collected
    lines = subprocess.run(["ps", "-o", "stat=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if not line.startswith("Z") and not line.endswith(" ps")]

try:
    with cluster.started() as ready:
        os.kill(os.getpid(), signal.{name})
        ready()
except KeyboardInterrupt:
    print("stopped")
until = time.monotonic() + 20
while living() and time.monotonic() < until:
    time.sleep(0.1)
print(living())
"""


@pytest.mark.parametrize(
    ("name", "first"),
    [
        (signal.SIGINT.name, "signal.signal(signal.SIGINT, signal.default_int_handler)"),  # these tests may run in the background
        (signal.SIGTERM.name, "signal.signal(signal.SIGINT, signal.SIG_IGN)"),  # as `nohup ... &` has it
    ],
)
def test_ctrl_c_and_sigterm_stop_a_ray_that_is_coming_up(name: str, first: str) -> None:
    assert python(CTRL_C.format(name=name, first=first)) == (0, "stopped\n[]")


UP = """
import ray
from platform import cluster
with cluster.started() as ready:
    ready()
    print(ray.get(ray.remote(lambda: "a task ran").remote()))
print(ray.is_initialized())
"""


def test_ray_is_up_when_ready_and_stopped_at_the_end() -> None:
    assert python(UP) == (0, "a task ran\nFalse")


REFUSED = """
from platform import cluster
try:
    with cluster.started() as ready:
        ready()
except cluster.Fatal as error:
    print(error)
"""


def test_a_ray_that_does_not_start_is_one_line() -> None:
    code, said = python(REFUSED, RAY_ADDRESS="no address")
    assert code == 0 and said.startswith("Ray does not start: ") and len(said.splitlines()) == 1


LEAN = """
import sys
import trainables.slot
print([name for name in ("torch", "ray.tune", "tensorboard") if name in sys.modules])
"""


def test_what_every_worker_imports_first_is_lean() -> None:
    """The Train controller and the workers import slot.py to find what they run: a second there is a second of every process."""
    assert python(LEAN) == (0, "[]")


LEFT_OUT = """
from platform import schedule
from ray.train.torch import TorchTrainer
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
started = [type(callback) for callback in TorchTrainer(print)._create_default_callbacks()]
print(schedule.DatasetsCallback in started, schedule.PlacementGroupCleanerCallback in started)
print("_initialize_and_run_controller" in vars(DataParallelTrainer), "_initialize_and_run_controller" in vars(TorchTrainer))
print(hasattr(FixedScalingPolicy, "after_controller_start"), hasattr(FixedScalingPolicy, "_maybe_send_resource_request"))
"""


def test_ray_train_still_has_what_we_leave_out() -> None:
    """Our trainer overrides Ray's own parts: with another Ray it might silently override nothing."""
    assert python(LEFT_OUT) == (0, "True True\nTrue False\nTrue True")
