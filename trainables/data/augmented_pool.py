"""Pool of augmented training images: r passes over the training set, augmented in advance (Virgolin et al. 2022, 3.2)."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch

from trainables.data.augment import Augmentation, augment_images, draw_parameters
from trainables.data.dataset import DataError
from trainables.data.device_pixels import to_tensor
from trainables.data.task import Images, Task
from trainables.random_streams import make_generator

Domain = Literal["c", "c+a", "c<-a"]
"""c: target images only. c+a: plus as many random partner images per pass. c<-a: the second view is a random partner image of the label."""


class Pool(NamedTuple):
    """n items of v views each: first the items of all passes over the target images, then, in the domain c+a, those of partner images."""

    views: tuple[tuple[torch.Tensor, ...], ...]
    """by view: its images, uint8 [m, c, s, s], in one part or in two, which the same view of another domain's pool may share"""
    labels: torch.Tensor
    """int64 [n]"""

    def __len__(self) -> int:
        return len(self.labels)


class PoolSettings(NamedTuple):
    """What a pool is made of."""

    domain: Domain
    passes: int
    augmentation: Augmentation
    seed: int
    targets_when: object = "fixed"
    """fixed, or the epoch for which the targets' images are augmented"""
    partners_when: object = "fixed"
    """fixed, or the epoch for which the partner images are drawn"""
    partners_augmented: object = "fixed"
    """fixed, or the epoch for which they are augmented"""


KEPT = 2**27
"""bytes of the views that are kept with a task for other trainings on the same images"""


def count_items(images: int, domain: Domain, passes: int) -> int:
    """Return the number of items of a pool made of so many target images."""
    return passes * images * (2 if domain == "c+a" else 1)


def build_pool(task: Task, settings: PoolSettings, views: int) -> Pool:
    """Augment `passes` passes over the training set. Every image is augmented anew in every view of every pass.

    Partner images are drawn anew in every pass: in c+a as many as targets, without replacement if there are enough; in c<-a one of the
    item's label, which is the item's second view. A view of the targets is the same in every domain, and whatever the number of views.
    """
    domain, seed, when, train = settings.domain, settings.seed, settings.partners_when, task.train
    partner = next(iter(task.partners.values()), None)
    targets = [augment_view(task, settings, view) for view in range(1 if domain == "c<-a" else views)]
    labels = train.labels.repeat(settings.passes)
    if domain == "c":
        return Pool(tuple((view,) for view in targets), labels)
    if partner is None:
        raise DataError("this method mixes in a second data set, and the task has none: name one for the partner role")
    rng, draw = make_generator(seed, "partners", domain, when), _draw_same_label if domain == "c<-a" else _draw_rows
    rows = torch.from_numpy(np.concatenate([draw(partner, train.labels.cpu().numpy(), rng) for _ in range(settings.passes)]))
    rows = rows.to(partner.labels.device)
    source, augmented = ("partners", domain), settings.partners_augmented
    drawn = [_augment(task, lambda: partner.pixels[rows], settings, source, augmented, view) for view in range(len(targets))]
    if domain == "c<-a":
        return Pool(((targets[0],), (drawn[0],)), labels)
    return Pool(tuple(zip(targets, drawn, strict=True)), torch.cat((labels, partner.labels[rows])))


def augment_view(task: Task, settings: PoolSettings, view: int) -> torch.Tensor:
    """Return one view of all passes over the target images, uint8 [passes n, c, s, s]."""
    pixels = task.train.pixels
    return _augment(task, lambda: to_tensor(pixels).repeat(settings.passes, 1, 1, 1), settings, ("pool",), settings.targets_when, view)


def _augment(
    task: Task, get_pixels: Callable[[], torch.Tensor], settings: PoolSettings, source: tuple[str, ...], when: object, view: int
) -> torch.Tensor:
    """Return a view of a source's images, augmented. A fixed view is kept with the task, because methods share it."""
    name = (*source, when, view)
    key = (task.train.rows.tobytes(), settings.passes, settings.augmentation, settings.seed, name)
    if (kept := task.kept_views.get(key)) is not None:
        return kept
    pixels, rng = get_pixels(), make_generator(settings.seed, *name)
    augmented = augment_images(pixels, draw_parameters(len(pixels), pixels.shape[-1], settings.augmentation, rng))
    if when == "fixed" and augmented.nbytes <= KEPT:
        task.kept_views[key] = augmented
        while sum(kept_view.nbytes for kept_view in task.kept_views.values()) > KEPT:
            task.kept_views.pop(next(iter(task.kept_views)))  # the oldest
    return augmented


def _draw_rows(partner: Images, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a random row for each label, whatever the label, without replacement if there are enough."""
    return rng.choice(len(partner.labels), len(labels), replace=len(labels) > len(partner.labels))


def _draw_same_label(partner: Images, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a random row of the same label for each label. Raises DataError if there is none."""
    partner_labels = partner.labels.cpu().numpy()
    rows = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        candidates = np.flatnonzero(partner_labels == label)
        if not len(candidates):
            raise DataError(f"the partner data set has no image of class {label}, which every target image needs one of")
        rows[labels == label] = rng.choice(candidates, (labels == label).sum())
    return rows
