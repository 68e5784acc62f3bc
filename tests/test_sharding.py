"""Two workers that train one cell in shards: their numbers equal those of one worker up to rounding, and the loss of a worker."""

import json
import tempfile
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests import tiny
from tests.faults import processes
from tests.forking import ForkServer, SharedRay
from tests.test_methods import cell as make_any_cell
from trainables.cell import Cell, Data
from trainables.loop import train_cell
from trainables.models import encoder, encoders
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

MEMBER = """
import json, os, sys, torch
torch.set_num_threads(1)
from trainables.cell import Cell
from trainables.loop import Diverged, train_cell
from trainables.execution.sharding import PeerLost, join_shards
from trainables.storage.store import RunFolder
from tests.test_sharding import plain
index, size, name, root, leave, cell = sys.argv[1:]
steps = 0
def halt():
    global steps
    steps += 1
    if steps == int(leave):
        os._exit(9)
    return False
try:
    with join_shards(int(index), int(size), name, False, 30.0, os.path.dirname(root)) as shard:
        train_cell(Cell.from_json(json.loads(cell)), RunFolder(root), checkpoint_s=0.0, halt=halt, shard=shard)
except (PeerLost, Diverged) as error:
    print(type(error).__name__, error)
    sys.exit(3)
"""
ARMS = ("SL(c)", "UC(c+a)", "SC(c<-a)")


def plain() -> None:
    """Register the network `plain`, which has no batch normalisation."""

    class Plain(nn.Sequential):
        features = 16

        def __init__(self, channels: int, size: int) -> None:
            layers = nn.Conv2d(channels, 16, 5, 4), nn.GELU(), nn.Conv2d(16, 16, 3, 2), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
            super().__init__(*layers)

    if "plain" not in encoders():
        encoder("plain")(Plain)


plain()


Together = Callable[..., list[tuple[int, str]]]


@pytest.fixture(scope="module")
def together(fork_server: ForkServer) -> Together:
    def train_together(cell: Cell, folder: RunFolder, size: int, leave: int = -1) -> list[tuple[int, str]]:
        """Train the cell in `size` processes, of which the last exits at step `leave`. Return exit code and output of each process."""
        running, name = [], uuid.uuid4().hex
        for index in range(size):
            exit_step = str(leave) if index == size - 1 else "-1"
            arguments = [str(index), str(size), name, folder.root, exit_step, json.dumps(cell.to_json())]
            running.append(fork_server.start(["-c", MEMBER, *arguments]))
        return [process.end() for process in running]

    return train_together


def finish(together: Together, cell: Cell, folder: RunFolder) -> None:
    """Train the cell to its end in two processes."""
    results = together(cell, folder, 2)
    assert [code for code, _ in results] == [0, 0], results


def parameters(folder: RunFolder, cell: Cell) -> torch.Tensor:
    return torch.cat([tensor.flatten().double() for tensor in folder.get_checkpoint(cell.key)["modules"].values()])


def losses(folder: RunFolder, cell: Cell) -> list[float]:
    return [row["train/loss"] for row in folder.get_history(cell.key)]


@pytest.mark.parametrize("arm", ARMS)
def test_two_workers_train_as_one_does(together: Together, roles: dict[str, Data], arm: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"encoder": "plain", "lr": 0.02, "batch": 12}
    one, two = (RunFolder(str(tmp_path / name)) for name in ("one", "two"))
    alone, shared = tiny.cell(roles, arm, **settings), tiny.cell(roles, arm, devices=2, **settings)
    train_cell(alone, one)
    finish(together, shared, two)
    np.testing.assert_allclose(losses(two, shared), losses(one, alone), rtol=2e-5)
    torch.testing.assert_close(parameters(two, shared), parameters(one, alone), rtol=1e-3, atol=2e-5)
    for folder, cell in ((one, alone), (two, shared)):
        assert folder.has_whole_result(cell.key)
    assert two.get_result(shared.key)["metrics"]["test/accuracy"] == pytest.approx(one.get_result(alone.key)["metrics"]["test/accuracy"])


OTHERS = {
    "adversarial_autoencoder": {"encoder": "pk", "encoder_settings": {"width": 1 / 16}, "weights": None},
    "annealed_label_transfer": {"slope": 0.0},
    "ciao": {"encoder": "pk", "encoder_settings": {"width": 1 / 16}, "head": {"dropout": 0.0}},
    "from_scratch": {},
    "frozen": {},
    "labelled": {},
    "pseudo_label": {"ramp": (0.0, 0.0)},
    "pseudo_label_alrao": {"ramp": (0.0, 0.0)},
}
"""Methods of the other studies, with settings by which every part of a step acts and none draws a random number."""


