"""Affine augmentation of whole batches. Each sample is rotated, shifted, scaled, sheared and flipped by its own parameters.

`draw_affine` draws the random parameters on the CPU from a numpy generator. `apply_affine` is deterministic on any device.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_IMAGES = 512
"""Images per chunk. It bounds the memory of the float copies."""


@dataclass(frozen=True)
class Affine:
    """Settings. The paper names the kinds of transformation but gives no values (Goghberg et al. 2019, pre-processing)."""

    rotation: float = 15.0
    """maximum in degrees, in both directions"""
    shift: float = 0.1
    """maximum along each axis, as a fraction of the image side, in both directions"""
    scale: tuple[float, float] = (0.9, 1.1)
    """range of the uniform distribution"""
    shear: float = 10.0
    """maximum in degrees, in both directions"""
    flip: float = 0.5
    """probability of a horizontal flip"""


def draw_affine(n: int, affine: Affine, rng: np.random.Generator) -> Tensor:
    """Return float32 [n, 2, 3]: for each sample the map from output coordinates to input coordinates, both in [-1, 1]."""
    angle, shear = (np.deg2rad(rng.uniform(-reach, reach, n)) for reach in (affine.rotation, affine.shear))
    scale = rng.uniform(*affine.scale, n)
    shift = rng.uniform(-2 * affine.shift, 2 * affine.shift, (n, 2))  # coordinates run from -1 to 1
    flip_sign = np.where(rng.random(n) < affine.flip, -1.0, 1.0)
    cos, sin, tan = np.cos(angle), np.sin(angle), np.tan(shear)
    rotation = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)
    flip_and_shear = np.stack([np.stack([flip_sign, tan], 1), np.stack([0 * tan, 1 + 0 * tan], 1)], 1)
    linear = rotation @ flip_and_shear / scale[:, None, None]
    return torch.from_numpy(np.concatenate([linear, shift[:, :, None]], axis=2).astype(np.float32))


def apply_affine(images: Tensor, parameters: Tensor) -> Tensor:
    """Warp uint8 [n, c, s, s] by the parameters [n, 2, 3] of `draw_affine`. The shape stays the same.

    Interpolation is bilinear. Border pixels are repeated.
    """
    out = torch.empty_like(images)
    parameters = parameters.to(images.device)
    for start in range(0, len(images), _IMAGES):
        chunk = slice(start, start + _IMAGES)
        x = images[chunk].float()
        grid = functional.affine_grid(parameters[chunk], list(x.shape), align_corners=False)
        warped = functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
        out[chunk] = warped.round_().to(torch.uint8)
    return out
