"""Images on a device or, if they are too large for it, an object that gathers them by batches."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from trainables.data import memory_map
from trainables.data.memory_map import MappedRows

SHARE = 4
"""On a GPU, images are large if they exceed 1 / SHARE of its memory."""


class Pixels:
    """Stand-in for a tensor uint8 [n, c, s, s] of images that are not held in memory. It has shape and device, and gives batches."""

    def __init__(self, images: np.ndarray | MappedRows, device: torch.device) -> None:
        self.images, self.device, self.shape, self.ndim = images, device, torch.Size(images.shape), images.ndim

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: Any) -> torch.Tensor:
        rows = which.cpu().numpy() if isinstance(which, torch.Tensor) else which
        return torch.from_numpy(np.ascontiguousarray(self.images[rows])).to(self.device)

    def take_rows(self, rows: np.ndarray) -> "Pixels":
        return Pixels(memory_map.select_images(self.images, rows), self.device)

    def split(self, count: int) -> Iterator[torch.Tensor]:
        return (self[start : start + count] for start in range(0, len(self), count))


def load_pixels(images: np.ndarray | MappedRows, device: torch.device) -> torch.Tensor:
    """Return the images on the device. If they are too large for it, return Pixels, which replace a tensor in code that takes batches."""
    large = memory_map.LARGE if device.type == "cpu" else torch.cuda.get_device_properties(device).total_memory // SHARE
    if (isinstance(images, MappedRows) or (device.type != "cpu" and isinstance(images, np.memmap))) and images.nbytes > large:
        return Pixels(images, device)  # type: ignore[return-value]
    with warnings.catch_warnings():  # torch warns that a mapped file is read-only; nothing writes to it
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(np.asarray(images)).to(device)


def to_tensor(images: torch.Tensor) -> torch.Tensor:
    """Return a tensor, for code that needs all images at once. Pixels are copied as a whole."""
    return images[:] if isinstance(images, Pixels) else images
