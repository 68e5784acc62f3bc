"""Tests of Ray's private API: this Ray has the parts that are used, and a grid without any of them gives the same numbers."""

import signal
from pathlib import Path

import pytest

from platform.launch import ray_internals
from tests.faults.ordeal import CLOCK
from tests.forking import LOCAL
from tests.running import run, start
from trainables.storage.store import RunFolder

GRID = ["--only", "method=SL(c)", "--only", "split=0.9", "--only", "ratio=1", "--seeds", "2", "--slots", "2"]
GRID += ["--set", "epochs=1", "--set", "precision=fp32"]

OVERRIDDEN = """
from ray.train.torch import TorchTrainer
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
started = [type(callback) for callback in TorchTrainer(print)._create_default_callbacks()]
print(DatasetsCallback in started, PlacementGroupCleanerCallback in started)
print("_initialize_and_run_controller" in vars(DataParallelTrainer), "_initialize_and_run_controller" in vars(TorchTrainer))
print(hasattr(FixedScalingPolicy, "after_controller_start"), hasattr(FixedScalingPolicy, "_maybe_send_resource_request"))
"""


OWN_RAY = LOCAL | {"RAY_ADDRESS": ""}
PUBLIC_RAY = OWN_RAY | {ray_internals.PUBLIC_ONLY: "1"}


def test_ray_train_still_has_what_is_overridden() -> None:
    """With another version of Ray the trainer might override nothing and raise no error."""
    assert run(["-c", OVERRIDDEN]) == (0, "True True\nTrue False\nTrue True\n")


def test_this_ray_lacks_nothing() -> None:
    assert ray_internals.build_trainer_class().__name__ == "LeanTrainer" and ray_internals.missing == []


@pytest.mark.slow
@pytest.mark.ray
def test_a_grid_without_private_parts_has_the_same_numbers(tmp_path: Path) -> None:
    def train(name: str, environment: dict[str, str]) -> tuple[list[object], str]:
        code, output = run(["-m", "platform.grid", *GRID, "--runs", str(tmp_path / name)], environment)
        assert code == 0, output
        folder = RunFolder(str(tmp_path / name / "adults_as_augmentation-pocket"))
        rows = [folder.get_history(cell.key) for cell in folder.get_cells()]
        results = [folder.get_result(cell.key) or {} for cell in folder.get_cells()]
        numbers: list[object] = [result["metrics"] for result in results]
        return numbers + [[{name: row[name] for name in row if name not in CLOCK} for row in history] for history in rows], output

    with_them, said = train("with", OWN_RAY)
    assert "this Ray lacks" not in said
    without_them, said = train("without", PUBLIC_RAY)
    assert said.count("this Ray lacks") == 1 and "TrainController" in said
    assert without_them == with_them and len(with_them) == 4


@pytest.mark.slow
@pytest.mark.ray
def test_ctrl_c_ends_a_grid_without_private_parts(tmp_path: Path) -> None:
    """The runs of its workers cannot be cancelled. They are abandoned, and the last line is the usual one."""
    words = ["-m", "platform.grid", *GRID, "--set", "epochs=2000", "--runs", str(tmp_path)]
    folder = RunFolder(str(tmp_path / "adults_as_augmentation-pocket"))
    # a process that is started in the background ignores SIGINT
    process = start(words, PUBLIC_RAY, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    process.wait_for(lambda: any(folder.get_history(cell.key) for cell in folder.get_cells()))
    process.send(signal.SIGINT)
    code, output = process.end()
    assert code == 130 and output.strip().splitlines()[-1].startswith("stopped; run the same command again to resume")
