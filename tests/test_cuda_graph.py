"""Tests of captured steps: where the capture fails, or the replay differs, the step itself runs, with bitwise equal results."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.execution.cuda_graph import CUDAGraphStep, set_learning_rate


def plain(step: Any, *_: object) -> Any:
    return step


def training(make: Callable[..., Any], steps: int = 6) -> tuple[list[float], dict[str, Tensor], Any]:
    """Train a small network that has everything a step can change. Return the losses, the parameters and buffers, and the wrapped step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3, fused=True)

    def step(inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return {"train/loss": loss.detach()}

    recorded = make(step, model, optimizer)
    losses = []
    for number in range(steps):
        set_learning_rate(optimizer, 0.1 / (1 + number), recorded)
        inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(number))
        losses.append(float(recorded(inputs, torch.arange(16) % 3)["train/loss"]))
    return losses, {name: value.clone() for name, value in model.state_dict().items()}, recorded


@pytest.mark.skipif(torch.cuda.is_available(), reason="what happens without a GPU")
def test_without_a_gpu_the_step_itself_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    losses, state, _ = training(plain)
    assert not capsys.readouterr().err
    again, same, recorded = training(CUDAGraphStep)
    assert recorded.plain and again == losses
    assert all(torch.equal(same[name], state[name]) for name in state)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("CUDA graph capture failed, and steps run slower: ")


class Replayed(CUDAGraphStep):
    """A fake of a captured step: its replay runs the step itself, or, in subclasses, a wrong one."""

    def replayed(self, *batch: Tensor) -> dict[str, Tensor]:
        return self.step(*batch)

    def _capture_graph(self, batch: tuple[Tensor, ...]) -> None:
        self.batch = tuple(tensor.clone() for tensor in batch)
        for _ in range(3):
            self.step(*self.batch)
        self.graph = object()

    def _replay_graph(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return self.replayed(*batch)


class Nothing(Replayed):
    def replayed(self, *batch: Tensor) -> dict[str, Tensor]:
        return {"train/loss": torch.zeros(())}


class HalfTheRate(Replayed):
    def replayed(self, *batch: Tensor) -> dict[str, Tensor]:
        group = self.optimizer.param_groups[0]
        group["lr"] /= 2
        logs = self.step(*batch)
        group["lr"] *= 2
        return logs


class NoBuffers(Replayed):
    def replayed(self, *batch: Tensor) -> dict[str, Tensor]:
        buffers = {name: value.clone() for name, value in self.model.named_buffers()}
        logs = self.step(*batch)
        for name, value in self.model.named_buffers():
            value.copy_(buffers[name])
        return logs


def test_warming_up_and_trying_leave_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    losses, state, _ = training(plain)
    again, same, recorded = training(Replayed)
    assert not recorded.plain and again == losses and not capsys.readouterr().err
    assert all(torch.equal(same[name], state[name]) for name in state)


@pytest.mark.parametrize(("kind", "off"), [(Nothing, "100%"), (HalfTheRate, "50%"), (NoBuffers, "100%")])
def test_a_replay_that_is_another_step_is_refused(kind: type[Replayed], off: str, capsys: pytest.CaptureFixture[str]) -> None:
    losses, state, _ = training(plain)
    again, same, recorded = training(kind)
    assert recorded.plain and again == losses
    assert all(torch.equal(same[name], state[name]) for name in state)
    assert (
        f"CUDA graph capture failed, and steps run slower: RuntimeError: replayed, the step is off by {off} of its length"
        in capsys.readouterr().err
    )


@pytest.mark.gpu
def test_a_resumed_optimiser_gets_a_learning_rate_on_the_gpu() -> None:
    """A checkpoint is read on the CPU, and `load_state_dict` leaves the learning rate there. A graph would capture it as a constant."""
    model = nn.Linear(4, 3).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    step = CUDAGraphStep(lambda *_: {}, model, optimizer)
    set_learning_rate(optimizer, 0.1, step)
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group["lr"] = group["lr"].cpu()
    optimizer.load_state_dict(state)
    set_learning_rate(optimizer, 0.05, step)
    assert all(group["lr"].device.type == "cuda" and float(group["lr"]) == pytest.approx(0.05) for group in optimizer.param_groups)
