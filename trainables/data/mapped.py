"""Images of a data set too large to be held by each training: they stay in the mapped file, and are gathered when they are asked for."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

LARGE = 2**29
"""bytes from which on a choice of a mapped file's rows is not copied into memory"""
SHARE = 4
"""on a GPU: more than one part in so many of its memory is large"""


class Rows:
    """Some rows of a mapped array: indexed as an array is, and an array (a copy, as large as they are) to whatever wants one."""

    def __init__(self, array: np.ndarray, rows: np.ndarray) -> None:
        self.array, self.rows = array, rows

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.array.shape[1:])

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Any) -> np.ndarray:
        return self.array[self.rows[which]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.array[row] for row in self.rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


def piece(images: np.ndarray | Rows, rows: np.ndarray) -> Any:
    """The images in `rows` (indices or a mask), in that order; without a copy where they follow each other, or are many of a mapped file.

    What comes back is an array, or indexed as one: see Rows.
    """
    places = np.flatnonzero(rows) if rows.dtype == bool else rows
    if isinstance(images, Rows):
        return piece(images.array, images.rows[places])
    if len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places))):
        return images[places[0] : places[0] + len(places)]
    found = Rows(images, places)
    return found if isinstance(images, np.memmap) and found.nbytes > LARGE else images[places]


def together(parts: list[Any]) -> Any:
    """Images end to end; a single part is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class Pixels:
    """What a training sees of images that are not held: of a tensor uint8 [n, c, s, s] its shape, its device, and batches of it."""

    def __init__(self, images: np.ndarray | Rows, device: torch.device) -> None:
        self.images, self.device, self.shape, self.ndim = images, device, torch.Size(images.shape), images.ndim

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: Any) -> torch.Tensor:
        rows = which.cpu().numpy() if isinstance(which, torch.Tensor) else which
        return torch.from_numpy(np.ascontiguousarray(self.images[rows])).to(self.device)

    def split(self, count: int) -> Iterator[torch.Tensor]:
        return (self[start : start + count] for start in range(0, len(self), count))


def pixels(images: np.ndarray | Rows, device: torch.device) -> torch.Tensor:
    """The images on the device; where they are too large for it, Pixels, which serve as a tensor does to what takes them by batches."""
    large = LARGE if device.type == "cpu" else torch.cuda.get_device_properties(device).total_memory // SHARE
    if (isinstance(images, Rows) or (device.type != "cpu" and isinstance(images, np.memmap))) and images.nbytes > large:
        return Pixels(images, device)  # type: ignore[return-value]
    with warnings.catch_warnings():  # that a mapped file may not be written to; nobody does
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(np.asarray(images)).to(device)


def held(images: torch.Tensor) -> torch.Tensor:
    """A tensor, for what needs all of it at once: of Pixels a copy of all."""
    return images[:] if isinstance(images, Pixels) else images
