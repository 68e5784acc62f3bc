"""Recipe: the network, augmented images and SGD with step decay that the study's methods share (Virgolin et al. 2022, section 3.2)."""

import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import nn

from trainables.data.augment import Augmentation
from trainables.data.augmented_pool import Domain, Pool, PoolSettings, build_pool, count_items
from trainables.data.dataset import DataError
from trainables.data.task import Task
from trainables.execution.cuda_graph import set_learning_rate
from trainables.methods.classifier import Classifier, DescentPhase
from trainables.methods.method import METHODS, Logs, MethodSettings, PhaseSize
from trainables.models.fixed_layers import keep_fixed_maps
from trainables.random_streams import make_generator

PARTS = 10
"""The maximum number of epochs of a phase with a budget of steps."""


class Recipe(MethodSettings):
    """Settings of every method of the study; the defaults are the paper's (section 3.2)."""

    encoder: str = "resnet18"
    encoder_settings: dict[str, Any] = Field(default_factory=dict)
    """the network's own settings, such as {"stem": "imagenet"}"""
    domain: Domain = "c"
    """domain of the training images: c, c+a or c<-a"""
    ratio: int = Field(5, ge=1)
    """augmentation ratio: the number of passes over the training set that make up the pool"""
    pool: Literal["fixed", "fresh"] = "fixed"
    """fixed: the images are augmented before the training; fresh: the images are augmented again before every epoch"""
    partners: Literal["once", "anew"] = "once"
    """once: the partner images (adults) are sampled before the training; anew: they are sampled again before every epoch ("random images
    ... during training")"""
    augmentation: Augmentation = Augmentation()
    batch: int = Field(32, ge=2)
    """augmented images per step, all views counted"""
    budget: Literal["epochs", "steps", "images"] = "epochs"
    """the quantity that is equal for all methods. epochs: passes over a method's own pool, as in the paper; the number of steps then
    differs by up to a factor of four between methods; steps: optimiser steps; images: augmented images, all views counted"""
    epochs: int = Field(250, ge=1)
    """the number of epochs if budget=epochs"""
    steps: int | None = Field(None, ge=1)
    """the number of optimiser steps if budget=steps"""
    images_seen: int | None = Field(None, ge=1)
    """the number of augmented images if budget=images"""
    lr: float = Field(0.05, gt=0)
    warm_up: float = Field(0.0, ge=0, le=0.5)
    """share of the training in which the learning rate rises linearly from 0; the paper has none"""
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    """not stated in the paper; the cited recipe's value"""
    milestones: tuple[float, ...] = (0.7, 0.8, 0.9)
    """shares of the training after which the learning rate falls to a tenth"""

    @model_validator(mode="after")
    def _check_settings(self) -> "Recipe":
        for budget, name in (("steps", "steps"), ("images", "images_seen")):
            amount = getattr(self, name)
            if self.budget == budget and amount is None:
                raise ValueError(f"budget={budget} needs a number: set {name}=N as well")
            if self.budget != budget and amount is not None:
                raise ValueError(f"{name}={amount} has no effect with budget={self.budget}: set {name}=null, or budget={budget}")
        if self.images_seen is not None and self.images_seen < self.batch:
            raise ValueError(f"images_seen={self.images_seen} leaves no step: a step takes batch={self.batch} images")
        if not all(0 < share <= 1 for share in self.milestones):
            raise ValueError(f"milestones={list(self.milestones)}: shares of the training, above 0 and at most 1")
        return self

    def get_learning_rate(self, progress: float, lr: float) -> float:
        """Return the rate at a point of the training, from 0 (the first step) to 1 (its end)."""
        return lr * 0.1 ** sum(progress >= share - 1e-9 for share in self.milestones)


class Encoding(Classifier):
    """A method with an encoder, a linear classifier on it, and a pool of augmented images."""

    settings: Recipe
    domains: ClassVar[tuple[Domain, ...]] = ("c", "c+a")
    """the domains that the loss makes sense in; c<-a only where it compares two views by their label"""
    version = 2

    def __init__(self, settings: Recipe, task: Task, seed: int) -> None:
        if settings.domain not in self.domains:
            why = f"{settings.domain} pairs two views of one label, which this loss does not compare"
            raise DataError(f"{METHODS.find_name(type(self))}: {why}; choose {' or '.join(self.domains)}")
        super().__init__(settings, task, seed)

    def make_pool_settings(self, epoch: int) -> PoolSettings:
        """Return what the pool of an epoch is made of. What is fixed is the same for all epochs."""
        recipe, when = self.settings, "fixed" if self.settings.pool == "fixed" else epoch
        drawn, augmented = ("fixed", when) if recipe.partners == "once" else (epoch, epoch)
        return PoolSettings(recipe.domain, recipe.ratio, recipe.augmentation, self.seed, when, drawn, augmented)

    def build_pool(self, views: int, epoch: int) -> Pool:
        return build_pool(self.task, self.make_pool_settings(epoch), views)

    @property
    def changes_pool(self) -> bool:
        """Whether the pool of one epoch differs from the next one's."""
        return self.settings.pool == "fresh" or (self.settings.partners == "anew" and self.settings.domain != "c")


