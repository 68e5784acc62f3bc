"""ALT: each pseudo-label step is attempted, and kept if it lowers the held-out loss by enough (Florea et al. 2019, algorithm 1)."""

from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from trainables.data.task import Task
from trainables.methods.method import METHODS, Logs, Phase
from trainables.methods.transfer import TransferMethod, TransferPhase, UnlabelledRecipe, keep_running_statistics, list_normalising_layers
from trainables.random_streams import make_generator

ACTED = 0.01
"""share of kept attempts below which ALT had no effect: it did what supervised learning does"""


class AnnealedRecipe(UnlabelledRecipe):
    """Settings of annealed label transfer; the defaults are the paper's."""

    gate_loss: Literal["mean", "sum"] = "sum"
    """L_v, the loss on the gate set that a step must lower by beta(T): summed over the gate's images, or their mean. T is in nats an image
    in both, so that `sum` asks for beta(T) / n an image of n. The paper prints L_v without a sum or a mean; with the mean hardly any
    step of this size can win beta(T) while T > 0"""
    temperature: float = Field(0.2, gt=0)
    """T0 as a share of the main loss, taken as the supervised loss at initialisation: the mean over the gate's images, about ln C"""
    cooling: float = Field(0.75, gt=0, le=1)
    """share of the epochs after which the temperature is 0"""
    slope: float = Field(0.75, ge=0)
    """beta(T) = slope x T: a step is kept only if it lowers the gate's loss by more than this; 0.75 as printed"""
    noise: Literal["scale", "literal", "logits"] = "scale"
    """effect of the noise T xi, with xi uniform in [-1, 1]. scale: the unlabelled loss is multiplied by 1 + T xi / L0. literal: the
    noise is added to it as printed, where a constant has no gradient. logits: the noise is drawn for each class score and added to the
    scores"""


