"""Training from scratch by cross-entropy and Adam on affinely augmented faces (Goghberg et al. 2019; Breuer & Kimmel 2017)."""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from trainables.data.affine import Affine, apply_affine, draw_affine
from trainables.data.augment import normalise_images
from trainables.execution.cuda_graph import set_learning_rate
from trainables.methods.classifier import Classifier, DescentPhase, measure_accuracy
from trainables.methods.method import METHODS, Logs, MethodSettings, Phase
from trainables.random_streams import make_generator


class CNNRecipe(MethodSettings):
    """Settings; the defaults are the cited network's. Settings that neither paper states are marked."""

    encoder: str = "ronnet"
    encoder_settings: dict[str, Any] = Field(default_factory=dict)
    """the network's own settings, such as {"widths": [64, 128, 256]}"""
    augment: Literal["affine", "none"] = "affine"
    """affine: each epoch transforms every image anew; none: no augmentation"""
    affine: Affine = Affine()
    batch: int = Field(64, ge=2)
    """images per step; not stated"""
    epochs: int = Field(50, ge=1)
    """not stated"""
    lr: float = Field(1e-3, gt=0)
    """Adam's learning rate"""
    decay: float = Field(1e-5, ge=0)
    """after t steps the learning rate is lr / (1 + decay t)"""


class AdamPhase(DescentPhase):
    """Epochs of full batches over the training images; the epoch with the best validation accuracy is kept."""

    name = "fit"
    method: "FromScratch"

    def __init__(self, method: "FromScratch", model: nn.Module) -> None:
        self.method, self.epochs, self.model = method, method.settings.epochs, model

    def begin_phase(self) -> None:
        for parameter in self.method.modules.parameters():
            parameter.requires_grad_(False)
        for parameter in self.model.parameters():
            parameter.requires_grad_(True)
        super().begin_phase()

    def make_optimizer(self) -> torch.optim.Optimizer:
        recorded = self.method.execution.recorded  # a graph keeps the step count on the GPU
        return torch.optim.Adam(self.model.parameters(), lr=self.method.settings.lr, fused=True, capturable=recorded)

    def start_epoch(self, epoch: int) -> int:
        recipe, images, seed = self.method.settings, self.method.task.train, self.method.seed
        count = len(images.rows)
        self.order = torch.from_numpy(make_generator(seed, "order", epoch).permutation(count)).to(images.labels.device)
        transforms = draw_affine(count, recipe.affine, make_generator(seed, "affine", epoch)) if recipe.augment == "affine" else None
        self.moves = None if transforms is None else transforms.to(images.labels.device)
        self.steps = max(1, count // recipe.batch)
        self.past = epoch * self.steps
        self.method.modules.eval()  # frozen modules stay in evaluation mode; the loop sets the trained module to training mode
        return self.steps

    def count_images(self) -> int:
        return min(self.method.settings.batch, len(self.order))

    def train_step(self, step: int) -> Logs:
        recipe, train = self.method.settings, self.method.task.train
        set_learning_rate(self.optimizer, recipe.lr / (1 + recipe.decay * (self.past + step)), self.update_parameters)
        batch_slice, shard = slice(step * recipe.batch, (step + 1) * recipe.batch), self.method.shard
        rows = shard.get_part(self.order[batch_slice])
        pixels = train.pixels[rows] if self.moves is None else apply_affine(train.pixels[rows], shard.get_part(self.moves[batch_slice]))
        return self.update_parameters(pixels, train.labels[rows])

    def compute_loss(self, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        scores = self.method.modules["classifier"](self.method.modules["encoder"](normalise_images(inputs)))
        return functional.cross_entropy(scores.float(), labels), {}

    def finish_epoch(self, epoch: int) -> dict[str, float]:
        val = self.method.task.val
        return super().finish_epoch(epoch) | {"val/accuracy": measure_accuracy(self.method.compute_logits(val.pixels), val.labels)}


@METHODS.register("from_scratch")
class FromScratch(Classifier):
    """Trains the whole network from random weights on one population: adults only or children only, as the task says."""

    Settings: ClassVar[type[CNNRecipe]] = CNNRecipe
    settings: CNNRecipe

    def build_phases(self) -> list[Phase]:
        return [AdamPhase(self, self.modules)]