class SGDPhase(DescentPhase):
    """SGD over shuffled items in full batches. The items that do not fill a batch are different ones in each pass.

    Without a budget of steps, an epoch is one pass over the items. With a budget, the steps are divided into at most PARTS epochs, so that
    all methods are validated equally often. If the items change between epochs, an epoch is one pass in any case.
    """

    method: Encoding
    views: ClassVar[int] = 1
    warm_up: float = 0.0

    def __init__(
        self,
        name: str,
        method: Encoding,
        model: nn.Module,
        lr: float,
        batch: int,
        items: int,
        epochs: int,
        budget: int | None,
        changes: bool,
    ) -> None:
        """`items`: the number of items of a pass. `budget`: optimiser steps of the phase; none: those of `epochs` passes. `changes`:
        whether the items differ from epoch to epoch."""
        self.name, self.method, self.model, self.lr, self.items = name, method, model, lr, items
        self.batch = min(batch, items)
        self.steps_per_pass = items // self.batch
        self.total_steps = budget or epochs * self.steps_per_pass
        self.steps_per_epoch = math.ceil(budget / PARTS) if budget and not changes else self.steps_per_pass
        self.epochs = math.ceil(self.total_steps / self.steps_per_epoch)

    def count_images(self) -> int:
        return self.batch * self.views

    def measure_size(self) -> PhaseSize:
        return PhaseSize(self.epochs, self.steps_per_epoch, self.total_steps, self.items, self.count_images())

    def make_optimizer(self) -> torch.optim.Optimizer:
        settings = self.method.settings
        return torch.optim.SGD(
            self.model.parameters(), lr=self.lr, momentum=settings.momentum, weight_decay=settings.weight_decay, fused=True
        )

    @abstractmethod
    def prepare_items(self, epoch: int) -> None:
        """Prepare the epoch's items."""

    @abstractmethod
    def get_batch(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and labels of the items in `rows` as `compute_loss` takes them. All batches have the same shapes."""

    def start_epoch(self, epoch: int) -> int:
        self.prepare_items(epoch)
        self.past = epoch * self.steps_per_epoch
        steps = min(self.steps_per_epoch, self.total_steps - self.past)
        first, last = self.past // self.steps_per_pass, (self.past + steps - 1) // self.steps_per_pass
        orders = [make_generator(self.method.seed, "order", self.name, number).permutation(self.items) for number in range(first, last + 1)]
        order = np.concatenate([order[: self.steps_per_pass * self.batch] for order in orders])
        self.order = torch.from_numpy(order[(self.past - first * self.steps_per_pass) * self.batch :]).to(self.method.task.device)
        return steps

    def train_step(self, step: int) -> Logs:
        set_learning_rate(self.optimizer, self.get_learning_rate(self.past + step), self.update_parameters)
        return self.update_parameters(*self.get_batch(self.method.shard.get_part(self.order[step * self.batch : (step + 1) * self.batch])))

    def get_learning_rate(self, step: int) -> float:
        """Return the learning rate of a step of the phase, counted from 0."""
        rate = self.method.settings.get_learning_rate(step / self.total_steps, self.lr)
        warm_steps = self.warm_up * self.total_steps
        return rate * min(1.0, (step + 1) / warm_steps) if warm_steps else rate


class PoolPhase(SGDPhase):
    """SGD over the pool itself, with `views` views of each item."""

    def __init__(self, name: str, method: Encoding, model: nn.Module) -> None:
        recipe = method.settings
        items = count_items(len(method.task.train.rows), recipe.domain, recipe.ratio)
        batch = recipe.batch // self.views
        steps = recipe.images_seen // (min(batch, items) * self.views) if recipe.images_seen else recipe.steps
        super().__init__(name, method, model, recipe.lr, batch, items, recipe.epochs, steps, method.changes_pool)
        self.warm_up = recipe.warm_up

    def prepare_items(self, epoch: int) -> None:
        if not hasattr(self, "labels") or self.method.changes_pool:
            pool, encoder = self.method.build_pool(self.views, epoch), self.method.modules["encoder"]
            self.labels, parts = pool.labels, [part for view in pool.views for part in view]
            self.inputs = torch.cat(parts if self.method.changes_pool else keep_fixed_maps(encoder, parts))

    def get_batch(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first views, then the second views, [v n, ...], as images uint8 or as what fixed layers make of them; labels [n]."""
        views = torch.arange(self.views, device=rows.device)[:, None] * len(self.labels)
        return self.inputs[(rows + views).flatten()], self.labels[rows]
