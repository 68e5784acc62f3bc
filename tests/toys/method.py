"""Mixup with a fixed weight (Zhang et al. 2018): supervised learning on blends of two images and of their labels."""

import torch
from torch.nn import functional

from trainables.data.augment import normalise_images
from trainables.methods.method import METHODS, Logs
from trainables.methods.sgd_training import Recipe
from trainables.methods.supervised import Supervised, SupervisedPhase


class MixupRecipe(Recipe):
    weight: float = 0.8
    """share of an image in its blend; the previous image of the batch has the rest"""


class MixupPhase(SupervisedPhase):
    def compute_loss(self, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        weight = self.method.settings.weight  # type: ignore[attr-defined]
        images = normalise_images(inputs)
        scores = self.model(weight * images + (1 - weight) * images.roll(1, 0)).float()
        own, other = functional.cross_entropy(scores, labels), functional.cross_entropy(scores, labels.roll(1))
        return weight * own + (1 - weight) * other, {}


@METHODS.register("toy_mixup")
class Mixup(Supervised):
    Settings = MixupRecipe
    phase_class = MixupPhase
