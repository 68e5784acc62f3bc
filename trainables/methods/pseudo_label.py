"""PL: pseudo-labels (Lee 2013): the network's own most likely class as the label of an unlabelled image, at a weight that ramps up."""

from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from trainables.methods.method import METHODS, Logs, Phase
from trainables.methods.transfer import TransferMethod, TransferPhase, TransferRecipe, keep_running_statistics


class PseudoLabelRecipe(TransferRecipe):
    """Settings of pseudo-labels; silent in the text, so Lee's."""

    weight: float = Field(3.0, ge=0)
    """of the unlabelled loss, once it is ramped up"""
    ramp: tuple[float, float] = (0.1, 0.6)
    """shares of the epochs at which the weight leaves 0 and is reached; Lee's epochs 100 and 600, taken as of 1,000"""

    def get_weight(self, epoch: int) -> float:
        low, high = (share * self.epochs for share in self.ramp)
        return self.weight * min(1.0, max(0.0, (epoch - low) / (high - low) if high > low else float(epoch >= high)))


class RampPhase(TransferPhase):
    """One step on the loss of a labelled and the weighted loss of an unlabelled batch."""

    method: "PseudoLabel"

    def start_epoch(self, epoch: int) -> int:
        steps = super().start_epoch(epoch)
        self.weight = torch.tensor(self.method.settings.get_weight(epoch), device=self.method.task.device)
        return steps

    def train_step(self, step: int) -> Logs:
        (images, labels), (others, truth) = self.labelled[step], self.unlabelled[step]
        loss = functional.cross_entropy(self.method.compute_class_scores(images), labels)
        with keep_running_statistics(self.method.modules):
            scores = self.method.compute_class_scores(others)
        pseudo = scores.detach().argmax(1)
        unlabelled = functional.cross_entropy(scores, pseudo)
        self.update_parameters(loss + self.weight * unlabelled)
        return {
            "train/loss": loss.detach(),
            "pool/loss": unlabelled.detach(),
            "pool/weight": self.weight,
            **self.measure_pseudo_accuracy(pseudo, truth),
        }


@METHODS.register("pseudo_label")
class PseudoLabel(TransferMethod):
    """Labelled and pseudo-labelled images together, whatever domain the latter are of."""

    Settings: ClassVar[type[PseudoLabelRecipe]] = PseudoLabelRecipe
    settings: PseudoLabelRecipe

    def build_phases(self) -> list[Phase]:
        return [RampPhase(self)]
