"""ALT: each pseudo-label step is attempted, and kept if it lowers the held-out loss by enough (Florea et al. 2019, algorithm 1)."""

from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from trainables.data.task import Task
from trainables.methods.method import METHODS, Logs, Phase
from trainables.methods.transfer import TransferMethod, TransferPhase, TransferRecipe
from trainables.random_streams import make_generator

ACTED = 0.01
"""share of kept attempts below which ALT had no effect: it did what supervised learning does"""


class AnnealedRecipe(TransferRecipe):
    """Settings of annealed label transfer; the defaults are the paper's."""

    temperature: float = Field(0.2, gt=0)
    """T0 as a share of the main loss, taken as the supervised loss at initialisation, about ln C"""
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

    It measures the gate's loss before and after the attempt, and keeps or undoes the attempt.
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
        shard = self.method.shard
        loss, _ = self.compute(type(self).compute_loss, images, labels)
        logs = self.descend(loss, {"train/loss": loss.detach()})
        before = shard.average_tensor(self.method.compute_gate_loss())  # all shards must decide alike

        state = self.copy_state()
        saved = [tensor.clone() for tensor in state]
        unlabelled_loss, pseudo = self.compute(type(self).compute_pseudo_loss, unlabelled_images, warmth, temperature, xi)
        attempt_logs = {"pool/loss": unlabelled_loss.detach(), **self.measure_pseudo_accuracy(pseudo, truth, scale)}
        logs |= self.descend(unlabelled_loss, attempt_logs)
        margin = before - shard.average_tensor(self.method.compute_gate_loss())
        accepted = margin > beta  # also False if the attempt made the loss NaN
        for tensor, copy in zip(state, saved, strict=True):
            tensor.copy_(torch.where(accepted, tensor, copy))  # on the device, without synchronisation

        return logs | {"gate/before": before, "gate/after": before - margin, "gate/margin": margin, "gate/accepted": accepted.float()}

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
        return {"gate/accepted": sum(row["gate/accepted"] for row in rows) / len(rows)}

    def list_warnings(self, rows: list[dict[str, Any]]) -> list[str]:
        share = self.summarise_phase(rows)["gate/accepted"]
        return [f"ALT did not act: it kept {share:.2%} of its attempted steps"] if share < ACTED else []


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
            self.reference.copy_(self.compute_gate_loss())

    @torch.no_grad()
    def compute_gate_loss(self) -> torch.Tensor:
        """Return the cross-entropy on the whole gate set, in evaluation mode and fp32: bf16 hides what a step changes in most weights."""
        with torch.autocast(self.task.device.type, enabled=False):
            return functional.cross_entropy(self.compute_logits(self.gate.pixels), self.gate.labels)