class AnnealedPhase(TransferPhase):
    """Each step descends on a labelled batch, then attempts a step on a pseudo-labelled batch.

    It measures the gate's loss before and after the attempt, and keeps or undoes the attempt. The history has the margin, and its two
    halves: what the attempt's weights won, with the running statistics of before, and what its statistics won besides. If `statistics`
    are kept, the second is 0. If they are moved, the halves cost one more pass over the gate set in each step.
    """

    method: "AnnealedLabelTransfer"

    def begin_phase(self) -> None:
        super().begin_phase()
        self.method.measure_reference()

    def start_epoch(self, epoch: int) -> int:
        steps, method, recipe = super().start_epoch(epoch), self.method, self.method.settings
        self.warmth = torch.tensor(recipe.temperature * max(0.0, 1 - epoch / (recipe.cooling * recipe.epochs)), device=method.task.device)
        self.temperature = self.warmth * method.reference
        self.beta = recipe.slope * self.temperature
        shape = (steps, recipe.batch, len(method.task.classes)) if recipe.noise == "logits" else (steps,)
        xi = make_generator(method.seed, "noise", epoch).uniform(-1, 1, shape)
        self.xi = torch.from_numpy(xi).float().to(method.task.device)
        return steps

    def get_step_values(self, step: int) -> tuple[torch.Tensor, ...]:
        xi = self.xi[step]
        return self.warmth, self.temperature, self.beta, self.method.shard.get_part(xi) if xi.ndim else xi

    def train_batch(self, *batch: torch.Tensor) -> Logs:
        images, labels, unlabelled_images, truth, scale, warmth, temperature, beta, xi = batch
        loss, _ = self.compute(type(self).compute_loss, images, labels)
        logs = self.descend(loss, {"train/loss": loss.detach()})
        before = self.measure_gate_loss()

        state = self.copy_state()
        saved = [tensor.clone() for tensor in state]
        statistics = [tensor.clone() for tensor in self.model.buffers()] if self.moves_statistics else None
        with keep_running_statistics(self.model, self.method.settings.statistics):
            unlabelled_loss, pseudo = self.compute(type(self).compute_pseudo_loss, unlabelled_images, warmth, temperature, xi)
        attempt_logs = {"pool/loss": unlabelled_loss.detach(), **self.measure_pseudo_accuracy(pseudo, truth, scale)}
        logs |= self.descend(unlabelled_loss, attempt_logs)
        margin = before - self.measure_gate_loss()
        weights_margin = before - self.measure_gate_loss(statistics) if statistics else margin
        accepted = margin > beta  # also False if the attempt made the loss NaN
        for tensor, copy in zip(state, saved, strict=True):
            tensor.copy_(torch.where(accepted, tensor, copy))  # on the device, without synchronisation

        halves = {"gate/margin_weights": weights_margin, "gate/margin_statistics": margin - weights_margin}
        gate_logs = {"gate/before": before, "gate/after": before - margin, "gate/margin": margin, "gate/accepted": accepted.float()}
        return logs | gate_logs | halves

    @property
    def moves_statistics(self) -> bool:
        """Whether an attempt changes what its gate measures beside the weights."""
        return self.method.settings.statistics == "moved" and bool(list_normalising_layers(self.model))

    def measure_gate_loss(self, statistics: list[torch.Tensor] | None = None) -> torch.Tensor:
        """Return L_v as `gate_loss` says, with these buffers instead of the present ones. All shards get the same and decide alike."""
        buffers = list(self.model.buffers()) if statistics else []
        current = [buffer.clone() for buffer in buffers]
        copy_tensors(statistics or [], buffers)
        loss = self.method.shard.average_tensor(self.method.compute_gate_loss(self.method.settings.gate_loss))
        copy_tensors(current, buffers)
        return loss

    def compute_loss(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        return functional.cross_entropy(self.method.compute_class_scores(images), labels), {}

    def compute_pseudo_loss(self, images: torch.Tensor, *noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the noisy loss of the images' pseudo-labels, and the pseudo-labels [n]."""
        scores = self.method.compute_class_scores(images)
        pseudo = scores.detach().argmax(1)
        return self.compute_noisy_loss(scores, pseudo, *noise), pseudo

    def compute_noisy_loss(
        self, scores: torch.Tensor, pseudo: torch.Tensor, warmth: torch.Tensor, temperature: torch.Tensor, xi: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss of pseudo-labels [n] given scores [n, classes], with this step's noise xi."""
        if self.method.settings.noise == "logits":
            return functional.cross_entropy(scores + temperature * xi, pseudo)
        loss = functional.cross_entropy(scores, pseudo)
        return loss + temperature * xi if self.method.settings.noise == "literal" else loss * (1 + warmth * xi)

    def copy_state(self) -> list[torch.Tensor]:
        """Return all tensors that an attempted step changes (not copies): parameters, running statistics, momentum."""
        momenta = [value for state in self.optimizer.state.values() for value in state.values() if isinstance(value, torch.Tensor)]
        return [*(parameter.detach() for parameter in self.model.parameters()), *self.model.buffers(), *momenta]

    def finish_epoch(self, epoch: int) -> dict[str, float]:
        return super().finish_epoch(epoch) | {"temperature": self.temperature.item(), "beta": self.beta.item()}

    def summarise_phase(self, rows: list[dict[str, Any]]) -> dict[str, float]:
        """Return the shares of kept attempts: of all, and of those while the temperature was above 0."""
        hot = [row["gate/accepted"] for row in rows if row["temperature"] > 0]
        return {"gate/accepted": sum(row["gate/accepted"] for row in rows) / len(rows), "gate/accepted_hot": sum(hot) / len(hot)}

    def list_warnings(self, rows: list[dict[str, Any]]) -> list[str]:
        share = self.summarise_phase(rows)["gate/accepted"]
        return [f"ALT did not act: it kept {share:.2%} of its attempted steps"] if share < ACTED else []


def copy_tensors(sources: list[torch.Tensor], targets: list[torch.Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)


class ReferenceNetwork(nn.Module):
    """The gate's supervised loss at initialisation, L0: the unit of the temperature. Checkpoints hold it: it cannot be measured again."""

    loss: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("loss", torch.tensor(torch.nan))


@METHODS.register("annealed_label_transfer")
class AnnealedLabelTransfer(TransferMethod):
    """Pseudo-labels of another domain, with a gate against harmful steps that is stricter at higher temperature."""

    Settings = AnnealedRecipe
    settings: AnnealedRecipe
    version = 2

    def __init__(self, settings: AnnealedRecipe, task: Task, seed: int) -> None:
        super().__init__(settings, task, seed)
        self.modules["reference"] = ReferenceNetwork()
        _ = self.gate  # a task without a gate set is refused before anything starts

    def build_phases(self) -> list[Phase]:
        return [AnnealedPhase(self)]

    @property
    def reference(self) -> torch.Tensor:
        return cast(torch.Tensor, self.modules["reference"].loss)

    def measure_reference(self) -> None:
        if self.reference.isnan():
            self.reference.copy_(self.compute_gate_loss("mean"))

    @torch.no_grad()
    def compute_gate_loss(self, reduction: Literal["mean", "sum"]) -> torch.Tensor:
        """Return the cross-entropy (nats) on the whole gate set, in evaluation mode and fp32: bf16 hides what most steps change."""
        with torch.autocast(self.task.device.type, enabled=False):
            return functional.cross_entropy(self.compute_logits(self.gate.pixels), self.gate.labels, reduction=reduction)
