"""Pool: the augmented images that training runs over: r passes over the training set, crafted at once (Virgolin et al. 2022, 3.2)."""

from typing import Literal, NamedTuple

import numpy as np
import torch

from trainables.data.augment import Augmentation, augment_images, draw_parameters
from trainables.data.dataset import DataError
from trainables.data.pixels import to_tensor
from trainables.data.task import Images

Domain = Literal["c", "c+a", "c<-a"]
"""c: the target's images; c+a: and as many random partners a pass; c<-a: a random partner of an image's label is its second view"""


class Pool(NamedTuple):
    """n items, each one image seen in v views."""

    views: torch.Tensor
    """uint8 [n, v, c, s, s]"""
    labels: torch.Tensor
    """int64 [n]"""
    target: torch.Tensor
    """bool [n, v]: a view of an image of the target set, not of a partner's"""

    def __len__(self) -> int:
        return len(self.labels)

    def get_target_views(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Crafted images of the target set alone, uint8 [m, c, s, s], and their labels [m]: what a probe is trained on."""
        return self.views[self.target], self.labels.unsqueeze(1).expand_as(self.target)[self.target]


def build_pool(
    train: Images, partner: Images | None, domain: Domain, passes: int, views: int, augmentation: Augmentation, rng: np.random.Generator
) -> Pool:
    """`passes` passes over the training set; every image is augmented anew in every view of every pass.

    In the domain c<-a an item's first view is the target's and its second the partner's; target_views then gives the first alone.
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
    crafted = augment_images(pixels.flatten(0, 1), draw_parameters(n * v, pixels.shape[-1], augmentation, rng))
    return Pool(crafted.unflatten(0, (n, v)), torch.cat(labels), torch.cat(target))


def _require_partner(partner: Images | None) -> Images:
    if partner is None:
        raise DataError("this method mixes in a second data set, and the task has none: name one for the partner role")
    return partner


def _draw_rows(partner: Images, n: int, rng: np.random.Generator) -> np.ndarray:
    """n random rows, none twice while there are enough."""
    return rng.choice(len(partner.labels), n, replace=n > len(partner.labels))


def _draw_same_label(partner: Images, labels: torch.Tensor, rng: np.random.Generator) -> np.ndarray:
    """For each label a random row of the same label."""
    known = partner.labels.cpu().numpy()
    wanted = labels.cpu().numpy()
    rows = np.empty(len(wanted), np.int64)
    for label in np.unique(wanted):
        alike = np.flatnonzero(known == label)
        if not len(alike):
            raise DataError(f"the partner data set has no image of class {label}, which every target image needs one of")
        rows[wanted == label] = rng.choice(alike, (wanted == label).sum())
    return rows
