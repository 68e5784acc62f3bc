"""Method and Phase: the interface between the training loop and a way to train. A method is one file: its settings, phases and loss."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import nn

from trainables import models
from trainables.data.task import Task
from trainables.execution.config import REFERENCE
from trainables.execution.sharding import ALONE
from trainables.registry import BadRequest, Registry
from trainables.settings import Settings

Logs = dict[str, torch.Tensor]


class MethodSettings(Settings):
    """Settings that every method has."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: the execution configuration that measures fastest, bf16 and compiled steps included. fp32 or bf16: eager steps, with
    bit-identical results on all machines of the same kind"""
    devices: int = Field(1, ge=1)
    """number of workers that train a cell together, each on its shard of every batch, for networks too large for one device; not in the
    papers. Results equal one worker's to rounding, except that batch normalisation and dropout act on each shard by itself"""


class PhaseSize(NamedTuple):
    """How much a phase trains."""

    epochs: int
    steps: int
    """of an epoch"""
    total: int
    """steps of all epochs; the last epoch may be shorter"""
    items: int
    """what the time to prepare an epoch grows with, such as the items of a pool"""
    images: int
    """images of a step"""

    @property
    def total_images(self) -> int:
        return self.total * self.images


class Phase(ABC):
    """Part of a training: a number of epochs that train one module. The loop drives a phase; a phase reads neither a clock nor a file.

    The order of calls is `begin_phase`; for each epoch `start_epoch`, which returns the number of steps, `train_step` that many times,
    and `finish_epoch`; then `list_warnings`.
    """

    name: str
    epochs: int
    model: nn.Module
    """the module that is trained; its state at the epoch with the best validation score is kept, if `finish_epoch` returns a score"""
    optimizer: torch.optim.Optimizer

    @abstractmethod
    def begin_phase(self) -> None:
        """Create the optimiser and what the epochs need. The modules already hold the values to start (or to resume) from."""

    @abstractmethod
    def start_epoch(self, epoch: int) -> int:
        """Prepare an epoch and return its number of steps. Calls with the same epoch prepare the same epoch."""

    def measure_size(self) -> PhaseSize | None:
        """Return the size of the phase if it is known before the phase begins."""
        return None

    def count_images(self) -> int:
        """Return the number of images that a step of the prepared epoch trains on, all views counted; 0 if it trains on none."""
        return 0

    @abstractmethod
    def train_step(self, step: int) -> Logs:
        """Run one optimisation step. Return scalars on the device (0-d tensors): reading them here would make a GPU wait."""

    def finish_epoch(self, epoch: int) -> dict[str, float]:
        """Return measurements at an epoch's end. `val/score`, or without it `val/accuracy`, selects the epoch, if it is given."""
        return {}

    def summarise_phase(self, rows: list[dict[str, Any]]) -> dict[str, float]:
        """Return numbers about the whole phase for the result. The loop asks only the last phase. `rows` is its history."""
        return {}

    def list_warnings(self, rows: list[dict[str, Any]]) -> list[str]:
        """Return the warnings that a reader of the result must see. `rows` is the history of this phase."""
        return []


class Method(ABC):
    """A way to train. An instance is made for one cell, holds all modules and builds its phases."""

    Settings: ClassVar[type[MethodSettings]]
    version: ClassVar[int] = 1
    """raise it when the method's numbers change: older results are then not reused"""

    def __init__(self, settings: Any, task: Task, seed: int) -> None:
        self.settings, self.task, self.seed = settings, task, seed
        self.execution = REFERENCE
        """how the phases compute; the creator of the method may set another configuration before they begin"""
        self.shard = ALONE
        """the part of the training that this process computes, where several processes train one cell"""
        self.modules = nn.ModuleDict()
        """everything that a checkpoint holds"""

    def build_encoder(self) -> nn.Module:
        """Return the network of the settings `encoder` and `encoder_settings`, freshly initialised for the task's images."""
        settings, task = self.settings, self.task
        return models.build_encoder(settings.encoder, channels=task.channels, size=task.size, **settings.encoder_settings)

    @abstractmethod
    def build_phases(self) -> list[Phase]:
        """Return the phases in order. All are built before the first begins: a phase takes values over from another in `begin_phase`."""

    def inherit_parameters(self, modules: dict[str, torch.Tensor]) -> None:
        """Take over the parameters of the parent's checkpoint, by their names in `modules`, before the first phase begins."""
        raise BadRequest(f"{type(self).__name__} cannot start from a parent; give it an `inherit_parameters`")

    def build_network(self) -> nn.Module:
        """Return a module that maps normalised float images, or clips if the task has clips, to the outputs that `compute_logits` returns
        and propagates gradients, for saliency maps."""
        return nn.Sequential(OrderedDict(encoder=self.modules["encoder"], classifier=self.modules["classifier"]))

    def describe_training(self) -> dict[str, Any]:
        """Return further plain values by name that the result reports about this training."""
        return {}

    @abstractmethod
    def compute_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return class scores, or the outputs that the task's target predicts from, [n, outputs], of images (uint8 [n, c, s, s]; of
        clips [n, frames, c, s, s]) in evaluation mode."""


METHODS: Registry[type[Method]] = Registry("method", "trainables.methods")
