"""SL: encoder and linear classifier trained together by cross-entropy (Virgolin et al. 2022, section 3.2)."""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from trainables.methods.classifier import measure_accuracy
from trainables.methods.method import METHODS, Logs, MethodSettings, Phase
from trainables.methods.sgd_training import Encoding, PoolPhase, Recipe
from trainables.models.fixed_layers import get_learned_layers, pass_fixed_layers


class SupervisedPhase(PoolPhase):
    """Each image has one view; the epoch with the best validation accuracy is kept."""

    method: "Supervised"
    views = 1

    def compute_loss(self, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        scores = self.model(pass_fixed_layers(self.method.modules["encoder"], inputs))
        return functional.cross_entropy(scores.float(), labels), {}

    def finish_epoch(self, epoch: int) -> dict[str, float]:
        val = self.method.task.val
        return super().finish_epoch(epoch) | {"val/accuracy": measure_accuracy(self.method.compute_logits(val.pixels), val.labels)}


@METHODS.register("supervised")
class Supervised(Encoding):
    """Standard supervised learning, on children alone (c) or with equally many adults per pass (c+a)."""

    Settings: ClassVar[type[MethodSettings]] = Recipe
    phase_class: ClassVar[type[SupervisedPhase]] = SupervisedPhase

    def build_phases(self) -> list[Phase]:
        return [self.phase_class("fit", self, nn.Sequential(get_learned_layers(self.modules["encoder"]), self.modules["classifier"]))]
