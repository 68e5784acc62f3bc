"""Method and Phase: what the training loop asks of a way to train. A method is one file: its settings, its phases, its loss."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from trainables.data.task import Task
from trainables.execution.config import REFERENCE
from trainables.execution.sharding import ALONE
from trainables.registry import BadRequest, Registry
from trainables.settings import Settings

Logs = dict[str, torch.Tensor]


class MethodSettings(Settings):
    """Settings that every method has."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: the fastest arithmetic by measurement, bf16 and compiled steps included; fp32 or bf16: eager, the same bits wherever it runs
    on a machine of the kind"""


class Phase(ABC):
    """Part of a training: some epochs in which one module moves. The loop drives it; it never reads a clock or a file.

    The order of calls is `begin_phase`; for each epoch `start_epoch`, which returns the number of steps, `train_step` that often, and
    `finish_epoch`; then `list_warnings`.
    """

    name: str
    epochs: int
    model: nn.Module
    """what moves; of it the epoch with the best validation accuracy is kept, where `finish_epoch` gives one"""
    optimizer: torch.optim.Optimizer

    @abstractmethod
    def begin_phase(self) -> None:
        """Make the optimiser, and what an epoch needs. The modules already hold the values to begin (or to go on) with."""

    @abstractmethod
    def start_epoch(self, epoch: int) -> int:
        """Make ready an epoch, the same whenever it is asked for; returns its number of steps."""

    @abstractmethod
    def train_step(self, step: int) -> Logs:
        """One optimisation step. Returns scalars on the device (0-d tensors): reading them here would make a GPU wait."""

    def finish_epoch(self, epoch: int) -> dict[str, float]:
        """Measure at an epoch's end; `val/score`, or else `val/accuracy`, selects, where it is given."""
        return {}

    def summarise_phase(self, rows: list[dict[str, Any]]) -> dict[str, float]:
        """Numbers about the phase as a whole that belong into the result; asked of the last phase. `rows` is its history."""
        return {}

    def list_warnings(self, rows: list[dict[str, Any]]) -> list[str]:
        """Warnings a reader of the result must see; `rows` is the history of this phase."""
        return []


class Method(ABC):
    """A way to train: made for one cell, it holds every module and tells its phases."""

    Settings: ClassVar[type[MethodSettings]]
    version: ClassVar[int] = 1
    """raise it when the method's numbers change: older results are then not reused"""

    def __init__(self, settings: Any, task: Task, seed: int) -> None:
        self.settings, self.task, self.seed = settings, task, seed
        self.execution = REFERENCE
        """how its phases compute; whoever makes it may choose another before they begin"""
        self.shard = ALONE
        """which part of it this process trains, where several do"""
        self.modules = nn.ModuleDict()
        """all that a checkpoint holds"""

    @abstractmethod
    def build_phases(self) -> list[Phase]:
        """In order. Built before the first begins: what one takes over from another it takes in `begin_phase`."""

    def inherit_parameters(self, modules: dict[str, torch.Tensor]) -> None:
        """Take over the parameters that the parent's checkpoint holds, by their names in `modules`, before the first phase begins."""
        raise BadRequest(f"{type(self).__name__} takes nothing over from a parent; give it an `inherit_parameters`")

    def build_network(self) -> nn.Module:
        """What maps float images as networks take them to class scores, gradients and all: for pictures of what it looks at."""
        return nn.Sequential(OrderedDict(encoder=self.modules["encoder"], classifier=self.modules["classifier"]))

    def describe_training(self) -> dict[str, Any]:
        """What a result tells of this training besides: plain values by name."""
        return {}

    @abstractmethod
    def compute_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """Class scores, or what else the task's target predicts from, [n, outputs], of images (uint8 [n, c, s, s]; of clips
        [n, frames, c, s, s]) in evaluation mode."""


METHODS: Registry[type[Method]] = Registry("method", "trainables.methods")
