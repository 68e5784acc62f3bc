"""Affine augmentation of whole batches: each sample rotated, shifted, scaled, sheared and flipped by its own parameters.

`draw_affine` draws what is random, on the CPU, from a numpy generator. `apply_affine` is deterministic, on any device.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_IMAGES = 512
"""at once: their float copies stay small however many there are"""


@dataclass(frozen=True)
class Affine:
    """The settings; their text names the kinds and no values (Goghberg et al. 2019, pre-processing)."""

    rotation: float = 15.0
    """degrees, either way"""
    shift: float = 0.1
    """share of the side, in each direction"""
    scale: tuple[float, float] = (0.9, 1.1)
    """uniform"""
    shear: float = 10.0
    """degrees, either way"""
    flip: float = 0.5
    """probability of a horizontal flip"""


def draw_affine(n: int, affine: Affine, rng: np.random.Generator) -> Tensor:
    """Float32 [n, 2, 3]: for each sample the map from places of the output to places of the input, both in [-1, 1]."""
    angle, shear = (np.deg2rad(rng.uniform(-reach, reach, n)) for reach in (affine.rotation, affine.shear))
    scale = rng.uniform(*affine.scale, n)
    shift = rng.uniform(-2 * affine.shift, 2 * affine.shift, (n, 2))  # a side is 2 long
    side = np.where(rng.random(n) < affine.flip, -1.0, 1.0)
    cos, sin, tan = np.cos(angle), np.sin(angle), np.tan(shear)
    turned = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)
    sheared = np.stack([np.stack([side, tan], 1), np.stack([0 * tan, 1 + 0 * tan], 1)], 1)
    linear = turned @ sheared / scale[:, None, None]
    return torch.from_numpy(np.concatenate([linear, shift[:, :, None]], axis=2).astype(np.float32))


def apply_affine(images: Tensor, parameters: Tensor) -> Tensor:
    """Uint8 [n, c, s, s] moved by `draw_affine`'s parameters [n, 2, 3], bilinear, the border's pixels repeated; the same shape."""
    out = torch.empty_like(images)
    parameters = parameters.to(images.device)
    for start in range(0, len(images), _IMAGES):
        part = slice(start, start + _IMAGES)
        x = images[part].float()
        grid = functional.affine_grid(parameters[part], list(x.shape), align_corners=False)
        moved = functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
        out[part] = moved.round_().to(torch.uint8)
    return out
