"""The common part of SimCLR and SupCon: contrastive training of the encoder, then a linear probe (Virgolin et al. 2022, section 3.2)."""

import math
from abc import abstractmethod
from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from trainables.data.augmented_pool import augment_view, count_items
from trainables.data.task import Task
from trainables.losses import measure_feature_spread
from trainables.methods.classifier import encode_images, measure_accuracy
from trainables.methods.method import Logs, Phase
from trainables.methods.sgd_training import Encoding, PoolPhase, Recipe, SGDPhase
from trainables.models.fixed_layers import get_learned_layers, pass_fixed_layers
from trainables.models.heads import Projection

COLLAPSED = 0.1
"""spread of the normalised projections below which the encoder no longer separates images (1: spread over the sphere, 0: one point)"""


class ContrastiveRecipe(Recipe):
    """Settings of SimCLR and SupCon."""

    temperature: float = Field(0.07, gt=0)
    """not stated in the paper; the cited recipe's value"""
    hidden: int = Field(512, ge=1)
    """width of the projection's hidden layer"""
    projection: int = Field(128, ge=2)
    probe_pool: Literal["fixed", "fresh"] = "fixed"
    """the images that the probe trains on. Their number is the same for every method: r passes over the target's training set. fixed: the
    first views of the pool; fresh: new random crops in every epoch of the probe (the cited recipe)"""
    probe_batch: int | None = Field(None, ge=1)
    """images per step of the probe; none: `batch`"""
    probe_epochs: int = Field(50, ge=1)
    probe_steps: int | None = Field(None, ge=1)
    """optimiser steps of the probe, in place of `probe_epochs`"""
    probe_lr: float = Field(1e-4, gt=0)
    """the paper's value; a smaller scale with too few steps for it sets one at which the probe converges"""


class ContrastivePhase(PoolPhase):
    """Trains the encoder to tell pairs of views apart from all other views in the batch."""

    method: "Contrastive"
    views = 2

    def get_first_views(self, items: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first views of the first items of the current pool, as images or as maps, and their labels."""
        return self.inputs[:items], self.labels[:items]

    def compute_loss(self, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        projections = self.model(pass_fixed_layers(self.method.modules["encoder"], inputs))
        projections, labels = self.method.shard.gather_features(projections, labels, self.views)
        loss, logs = self.method.compare_projections(projections, labels)
        return loss, {"train/spread": measure_feature_spread(projections.detach())} | logs

    def list_warnings(self, rows: list[dict[str, Any]]) -> list[str]:
        last, uniform_loss = rows[-1], math.log(self.batch * 2 - 1)
        if last["train/spread"] < COLLAPSED:
            return [f"collapsed: spread {last['train/spread']:.2f}, loss {last['train/loss']:.2f} of ln(b-1) = {uniform_loss:.2f}"]
        return []


class LinearProbePhase(SGDPhase):
    """Trains a linear layer on the frozen encoder (in evaluation mode throughout) by cross-entropy on the target's augmented images."""

    method: "Contrastive"
    compiles = False

    def __init__(self, method: "Contrastive", contrast: ContrastivePhase) -> None:
        recipe = method.settings
        items = count_items(len(method.task.train.rows), "c", recipe.ratio)
        classifier, fresh = method.modules["classifier"], recipe.probe_pool == "fresh"
        batch = recipe.probe_batch or recipe.batch
        super().__init__("probe", method, classifier, recipe.probe_lr, batch, items, recipe.probe_epochs, recipe.probe_steps, fresh)
        self.contrast = contrast

    def begin_phase(self) -> None:
        super().begin_phase()
        if self.method.settings.probe_pool == "fixed":
            self.contrast.prepare_items(0)
            self._compute_features(*self.contrast.get_first_views(self.items))
        self.val = self.method.compute_features(self.method.task.val.pixels)

    def _compute_features(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        self.features, self.labels = encode_images(self.method.modules["encoder"], inputs), labels

    def prepare_items(self, epoch: int) -> None:
        method, recipe = self.method, self.method.settings
        if recipe.probe_pool == "fresh":
            crops = augment_view(method.task, method.make_pool_settings(epoch)._replace(targets_when=f"probe {epoch}"), 0)
            self._compute_features(crops, method.task.train.labels.repeat(recipe.ratio))

    def get_batch(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.features[rows], self.labels[rows]

    def compute_loss(self, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        with torch.autocast(inputs.device.type, enabled=False):  # one small matrix product: a cast takes longer than it saves
            return functional.cross_entropy(self.model(inputs), labels), {}

    def finish_epoch(self, epoch: int) -> dict[str, float]:
        with torch.no_grad():
            logits = self.model(self.val)
        return super().finish_epoch(epoch) | {"val/accuracy": measure_accuracy(logits, self.method.task.val.labels)}

    def list_warnings(self, rows: list[dict[str, Any]]) -> list[str]:
        """Warn if the probe has not converged: at the full rate, the last fifth of the epochs brings over a tenth of the total gain."""
        full_rate_epochs = round(min(self.method.settings.milestones, default=1.0) * self.total_steps / self.steps_per_epoch)
        losses = [row["train/loss"] for row in rows[:full_rate_epochs]]
        fifth = len(losses) // 5
        if not fifth:
            return ["probe not converged: too few epochs to tell"]
        late_gain = (sum(losses[-2 * fifth : -fifth]) - sum(losses[-fifth:])) / fifth  # means: single epochs fluctuate at a high rate
        chance = math.log(len(self.method.task.classes))
        gain = chance - losses[-1]
        if gain <= 0 or max(gain / 10, losses[0] - losses[-1]) < 0.01 * chance:  # a lucky initialisation can gain a little
            return [f"probe not converged: its loss went from {losses[0]:.2f} to {losses[-1]:.2f}, chance's is {chance:.2f}"]
        share = late_gain / gain
        return [f"probe not converged: {share:.0%} of its gain came in the last fifth of the epochs at full rate"] if share > 0.1 else []


class Contrastive(Encoding):
    """Trains an encoder with a projection that is then discarded, and a linear probe."""

    settings: ContrastiveRecipe

    def __init__(self, settings: ContrastiveRecipe, task: Task, seed: int) -> None:
        super().__init__(settings, task, seed)
        self.modules["projection"] = Projection(cast(int, self.modules["encoder"].features), settings.hidden, settings.projection)

    @abstractmethod
    def compare_projections(self, projections: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        """Return the loss of projections [2n, d] (first views, then second views) of items with labels [n], and further values to log."""

    def build_phases(self) -> list[Phase]:
        model = nn.Sequential(get_learned_layers(self.modules["encoder"]), self.modules["projection"])
        contrast = ContrastivePhase("contrast", self, model)
        return [contrast, LinearProbePhase(self, contrast)]
