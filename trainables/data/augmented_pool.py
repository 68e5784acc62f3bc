"""Pool of augmented training images: r passes over the training set, augmented in advance (Virgolin et al. 2022, 3.2)."""

from typing import Literal, NamedTuple

import numpy as np
import torch

from trainables.data.augment import Augmentation, augment_images, draw_parameters
from trainables.data.dataset import DataError
from trainables.data.device_pixels import to_tensor
from trainables.data.task import Images

Domain = Literal["c", "c+a", "c<-a"]
"""c: target images only. c+a: plus as many random partner images per pass. c<-a: the second view is a random partner image of the label."""


class Pool(NamedTuple):
    """n items of v views each."""

    views: torch.Tensor
    """uint8 [n, v, c, s, s]"""
    labels: torch.Tensor
    """int64 [n]"""
    target: torch.Tensor
    """bool [n, v]: whether the view is of a target image, not of a partner image"""

    def __len__(self) -> int:
        return len(self.labels)

    def get_target_views(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the augmented target images, uint8 [m, c, s, s], and their labels [m]. A probe is trained on them."""
        return self.views[self.target], self.labels.unsqueeze(1).expand_as(self.target)[self.target]


def build_pool(
    train: Images, partner: Images | None, domain: Domain, passes: int, views: int, augmentation: Augmentation, rng: np.random.Generator
) -> Pool:
    """Augment `passes` passes over the training set. Every image is augmented anew in every view of every pass.

    In the domain c<-a, an item's first view is the target's and its second the partner's. `get_target_views` then gives only the first.
    """
    images = to_tensor(train.pixels)
    sources, labels, target = [], [], []
    for _ in range(passes):
        sources.append(images.unsqueeze(1).expand(-1, views, -1, -1, -1))
        labels.append(train.labels)
        target.append(torch.ones(len(train.labels), 2 if domain == "c<-a" else views, dtype=torch.bool, device=train.labels.device))
        if domain == "c+a":
            rows = torch.from_numpy(_draw_rows(_require_partner(partner), len(train.labels), rng))
            sources.append(_require_partner(partner).pixels[rows].unsqueeze(1).expand(-1, views, -1, -1, -1))
            labels.append(_require_partner(partner).labels[rows])
            target.append(torch.zeros_like(target[-1]))
        elif domain == "c<-a":
            rows = torch.from_numpy(_draw_same_label(_require_partner(partner), train.labels, rng))
            sources[-1] = torch.stack((images, _require_partner(partner).pixels[rows]), dim=1)
            target[-1][:, 1] = False
    pixels = torch.cat(sources)
    n, v = pixels.shape[:2]
    augmented = augment_images(pixels.flatten(0, 1), draw_parameters(n * v, pixels.shape[-1], augmentation, rng))
    return Pool(augmented.unflatten(0, (n, v)), torch.cat(labels), torch.cat(target))


def _require_partner(partner: Images | None) -> Images:
    if partner is None:
        raise DataError("this method mixes in a second data set, and the task has none: name one for the partner role")
    return partner


def _draw_rows(partner: Images, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n random rows, without replacement if there are enough."""
    return rng.choice(len(partner.labels), n, replace=n > len(partner.labels))


def _draw_same_label(partner: Images, labels: torch.Tensor, rng: np.random.Generator) -> np.ndarray:
    """Draw a random row of the same label for each label. Raises DataError if there is none."""
    partner_labels = partner.labels.cpu().numpy()
    target_labels = labels.cpu().numpy()
    rows = np.empty(len(target_labels), np.int64)
    for label in np.unique(target_labels):
        candidates = np.flatnonzero(partner_labels == label)
        if not len(candidates):
            raise DataError(f"the partner data set has no image of class {label}, which every target image needs one of")
        rows[target_labels == label] = rng.choice(candidates, (target_labels == label).sum())
    return rows
