"""What methods share that train a classifier: an encoder with a head, and a phase whose steps descend on the loss of a batch."""

from abc import abstractmethod
from typing import Any, ClassVar, cast

import torch
from torch import nn

from trainables.data.augment import normalise_images
from trainables.data.task import Task
from trainables.execution.cuda_graph import CUDAGraphStep
from trainables.methods.method import Logs, Method, Phase


class Classifier(Method):
    """A method with an encoder and a head that gives class scores."""

    def __init__(self, settings: Any, task: Task, seed: int) -> None:
        super().__init__(settings, task, seed)
        self.modules["encoder"] = self.build_encoder()
        self.modules["classifier"] = self.make_head(cast(int, self.modules["encoder"].features), len(task.classes))

    def make_head(self, features: int, classes: int) -> nn.Module:
        return nn.Linear(features, classes)

    def compute_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.modules["classifier"](encode_images(self.modules["encoder"], pixels))
        return result


class DescentPhase(Phase):
    """Each step descends on the loss of one batch: compiled, as a CUDA graph, or by several workers, as the execution says."""

    method: Method
    compiles: ClassVar[bool] = True
    """whether the loss contains anything that a compiler could fuse"""

    @abstractmethod
    def make_optimizer(self) -> torch.optim.Optimizer:
        """Return an optimiser of the parameters of `model`."""

    @abstractmethod
    def compute_loss(self, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        """Return the loss of a batch and further values to log (detached)."""

    def begin_phase(self) -> None:
        self.optimizer = self.make_optimizer()
        recorded = self.method.execution.recorded
        self.update_parameters = CUDAGraphStep(self._update_parameters, self.model, self.optimizer) if recorded else self._update_parameters

    def _update_parameters(self, inputs: torch.Tensor, labels: torch.Tensor) -> Logs:
        execution = self.method.execution
        self.optimizer.zero_grad(set_to_none=True)
        with execution.autocast(self.method.task.device):
            loss, logs = (
                execution.call_compiled(type(self).compute_loss, self, inputs, labels)
                if self.compiles
                else self.compute_loss(inputs, labels)
            )
        loss.backward()
        logs = self.method.shard.average_gradients(self.model.parameters(), {"train/loss": loss.detach(), **logs})
        self.optimizer.step()
        return logs

    def finish_epoch(self, epoch: int) -> dict[str, float]:
        return {"lr": float(self.optimizer.param_groups[0]["lr"])}


@torch.no_grad()
def encode_images(encoder: nn.Module, pixels: torch.Tensor, batch: int = 256) -> torch.Tensor:
    """Return features float32 [n, d] of images (uint8 [n, c, s, s]) in evaluation mode; the encoder does not change."""
    training = encoder.training
    encoder.eval()
    features = torch.cat([encoder(normalise_images(part)) for part in pixels.split(batch)]).float()
    encoder.train(training)
    return features


def measure_accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    return (logits.argmax(1) == labels).float().mean().item()
