"""Common to transfer methods: a network, labelled and unlabelled batches, SGD with two rate drops (Florea et al. 2019, section 4)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from trainables.data.augment import Augmentation, Parameters, augment_images, draw_parameters, normalise_images
from trainables.data.dataset import DataError
from trainables.data.task import Images, Task
from trainables.execution.cuda_graph import set_learning_rate
from trainables.methods.classifier import Classifier, DescentPhase, measure_accuracy
from trainables.methods.method import Logs, MethodSettings
from trainables.random_streams import make_generator

Statistics = Literal["kept", "moved"]


class TransferRecipe(MethodSettings):
    """Settings of every transfer method; the defaults are the paper's (section 4). Settings that it does not state are marked."""

    encoder: str = "alexnet"
    encoder_settings: dict[str, Any] = Field(default_factory=dict)
    """the network's own settings"""
    augmentation: Augmentation = Augmentation(jitter=0.0)
    """not stated in the paper: crops and flips, drawn anew each epoch"""
    batch: int = Field(64, ge=2)
    """labelled images per step, and as many unlabelled ones; not stated in the paper"""
    epochs: int = Field(150, ge=1)
    """passes over the labelled images"""
    lr: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    """not stated in the paper"""
    weight_decay: float = Field(5e-4, ge=0)
    """the paper's L2 regularisation; its weight is not stated"""
    milestones: tuple[float, ...] = (1 / 3, 2 / 3)
    """shares of the epochs after which the learning rate falls to a tenth"""

    def get_learning_rate(self, epoch: int) -> float:
        return self.lr * 0.1 ** sum(epoch >= round(share * self.epochs) for share in self.milestones)


class UnlabelledRecipe(TransferRecipe):
    """Settings of every transfer method that trains on unlabelled images, too."""

    statistics: Statistics = "kept"
    """whether an unlabelled batch moves the running statistics of batch normalisation, with which a network is evaluated. kept: they are
    those of the labelled batches alone, as in published code of pseudo-labels (USB). moved: both kinds of batches move them, as a
    network in training mode does by itself. Not stated in the paper"""


