"""Images on a device, or, where they are too large for that, what gathers them by batches."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from trainables.data import mapped
from trainables.data.mapped import MappedRows

SHARE = 4
"""on a GPU: more than one part in so many of its memory is large"""


class Pixels:
    """What a training sees of images that are not held: of a tensor uint8 [n, c, s, s] its shape, its device, and batches of it."""

    def __init__(self, images: np.ndarray | MappedRows, device: torch.device) -> None:
        self.images, self.device, self.shape, self.ndim = images, device, torch.Size(images.shape), images.ndim

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: Any) -> torch.Tensor:
        rows = which.cpu().numpy() if isinstance(which, torch.Tensor) else which
        return torch.from_numpy(np.ascontiguousarray(self.images[rows])).to(self.device)

    def split(self, count: int) -> Iterator[torch.Tensor]:
        return (self[start : start + count] for start in range(0, len(self), count))


def load_pixels(images: np.ndarray | MappedRows, device: torch.device) -> torch.Tensor:
    """The images on the device; where they are too large for it, Pixels, which serve as a tensor does to what takes them by batches."""
    large = mapped.LARGE if device.type == "cpu" else torch.cuda.get_device_properties(device).total_memory // SHARE
    if (isinstance(images, MappedRows) or (device.type != "cpu" and isinstance(images, np.memmap))) and images.nbytes > large:
        return Pixels(images, device)  # type: ignore[return-value]
    with warnings.catch_warnings():  # that a mapped file may not be written to; nobody does
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(np.asarray(images)).to(device)


def to_tensor(images: torch.Tensor) -> torch.Tensor:
    """A tensor, for what needs all of it at once: of Pixels a copy of all."""
    return images[:] if isinstance(images, Pixels) else images
