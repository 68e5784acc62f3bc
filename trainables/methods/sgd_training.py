"""Recipe: the network, augmented images and SGD with step decay that the study's methods share (Virgolin et al. 2022, section 3.2)."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from trainables.data.augment import Augmentation
from trainables.data.augmented_pool import Domain, Pool, build_pool
from trainables.data.dataset import DataError
from trainables.data.task import Task
from trainables.execution.cuda_graph import set_learning_rate
from trainables.methods.classifier import Classifier, DescentPhase
from trainables.methods.method import METHODS, Logs, MethodSettings
from trainables.random_streams import make_generator


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
    """fixed: augmented once for all epochs; fresh: augmented anew for each epoch"""
    augmentation: Augmentation = Augmentation()
    batch: int = Field(32, ge=2)
    """augmented images per step, all views counted"""
    epochs: int = Field(250, ge=1)
    lr: float = Field(0.05, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    """not stated in the paper; the cited recipe's value"""
    milestones: tuple[float, ...] = (0.7, 0.8, 0.9)
    """shares of the epochs after which the learning rate falls to a tenth"""

    def get_learning_rate(self, epoch: int, epochs: int, lr: float) -> float:
        return lr * 0.1 ** sum(epoch >= round(share * epochs) for share in self.milestones)


class Encoding(Classifier):
    """A method with an encoder, a linear classifier on it, and a pool of augmented images."""

    settings: Recipe
    domains: ClassVar[tuple[Domain, ...]] = ("c", "c+a")
    """the domains that the loss makes sense in; c<-a only where it compares two views by their label"""

    def __init__(self, settings: Recipe, task: Task, seed: int) -> None:
        if settings.domain not in self.domains:
            why = f"{settings.domain} pairs two views of one label, which this loss does not compare"
            raise DataError(f"{METHODS.find_name(type(self))}: {why}; choose {' or '.join(self.domains)}")
        super().__init__(settings, task, seed)

    def build_pool(self, views: int, epoch: int) -> Pool:
        """Return the pool of an epoch; a fixed pool is the same for all epochs."""
        settings, task = self.settings, self.task
        rng = make_generator(self.seed, "pool", "fixed" if settings.pool == "fixed" else epoch)
        partner = next(iter(task.partners.values()), None)
        return build_pool(task.train, partner, settings.domain, settings.ratio, views, settings.augmentation, rng)


class SGDPhase(DescentPhase):
    """Epochs of SGD over shuffled items in full batches. Each epoch leaves over different items at its end."""

    method: Encoding

    def __init__(self, name: str, method: Encoding, model: nn.Module, epochs: int, lr: float, batch: int) -> None:
        self.name, self.method, self.model, self.epochs, self.lr, self.batch = name, method, model, epochs, lr, batch

    def make_optimizer(self) -> torch.optim.Optimizer:
        settings = self.method.settings
        return torch.optim.SGD(
            self.model.parameters(), lr=self.lr, momentum=settings.momentum, weight_decay=settings.weight_decay, fused=True
        )

    @abstractmethod
    def prepare_items(self, epoch: int) -> int:
        """Prepare the epoch's items and return their number."""

    @abstractmethod
    def get_batch(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and labels of the items in `rows` as `compute_loss` takes them. All batches have the same shapes."""

    def start_epoch(self, epoch: int) -> int:
        items = self.prepare_items(epoch)
        set_learning_rate(self.optimizer, self.method.settings.get_learning_rate(epoch, self.epochs, self.lr), self.update_parameters)
        order = make_generator(self.method.seed, "order", self.name, epoch).permutation(items)
        self.order = torch.from_numpy(order).to(self.method.task.device)
        return max(1, items // self.batch)

    def train_step(self, step: int) -> Logs:
        return self.update_parameters(*self.get_batch(self.method.shard.get_part(self.order[step * self.batch : (step + 1) * self.batch])))


class PoolPhase(SGDPhase):
    """SGD over the pool itself, with `views` views of each item."""

    views: int
    pool: Pool

    def prepare_items(self, epoch: int) -> int:
        if not hasattr(self, "pool") or self.method.settings.pool == "fresh":
            self.pool = self.method.build_pool(self.views, epoch)
        return len(self.pool)
