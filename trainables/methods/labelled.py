"""Supervised learning on a transfer task: the labelled images alone, and with the gate's labels, too (Florea et al. 2019, tables 1-3)."""

from torch.nn import functional

from trainables.data.task import Images
from trainables.methods.method import METHODS, Logs, Phase
from trainables.methods.transfer import TransferMethod, TransferPhase, TransferRecipe


class LabelledRecipe(TransferRecipe):
    """Settings of supervised learning."""

    with_gate: bool = False
    """train on the gate set, too: what the labels that annealed label transfer decides by are worth as labels"""


class LabelledPhase(TransferPhase):
    """One step on the loss of a labelled batch."""

    def train_step(self, step: int) -> Logs:
        images, labels = self.labelled[step]
        loss = functional.cross_entropy(self.method.compute_class_scores(images), labels)
        self.update_parameters(loss)
        return {"train/loss": loss.detach()}


@METHODS.register("labelled")
class Labelled(TransferMethod):
    """Cross-entropy on labelled images; the unlabelled ones are not looked at."""

    Settings = LabelledRecipe
    settings: LabelledRecipe
    unlabelled_too = False

    @property
    def labelled(self) -> Images:
        return self.task.train.join_images(self.gate) if self.settings.with_gate else self.task.train

    def build_phases(self) -> list[Phase]:
        return [LabelledPhase(self)]
