"""Supervised learning on a transfer task, with or without the gate's labels (Florea et al. 2019, tables 1-3)."""

import torch
from torch.nn import functional

from trainables.data.task import Images
from trainables.methods.method import METHODS, Logs, Phase
from trainables.methods.transfer import TransferMethod, TransferPhase, TransferRecipe


class LabelledRecipe(TransferRecipe):
    """Settings of supervised learning."""

    with_gate: bool = False
    """train on the gate set as well: this measures what the gate labels of annealed label transfer are worth as training labels"""


class LabelledPhase(TransferPhase):
    """Each step descends on the loss of a labelled batch."""

    def compute_loss(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        return functional.cross_entropy(self.method.compute_class_scores(images), labels), {}


@METHODS.register("labelled")
class Labelled(TransferMethod):
    """Cross-entropy on the labelled images; the unlabelled images are not used."""

    Settings = LabelledRecipe
    settings: LabelledRecipe
    unlabelled_too = False

    @property
    def labelled(self) -> Images:
        return self.task.train.join_images(self.gate) if self.settings.with_gate else self.task.train

    def build_phases(self) -> list[Phase]:
        return [LabelledPhase(self)]