class Batches:
    """An epoch of full batches from a set of images, each image augmented anew. The same arguments give the same batches."""

    def __init__(self, images: Images, name: str, steps: int, method: "TransferMethod", epoch: int) -> None:
        """Images are drawn at random, none again before all were drawn. `name` separates the random streams of two sets of images."""
        recipe, seed, self.shard = method.settings, method.seed, method.shard
        order, count = make_generator(seed, "order", name, epoch), steps * recipe.batch
        rows = np.concatenate([order.permutation(len(images.rows)) for _ in range(-(-count // len(images.rows)))])[:count]
        self.batch, self.images = recipe.batch, images
        self.rows = torch.from_numpy(rows).to(images.labels.device)
        parameters = draw_parameters(count, images.pixels.shape[-1], recipe.augmentation, make_generator(seed, "augment", name, epoch))
        self.parameters = parameters.to_device(images.labels.device)
        self.labels = images.labels[self.rows]

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return this shard's normalised images, float [batch, c, s, s], and labels [batch]."""
        rows, labels, *parameters = (
            self.shard.get_part(values[step * self.batch : (step + 1) * self.batch])
            for values in (self.rows, self.labels, *self.parameters)
        )
        return normalise_images(augment_images(self.images.pixels[rows], Parameters._make(parameters))), labels


class TransferMethod(Classifier):
    """A network and its training images: labelled ones, and for most methods unlabelled ones."""

    settings: TransferRecipe
    unlabelled_too: ClassVar[bool] = True

    def __init__(self, settings: TransferRecipe, task: Task, seed: int) -> None:
        super().__init__(settings, task, seed)
        if self.unlabelled_too and "pool" not in task.partners:
            raise DataError("this method needs a pool of unlabelled images, which the task lacks; use the task transfer")

    @property
    def labelled(self) -> Images:
        return self.task.train

    @property
    def pool(self) -> Images:
        """The unlabelled images. Their labels are the truth where it is known: they serve to measure by, never to train on."""
        return self.task.partners["pool"]

    @property
    def gate(self) -> Images:
        if self.task.gate is None:
            raise DataError("this method needs a gate set of labelled images, which the task lacks; use the task transfer")
        return self.task.gate

    def compute_class_scores(self, images: torch.Tensor) -> torch.Tensor:
        """Return class scores float32 [n, classes] of float images [n, c, s, s], in the network's current mode."""
        result: torch.Tensor = self.modules["classifier"](self.modules["encoder"](images)).float()
        return result


def list_normalising_layers(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return the batch normalisations that have running statistics."""
    layers = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    return [layer for layer in layers if layer.track_running_stats]


@contextmanager
def keep_running_statistics(network: nn.Module, statistics: Statistics) -> Iterator[None]:
    """Normalise batches by their own statistics inside the context; the running statistics do not change, unless they are to be moved.

    The layers' `momentum` of 0 would not do: it counts the batch, and makes running statistics of a batch that overflowed NaN.
    """
    layers = list_normalising_layers(network) if statistics == "kept" else []
    try:
        for layer in layers:
            layer.track_running_stats = False
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


class TransferPhase(DescentPhase):
    """Epochs over the labelled images. An epoch has as many unlabelled batches as labelled ones, if the method uses any."""

    name = "fit"
    method: TransferMethod

    def __init__(self, method: TransferMethod) -> None:
        self.method, self.epochs, self.model = method, method.settings.epochs, method.modules

    def make_optimizer(self) -> torch.optim.Optimizer:
        recipe, recorded = self.method.settings, self.method.execution.recorded  # a graph takes the learning rate as a tensor
        return torch.optim.SGD(
            self.model.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=recorded
        )

    def get_learning_rate(self, epoch: int) -> float:
        return self.method.settings.get_learning_rate(epoch)

    def start_epoch(self, epoch: int) -> int:
        method, recipe = self.method, self.method.settings
        set_learning_rate(self.optimizer, self.get_learning_rate(epoch), self.update_parameters)
        labelled = method.labelled
        steps = max(1, len(labelled.rows) // recipe.batch)
        self.labelled = Batches(labelled, "labelled", steps, method, epoch)
        if method.unlabelled_too:
            self.unlabelled = Batches(method.pool, "unlabelled", steps, method, epoch)
            self.known = int((self.unlabelled.labels >= 0).sum())
            self.scale = torch.tensor(steps * method.shard.size / max(1, self.known), device=method.task.device)
        return steps

    def count_images(self) -> int:
        return self.method.settings.batch * (1 + self.method.unlabelled_too)

    def train_step(self, step: int) -> Logs:
        unlabelled = (*self.unlabelled[step], self.scale) if self.method.unlabelled_too else ()
        logs = self.update_parameters(*self.labelled[step], *unlabelled, *self.get_step_values(step))
        return {name: value for name, value in logs.items() if name != "pool/accuracy" or self.known}

    def get_step_values(self, step: int) -> tuple[torch.Tensor, ...]:
        """Return what else `train_batch` takes in this step: 0-d tensors, or [classes] for each image."""
        return ()

    def measure_pseudo_accuracy(self, pseudo: torch.Tensor, truth: torch.Tensor, scale: torch.Tensor) -> Logs:
        """Return the pseudo-labels' accuracy where the truth is known. `scale` makes its mean over steps the epoch's accuracy."""
        return {"pool/accuracy": (pseudo == truth).sum() * scale}

    def finish_epoch(self, epoch: int) -> dict[str, float]:
        val = self.method.task.val
        return super().finish_epoch(epoch) | {"val/accuracy": measure_accuracy(self.method.compute_logits(val.pixels), val.labels)}
