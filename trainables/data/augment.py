"""Augmentation of whole batches as in torchvision: random resized crop, flip and colour jitter. Each sample has its own parameters.

`draw_parameters` draws the random parameters on the CPU from a numpy generator. `augment_images` is deterministic on any device.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
_PIXELS = 2**18  # A chunk's float32 copies fit a core's cache, and memory use does not grow with the pool.


@dataclass(frozen=True)
class Augmentation:
    """Settings. The defaults are those of the study adults_as_augmentation (Virgolin et al. 2022)."""

    scale: tuple[float, float] = (0.8, 1.0)
    """range of the crop's share of the image area, uniform"""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """range of the crop's width : height, log-uniform"""
    flip: float = 0.5
    """probability of a horizontal flip"""
    brightness: float = 0.4
    """the factor is uniform in [max(0, 1 - brightness), 1 + brightness]; contrast and saturation likewise"""
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    """the shift is uniform in [-hue, hue], in turns of the colour circle"""
    jitter: float = 0.8
    """probability that a sample's colours are jittered"""

    def __post_init__(self) -> None:
        """Raise ValueError for values outside their ranges."""
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale={list(self.scale)}: two shares of the image area, the smaller one first, above 0 and at most 1")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio={list(self.ratio)}: two ratios of width to height above 0, the smaller one first")
        for name in ("flip", "jitter"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: a probability, from 0 to 1")
        for name in ("brightness", "contrast", "saturation"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: 0 or more")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue={self.hue}: from 0 to 0.5 turns")


class Parameters(NamedTuple):
    """One augmentation of each of n samples. Without colour jitter the factors are 1 and the hue shift is 0, which are exact no-ops."""

    top: Tensor
    """float32 [n], whole pixels; left, height and width likewise"""
    left: Tensor
    height: Tensor
    width: Tensor
    flip: Tensor
    """bool [n]"""
    factors: Tensor
    """float32 [n, 4]: brightness, contrast, saturation, hue shift"""
    order: Tensor
    """int64 [n, 4]: indices of the four colour operations, in the order of application"""

    def to_device(self, device: torch.device | str) -> "Parameters":
        return Parameters._make(parameter.to(device, non_blocking=True) for parameter in self)


def draw_parameters(n: int, size: int, augmentation: Augmentation, rng: np.random.Generator) -> Parameters:
    """Draw the parameters of n samples of size x size.

    The distributions are those of torchvision's RandomResizedCrop, RandomHorizontalFlip and ColorJitter.
    """
    top, left, height, width = _draw_boxes(n, size, augmentation, rng)
    flip = rng.random(n) < augmentation.flip
    jitter = rng.random((n, 1)) < augmentation.jitter
    reach = np.array([augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.hue])
    neutral = np.array([1.0, 1.0, 1.0, 0.0])
    low = np.where(neutral, np.maximum(0, 1 - reach), -reach)
    factors = np.where(jitter, rng.uniform(low, neutral + reach, (n, 4)), neutral)
    order = rng.random((n, 4)).argsort(axis=1)
    top, left, height, width, factors = (values.astype(np.float32) for values in (top, left, height, width, factors))
    return Parameters._make(map(torch.from_numpy, (top, left, height, width, flip, factors, order)))


def _draw_boxes(n: int, size: int, augmentation: Augmentation, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return the crops as top, left, height and width, [n] each.

    A crop is the first of ten tries that fits. If none fits, it is the largest central box of an allowed ratio.
    """
    (low, high), (narrow, wide) = augmentation.scale, augmentation.ratio
    area = size * size * rng.uniform(low, high, (n, 10))
    ratio = np.exp(rng.uniform(np.log(narrow), np.log(wide), (n, 10)))
    width, height = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (width > 0) & (width <= size) & (height > 0) & (height <= size)
    fits_once, first = fits.any(axis=1), (np.arange(n), fits.argmax(axis=1))
    width = np.where(fits_once, width[first], size if wide >= 1 else np.rint(size * wide)).astype(np.int64)
    height = np.where(fits_once, height[first], size if narrow <= 1 else np.rint(size / narrow)).astype(np.int64)
    top = np.where(fits_once, rng.integers(0, size - height + 1), (size - height) // 2)
    left = np.where(fits_once, rng.integers(0, size - width + 1), (size - width) // 2)
    return top, left, height, width


def augment_images(images: Tensor, parameters: Parameters) -> Tensor:
    """Crop each sample, resize it back bilinearly, flip and jitter it by its row of `parameters`.

    Images are uint8 [n, c, s, s] (c 1 or 3), and the result has the same shape. It is computed in float32 and rounded once, at the end.
    """
    out = torch.empty_like(images)
    parameters = parameters.to_device(images.device)
    step = max(1, _PIXELS // images[0].numel()) if len(images) else 1
    for start in range(0, len(images), step):
        chunk = slice(start, start + step)
        chunk_parameters = Parameters._make(parameter[chunk] for parameter in parameters)
        with torch.autocast(images.device.type, enabled=False):  # bf16 has 8 bits, and the matrices hold positions in pixels
            augmented = _jitter_colours(_resample_images(images[chunk].float(), chunk_parameters), chunk_parameters)
        out[chunk] = augmented.round_().to(torch.uint8)
    return out


def normalise_images(images: Tensor) -> Tensor:
    """Scale uint8 levels to float32 in [-1, 1]: (x / 255 - .5) / .5."""
    return images.float().div_(127.5).sub_(1)


def _resample_images(x: Tensor, each: Parameters) -> Tensor:
    """Crop, resize and flip by one separable resampling: rows @ x @ columns, with one pair of matrices for each sample.

    A crop never shrinks when it is resized back, so antialiasing would change nothing.
    """
    rows = _make_interpolation(each.top, each.height, torch.zeros_like(each.flip), x.shape[-1])
    columns = _make_interpolation(each.left, each.width, each.flip, x.shape[-1]).mT
    if x.shape[1] == 1:
        return torch.bmm(torch.bmm(rows, x[:, 0]), columns)[:, None]
    return rows[:, None] @ x @ columns[:, None]


def _make_interpolation(start: Tensor, length: Tensor, flip: Tensor, size: int) -> Tensor:
    """Return float32 [n, size, size]. Row o holds the bilinear weights of output pixel o. At most two of them are not 0."""
    pixel = torch.arange(size, device=start.device, dtype=torch.float32)
    output = torch.where(flip[:, None], size - 1 - pixel, pixel)
    source = ((output + 0.5) * (length / size)[:, None] - 0.5).clamp(min=0).minimum(length[:, None] - 1)
    return (1 - (source + start[:, None])[..., None].sub(pixel).abs_()).clamp_(min=0)


def _jitter_colours(x: Tensor, each: Parameters) -> Tensor:
    """Apply up to four colour operations in each sample's own order. Levels are 0 to 255."""
    order = each.order
    if x.shape[1] == 1:  # a grey image has no hue or saturation, so only the order of the other two matters
        contrast_first = (order == CONTRAST).int().argmax(1) < (order == BRIGHTNESS).int().argmax(1)
        order = torch.stack((contrast_first, ~contrast_first), dim=1).long()
    for operation in order.unbind(dim=1):
        if x.shape[1] == 3 and len(rows := (operation == HUE).nonzero()[:, 0]):
            x[rows] = _shift_hue(x[rows], each.factors[rows, HUE])
        x = _blend_images(x, operation, each.factors)
    return x


def _blend_images(x: Tensor, operation: Tensor, factors: Tensor) -> Tensor:
    """Return f x + (1 - f) t. The target t is black for brightness, the mean luma for contrast and the pixel's luma for saturation."""
    luma = x if x.shape[1] == 1 else 0.2989 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    which = operation[:, None, None, None]
    factor = factors.gather(1, operation[:, None])[..., None, None].masked_fill(which == HUE, 1.0)
    towards = luma.mean(dim=(1, 2, 3), keepdim=True) * (which == CONTRAST)
    if x.shape[1] == 3:
        towards = torch.where(which == SATURATION, luma, towards)
    return (x * factor).add_((1 - factor) * towards).clamp_(0, 255)


def _shift_hue(x: Tensor, shift: Tensor) -> Tensor:
    """Rotate the hue of float32 [n, 3, s, s] by `shift` [n] turns. Value and saturation (HSV) stay the same."""
    value, darkest = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    chroma = value - darkest
    red, green, blue = ((value - x) / chroma.masked_fill(chroma == 0, 1.0)).split(1, dim=1)
    r, g, _ = x.split(1, dim=1)
    hue = torch.where(value == r, blue - green, torch.where(value == g, 2 + red - blue, 4 + green - red))  # in sixths of a turn
    turned = hue + 6 * shift[:, None, None, None]
    k = (turned + turned.new_tensor([5.0, 3.0, 1.0])[:, None, None]).remainder_(6)
    return value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1)
