"""PL: pseudo-labels (Lee 2013). The network's most likely class is the label of an unlabelled image, with a weight that ramps up."""

from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from trainables.methods.method import METHODS, Logs, Phase
from trainables.methods.transfer import TransferMethod, TransferPhase, UnlabelledRecipe, keep_running_statistics


class PseudoLabelRecipe(UnlabelledRecipe):
    """Settings of pseudo-labels; the paper does not state them, so the defaults are Lee's."""

    weight: float = Field(3.0, ge=0)
    """weight of the unlabelled loss after the ramp"""
    ramp: tuple[float, float] = (0.1, 0.6)
    """shares of the epochs at which the weight leaves 0 and reaches its full value; Lee's epochs 100 and 600, taken as of 1,000"""

    def get_weight(self, epoch: int) -> float:
        low, high = (share * self.epochs for share in self.ramp)
        return self.weight * min(1.0, max(0.0, (epoch - low) / (high - low) if high > low else float(epoch >= high)))


class RampPhase(TransferPhase):
    """Each step descends on the loss of a labelled batch plus the weighted loss of an unlabelled batch."""

    method: "PseudoLabel"
    compiles = False  # the compiler cannot follow `keep_running_statistics`

    def start_epoch(self, epoch: int) -> int:
        steps = super().start_epoch(epoch)
        self.weight = torch.tensor(self.method.settings.get_weight(epoch), device=self.method.task.device)
        return steps

    def get_step_values(self, step: int) -> tuple[torch.Tensor, ...]:
        return (self.weight,)

    def compute_loss(self, *batch: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        images, labels, unlabelled_images, truth, scale, weight = batch
        loss = functional.cross_entropy(self.method.compute_class_scores(images), labels)
        with keep_running_statistics(self.method.modules, self.method.settings.statistics):
            scores = self.method.compute_class_scores(unlabelled_images)
        pseudo = scores.detach().argmax(1)
        unlabelled_loss = functional.cross_entropy(scores, pseudo)
        accuracy = self.measure_pseudo_accuracy(pseudo, truth, scale)
        return loss + weight * unlabelled_loss, self.make_logs(loss, unlabelled_loss, weight, accuracy)

    def make_logs(self, loss: torch.Tensor, unlabelled_loss: torch.Tensor, weight: torch.Tensor, accuracy: Logs) -> Logs:
        return {"train/loss": loss.detach(), "pool/loss": unlabelled_loss.detach(), "pool/weight": weight, **accuracy}


@METHODS.register("pseudo_label")
class PseudoLabel(TransferMethod):
    """Labelled and pseudo-labelled images together, whatever the domain of the latter."""

    Settings: ClassVar[type[PseudoLabelRecipe]] = PseudoLabelRecipe
    settings: PseudoLabelRecipe

    def build_phases(self) -> list[Phase]:
        return [RampPhase(self)]