@pytest.mark.parametrize("name", OTHERS)
def test_two_workers_train_every_method_as_one_does(together: Together, roles: dict[str, Data], name: str, tmp_path: Path) -> None:
    one, two = (RunFolder(str(tmp_path / worker)) for worker in ("one", "two"))
    settings: dict[str, Any] = {"encoder": "plain", "batch": 12, "lr": 0.002} | OTHERS[name]
    alone, shared = (make_any_cell(roles, name, "", devices=devices, **settings) for devices in (1, 2))
    accepted = name != "adversarial_autoencoder"  # these images can be told apart by their pixels, so its encoder is refused at the end
    with nullcontext() if accepted else pytest.raises(BadRequest, match="the encoder is not accepted"):
        train_cell(alone, one, checkpoint_s=0.0)
    assert [code for code, _ in together(shared, two, 2)] == ([0, 0] if accepted else [1, 1])
    np.testing.assert_allclose(losses(two, shared), losses(one, alone), rtol=2e-5)
    torch.testing.assert_close(parameters(two, shared), parameters(one, alone), rtol=1e-3, atol=5e-5)


def test_with_batch_normalisation_all_hold_to_the_first_ones_statistics(together: Together, roles: dict[str, Data], tmp_path: Path) -> None:
    """The numbers are not those of one worker, but the training completes, and a repetition gives the same bits."""
    cell = tiny.cell(roles, "SC(c<-a)", devices=2, batch=12)
    folders = [RunFolder(str(tmp_path / name)) for name in ("a", "b")]
    for folder in folders:
        finish(together, cell, folder)
    assert torch.equal(*(parameters(folder, cell) for folder in folders))
    assert losses(folders[0], cell) == losses(folders[1], cell)


def test_when_one_goes_the_other_says_so_and_they_go_on_to_the_same_bits(
    together: Together, roles: dict[str, Data], tmp_path: Path
) -> None:
    cell = tiny.cell(roles, "SC(c<-a)", devices=2, batch=12)
    whole, broken = (RunFolder(str(tmp_path / name)) for name in ("whole", "broken"))
    finish(together, cell, whole)
    (code, output), (exit_code, _) = together(cell, broken, 2, leave=4)
    assert exit_code == 9 and code == 3 and "PeerLost another worker of its 2 has gone" in output
    assert not broken.has_whole_result(cell.key)
    finish(together, cell, broken)
    assert torch.equal(parameters(broken, cell), parameters(whole, cell)) and losses(broken, cell) == losses(whole, cell)


def test_who_never_comes_is_not_waited_for_long(fork_server: ForkServer, tmp_path: Path) -> None:
    code = f"""
import trainables.execution.sharding as sharding
sharding.MEET_S = 1.0
try:
    with sharding.join_shards(0, 2, "{uuid.uuid4().hex}", False, 600.0, "{tmp_path}"):
        print("met nobody")
except sharding.PeerLost as error:
    print(error)
"""
    output = fork_server.run(["-c", code])[1]
    assert "the 2 workers of a training could not connect" in output and "met nobody" not in output


def test_a_batch_that_cannot_be_shared_is_refused(together: Together, roles: dict[str, Data], tmp_path: Path) -> None:
    cell = tiny.cell(roles, "SL(c)", devices=3, batch=8)
    for code, output in together(cell, RunFolder(str(tmp_path)), 3):
        assert code == 1 and "BadRequest: devices=3: 8 items a step cannot be shared evenly" in output


def test_a_grid_whose_cell_has_two_workers_outlives_one_of_them(shared_ray: SharedRay, together: Together, tmp_path: Path) -> None:
    """The grid runs by its command on a real Ray. Its numbers are those of two processes without Ray."""
    runs, before = tmp_path / "runs", set(Path(tempfile.gettempdir()).glob("ferray-shard-*"))
    settings = {"devices": 2, "per_class": 8, "probe_epochs": 5, "precision": "fp32", "epochs": 3}
    options = ["--only", "method=SC(c<-a)", "--only", "split=.5", "--only", "ratio=1", "--seeds", "1", "--slots", "2", "--runs", str(runs)]
    options += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    grid = shared_ray.start("platform.grid", *options)
    folder = RunFolder(str(runs / "adults_as_augmentation-pocket"))
    grid.wait_for(lambda: list(runs.glob("*/cells/*/last-words.txt")))  # exists while a cell trains
    assert processes.kill(shared_ray.pids("worker")[0])
    code, output = grid.end()
    assert code == 0 and "1/1 trainings done, 0 failed" in output, output
    assert set(Path(tempfile.gettempdir()).glob("ferray-shard-*")) <= before, "where they met is left"
    reference = RunFolder(str(tmp_path / "plainly"))
    for cell in folder.get_cells():
        finish(together, cell, reference)
        assert losses(folder, cell) == losses(reference, cell)
        assert torch.equal(parameters(folder, cell), parameters(reference, cell))


def test_more_devices_than_a_machine_has_are_refused(shared_ray: SharedRay, tmp_path: Path) -> None:
    options = ["--only", "method=SL(c)", "--seeds", "1", "--set", "devices=4", "--slots", "2", "--runs", str(tmp_path)]
    code, output = shared_ray.run("platform.grid", *options)
    assert code == 2 and "devices=4: no machine has so many slots (at most 2)" in output.strip().splitlines()[-1]
