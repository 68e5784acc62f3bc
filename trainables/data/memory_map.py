"""Images of a data set that is too large for each training to hold. They stay in the mapped file and are gathered on access.

This module does not import torch, because all commands import it and torch takes seconds. device_pixels.py makes tensors of the images.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

LARGE = 2**29
"""Bytes above which selected rows of a mapped file are not copied into memory."""


class MappedRows:
    """Some rows of a mapped array. It is indexed like an array. Conversion to an array copies all rows."""

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
        result: np.ndarray = self.array[self.rows[which]]
        return result

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.array[row] for row in self.rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


def select_images(images: np.ndarray | MappedRows, rows: np.ndarray) -> Any:
    """Return the images in `rows` (indices or a mask), in that order.

    They are not copied if the rows are consecutive, or many rows of a mapped file. The result is an array or MappedRows.
    """
    indices = np.flatnonzero(rows) if rows.dtype == bool else rows
    if isinstance(images, MappedRows):
        return select_images(images.array, images.rows[indices])
    if len(indices) and np.array_equal(indices, np.arange(indices[0], indices[0] + len(indices))):
        return images[indices[0] : indices[0] + len(indices)]
    selection = MappedRows(images, indices)
    return selection if isinstance(images, np.memmap) and selection.nbytes > LARGE else images[indices]


def join_images(parts: list[Any]) -> Any:
    """Concatenate images. A single part is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
