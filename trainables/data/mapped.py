"""Images of a data set too large to be held by each training: they stay in the mapped file, and are gathered when they are asked for.

Without torch, which takes seconds to import: all commands read this file. What a training makes of the images: pixels.py.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

LARGE = 2**29
"""bytes from which on a choice of a mapped file's rows is not copied into memory"""


class MappedRows:
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


def select_images(images: np.ndarray | MappedRows, rows: np.ndarray) -> Any:
    """The images in `rows` (indices or a mask), in that order; without a copy where they follow each other, or are many of a mapped file.

    What comes back is an array, or indexed as one: see Rows.
    """
    places = np.flatnonzero(rows) if rows.dtype == bool else rows
    if isinstance(images, MappedRows):
        return select_images(images.array, images.rows[places])
    if len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places))):
        return images[places[0] : places[0] + len(places)]
    found = MappedRows(images, places)
    return found if isinstance(images, np.memmap) and found.nbytes > LARGE else images[places]


def join_images(parts: list[Any]) -> Any:
    """Images end to end; a single part is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
