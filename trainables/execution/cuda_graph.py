"""CUDA graphs: a step is captured once and replayed, so that hundreds of kernel launches become one.

With a small network a GPU waits for kernel launches, not for arithmetic. A CUDA graph gives 3.4 times as many steps for a ResNet-18 at
32x32 (a reported figure whose source is not recorded here).
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
"""Steps before the capture. Libraries choose their kernels in the first steps."""
TOLERANCE = 0.05
"""Accepted deviation, as a share of the step's length. Sums in another order, rounded to bf16, deviate by a tenth of this at most."""


class CUDAGraphStep:
    """A callable that behaves as `step`, which maps a batch's tensors, always of the same shapes, to scalars on the device.

    The step is captured at its first call and then verified: from the same state, the replayed step must leave the same parameters as the
    step itself, up to rounding. If it does not, or if the capture fails, all steps run without a graph from then on, and one line says
    why. The learning rate must be a tensor on the GPU, because a number would be captured as a constant; `set_learning_rate` ensures
    this.
    """

    def __init__(self, step: Callable[..., Logs], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.step, self.model, self.optimizer = step, model, optimizer
        self.graph: torch.cuda.CUDAGraph | None = None
        self.plain = False

    def __call__(self, *batch: Tensor) -> Logs:
        if self.graph is None and not self.plain:
            self._prepare_graph(batch)
        if self.plain or [tensor.shape for tensor in batch] != [tensor.shape for tensor in self.batch]:
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
            if not (deviation := expected.measure_deviation(before)) < TOLERANCE:
                raise RuntimeError(f"replayed, the step is off by {deviation:.0%} of its length")
        except (RuntimeError, AssertionError) as error:  # raised by CUDA, or because CUDA is missing
            if isinstance(error, torch.OutOfMemoryError):
                raise
            self.plain, self.graph = True, None
            print(f"CUDA graph capture failed, and steps run slower: {format_error(error)}", file=sys.stderr)
        before.restore_in_place()

    def _capture_graph(self, batch: tuple[Tensor, ...]) -> None:
        self.batch = tuple(tensor.clone() for tensor in batch)
        side_stream = torch.cuda.Stream()
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(WARM_UP):
                self.step(*self.batch)
            self.optimizer.zero_grad(set_to_none=True)  # so that gradients are allocated in the graph's own memory
        torch.cuda.current_stream().wait_stream(side_stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.logs = self.step(*self.batch)

    def _replay_graph(self, batch: tuple[Tensor, ...]) -> Logs:
        for static_input, value in zip(self.batch, batch, strict=True):
            static_input.copy_(value, non_blocking=True)
        assert self.graph is not None
        self.graph.replay()
        return self.logs


class _TrainingState:
    """A copy of everything that a step changes: parameters, buffers, the optimiser's moments, the random state."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.model, self.optimizer = model, optimizer
        self.copies = {key: value.detach().clone() for key, value in self._collect_tensors().items()}
        self.rng = torch.cuda.get_rng_state() if torch.cuda.is_available() else None

    def _collect_tensors(self) -> dict[tuple[str, str], Tensor]:
        tensors: dict[tuple[str, str], Tensor] = {("parameter", name): value for name, value in self.model.named_parameters()}
        tensors |= {("buffer", name): value for name, value in self.model.named_buffers()}
        for index, parameter in enumerate(param for group in self.optimizer.param_groups for param in group["params"]):
            for name, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    tensors["moment", f"{index} {name}"] = value
        return tensors

    @torch.no_grad()
    def restore_in_place(self) -> None:
        """Restore in place, because a graph keeps memory addresses. A moment that did not exist becomes 0, which gives the same first
        step.
        """
        for key, value in self._collect_tensors().items():
            value.copy_(self.copies[key]) if key in self.copies else value.zero_()
        if self.rng is not None:
            torch.cuda.set_rng_state(self.rng)

    @torch.no_grad()
    def measure_deviation(self, before: "_TrainingState") -> float:
        """Return the distance of the current state from this copy, relative to the distance from `before` to this copy.

        The ratio is computed for each kind of tensor, and the largest is returned.
        """
        errors: dict[str, float] = defaultdict(float)
        lengths: dict[str, float] = defaultdict(float)
        for key, value in self._collect_tensors().items():
            copy = self.copies[key].double()
            errors[key[0]] += float((value - copy).square().sum())
            lengths[key[0]] += float((copy - before.copies.get(key, torch.zeros_like(copy))).square().sum())
        return max(math.sqrt(errors[kind] / lengths[kind]) if lengths[kind] else (math.inf if errors[kind] else 0.0) for kind in errors)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float, step: Any) -> None:
    """Set the learning rate of `step`: for a captured step on a GPU in place, in the tensor that the graph reads; otherwise as a number."""
    for group in optimizer.param_groups:
        device = group["params"][0].device
        if not isinstance(step, CUDAGraphStep) or device.type != "cuda":
            group["lr"] = value
        elif isinstance(group["lr"], Tensor) and group["lr"].device == device:
            group["lr"].fill_(value)
        else:  # at first; and in a resumed optimiser, which has the tensor of its checkpoint, on the CPU
            group["lr"] = torch.tensor(value, device=device)
