"""What methods share that train a classifier: an encoder with a head, and a phase whose steps descend on the loss of a batch."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import nn

from trainables.data.task import Task
from trainables.execution.cuda_graph import CUDAGraphStep
from trainables.methods.method import Logs, Method, Phase
from trainables.models.fixed_layers import get_learned_layers, keep_fixed_maps, pass_fixed_layers

Result = TypeVar("Result")


class Classifier(Method):
    """A method with an encoder and a head that gives class scores."""

    def __init__(self, settings: Any, task: Task, seed: int) -> None:
        super().__init__(settings, task, seed)
        self.modules["encoder"] = self.build_encoder()
        self.modules["classifier"] = self.make_head(cast(int, self.modules["encoder"].features), len(task.classes))

    def make_head(self, features: int, classes: int) -> nn.Module:
        return nn.Linear(features, classes)

    def compute_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.modules["classifier"](self.compute_features(pixels))
        return result

    def compute_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features float32 [n, d] of images (uint8 [n, c, s, s]) that are encoded repeatedly: outputs of fixed layers are kept."""
        (inputs,) = keep_fixed_maps(self.modules["encoder"], [pixels])
        return encode_images(self.modules["encoder"], inputs)


class DescentPhase(Phase):
    """Each step descends on the loss of one batch: compiled, as a CUDA graph, or by several workers, as the execution says.

    A phase whose step descends on one loss overrides `compute_loss`. A phase whose step does more overrides `train_batch`, and makes
    each of its updates with `descend`.
    """

    method: Method
    compiles: ClassVar[bool] = True
    """whether the loss can be compiled and contains anything that a compiler could fuse"""
    compute_loss: Callable[..., tuple[torch.Tensor, Logs]]
    """the method that returns the loss of a batch and further values to log (detached); it takes the tensors of a batch"""

    @abstractmethod
    def make_optimizer(self) -> torch.optim.Optimizer:
        """Return an optimiser of the parameters of `model`."""

    def begin_phase(self) -> None:
        self.optimizer = self.make_optimizer()
        recorded = self.method.execution.recorded
        self.update_parameters = CUDAGraphStep(self.train_batch, self.model, self.optimizer) if recorded else self.train_batch

    def train_batch(self, *batch: torch.Tensor) -> Logs:
        """Make one step with a batch and return its logs. A CUDA graph replays it: whatever changes from step to step is in `batch`."""
        loss, logs = self.compute(type(self).compute_loss, *batch)
        return self.descend(loss, {"train/loss": loss.detach(), **logs})

    def compute(self, function: Callable[..., Result], *batch: torch.Tensor) -> Result:
        """Return `function(self, *batch)`, computed as the execution configuration says. `function` is a method of the class."""
        execution = self.method.execution
        with execution.autocast(self.method.task.device):
            return execution.call_compiled(function, self, *batch) if self.compiles else function(self, *batch)

    def descend(self, loss: torch.Tensor, logs: Logs, parameters: list[nn.Parameter] | None = None) -> Logs:
        """Make a step of the optimiser on these parameters only, by default on all of the model's. Return the logs of the whole batch.

        The optimiser skips parameters without a gradient.
        """
        self.optimizer.zero_grad(set_to_none=True)
        if parameters is None:
            parameters = list(self.model.parameters())
            loss.backward()
        else:
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
                parameter.grad = gradient
        logs = self.method.shard.average_gradients(parameters, logs)
        self.scale_gradients()
        self.optimizer.step()
        return logs

    def scale_gradients(self) -> None:
        """Change the gradients before the optimiser's step, for a phase with learning rates of its own."""

    def finish_epoch(self, epoch: int) -> dict[str, float]:
        return {"lr": float(self.optimizer.param_groups[0]["lr"])}


@torch.no_grad()
def encode_images(encoder: nn.Module, inputs: torch.Tensor, batch: int = 256) -> torch.Tensor:
    """Return features float32 [n, d] of images in evaluation mode; the encoder does not change.

    `inputs` are uint8 [n, c, s, s], or what the encoder's fixed layers make of such images.
    """
    training, learned = encoder.training, get_learned_layers(encoder)
    encoder.eval()
    features = torch.cat([learned(pass_fixed_layers(encoder, part)) for part in inputs.split(batch)]).float()
    encoder.train(training)
    return features


def measure_accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    return (logits.argmax(1) == labels).float().mean().item()
