"""Recorded: a step recorded once as a CUDA graph and replayed, hundreds of launches in one.

A GPU waits for a small network's launches, not for its arithmetic: 3.4 times as many steps for a ResNet-18 at 32x32 (DESIGN's sources).
"""

import math
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from trainables.execution.config import format_error

Logs = dict[str, Tensor]
WARM_UP = 3
"""steps before recording: libraries choose their kernels in the first"""
TOLERANCE = 0.05
"""share of a step's length: sums in another order, rounded to bf16, are within a tenth of that"""


class CUDAGraphStep:
    """Behaves as `step`, which maps a batch's tensors, always of the same shapes, to scalars on the device.

    The step is recorded at its first call and then tried: from the same state the replayed step must leave the same parameters as the
    step itself, to rounding. If it does not, or cannot be recorded, the step is made plainly for ever after, with one line that says why.
    The learning rate must be a tensor on the GPU (a number would be recorded with the rest); `set_learning_rate` sees to it.
    """

    def __init__(self, step: Callable[..., Logs], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.step, self.model, self.optimizer = step, model, optimizer
        self.graph: torch.cuda.CUDAGraph | None = None
        self.plain = False

    def __call__(self, *batch: Tensor) -> Logs:
        if self.graph is None and not self.plain:
            self._prepare_graph(batch)
        if self.plain or [each.shape for each in batch] != [each.shape for each in self.batch]:
            return self.step(*batch)
        return self._replay_graph(batch)

    def _prepare_graph(self, batch: tuple[Tensor, ...]) -> None:
        before = _TrainingState(self.model, self.optimizer)
        try:
            self._capture_graph(batch)
            before.restore_in_place()
            self.step(*batch)
            expected = _TrainingState(self.model, self.optimizer)
            before.restore_in_place()
            self._replay_graph(batch)
            if not (apart := expected.measure_deviation(before)) < TOLERANCE:
                raise RuntimeError(f"replayed, the step is off by {apart:.0%} of its length")
        except (RuntimeError, AssertionError) as error:  # what CUDA says, or its absence
            if isinstance(error, torch.OutOfMemoryError):
                raise
            self.plain, self.graph = True, None
            print(f"not recorded, and slower for it: {format_error(error)}", file=sys.stderr)
        before.restore_in_place()

    def _capture_graph(self, batch: tuple[Tensor, ...]) -> None:
        self.batch = tuple(each.clone() for each in batch)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self.step(*self.batch)
            self.optimizer.zero_grad(set_to_none=True)  # so that gradients come from the graph's own memory
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.logs = self.step(*self.batch)

    def _replay_graph(self, batch: tuple[Tensor, ...]) -> Logs:
        for place, value in zip(self.batch, batch, strict=True):
            place.copy_(value, non_blocking=True)
        assert self.graph is not None
        self.graph.replay()
        return self.logs


class _TrainingState:
    """A copy of all that a step changes: parameters, buffers, the optimiser's moments, the random state."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.model, self.optimizer = model, optimizer
        self.copies = {key: value.detach().clone() for key, value in self._collect_tensors().items()}
        self.rng = torch.cuda.get_rng_state() if torch.cuda.is_available() else None

    def _collect_tensors(self) -> dict[tuple[str, str], Tensor]:
        found: dict[tuple[str, str], Tensor] = {("parameter", name): value for name, value in self.model.named_parameters()}
        found |= {("buffer", name): value for name, value in self.model.named_buffers()}
        for place, parameter in enumerate(each for group in self.optimizer.param_groups for each in group["params"]):
            for name, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    found["moment", f"{place} {name}"] = value
        return found

    @torch.no_grad()
    def restore_in_place(self) -> None:
        """Put back in place, for a graph keeps the places. A moment that was not there is 0, with which a first step gives the same."""
        for key, value in self._collect_tensors().items():
            value.copy_(self.copies[key]) if key in self.copies else value.zero_()
        if self.rng is not None:
            torch.cuda.set_rng_state(self.rng)

    @torch.no_grad()
    def measure_deviation(self, before: "_TrainingState") -> float:
        """How far things are now from this copy, as a share of the way from `before` to it; the worst kind of tensor decides."""
        off: dict[str, float] = defaultdict(float)
        way: dict[str, float] = defaultdict(float)
        for key, value in self._collect_tensors().items():
            copy = self.copies[key].double()
            off[key[0]] += float((value - copy).square().sum())
            way[key[0]] += float((copy - before.copies.get(key, torch.zeros_like(copy))).square().sum())
        return max(math.sqrt(off[kind] / way[kind]) if way[kind] else (math.inf if off[kind] else 0.0) for kind in off)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float, step: Any) -> None:
    """Set the learning rate of `step`: where that is recorded on a GPU in place, in a tensor that it reads; else as a number."""
    for group in optimizer.param_groups:
        device = group["params"][0].device
        if not isinstance(step, CUDAGraphStep) or device.type != "cuda":
            group["lr"] = value
        elif isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = torch.tensor(value, device=device)
