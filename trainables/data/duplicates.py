"""Duplicates: images that are in a data set more than once, identical to the last bit or nearly so."""

from collections.abc import Iterator
from hashlib import blake2b

import cv2
import numpy as np

BITS = 3
"""Maximum number of bits, of 64, in which the hashes of near twins differ. At least one of four bands of 16 bits is then equal."""
ALIKE = 0.985
"""Minimum correlation of near twins as pictures of 16 x 16 pixels."""
BLOCK = 4096


def find_identical(images: np.ndarray) -> list[np.ndarray]:
    """Return groups of two or more rows of bit-identical images (uint8 [n, ...]), in the order of their first rows."""
    groups: dict[bytes, list[int]] = {}
    for row, image in enumerate(images):
        groups.setdefault(blake2b(np.ascontiguousarray(image).data, digest_size=16).digest(), []).append(row)
    return [np.array(rows) for rows in groups.values() if len(rows) > 1]


def find_near(images: np.ndarray) -> list[np.ndarray]:
    """Return groups of two or more rows of nearly identical images (uint8 [n, c, s, s]), including identical ones.

    Two images are near twins if their perceptual hashes (signs of the 63 lowest frequencies of a cosine transform about their median)
    differ in at most BITS bits and small copies of them correlate by ALIKE or more. A group is a connected component of such pairs.
    """
    hashes, small = _hash_images(images)
    parent = np.arange(len(images))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for first, second in _find_pairs(hashes, small):
        a, b = root(first), root(second)
        parent[max(a, b)] = min(a, b)
    roots = np.array([root(row) for row in range(len(images))])
    order = np.argsort(roots, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(roots[order])) + 1) if len(order) else []
    return [group for group in groups if len(group) > 1]


def _hash_images(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return perceptual hashes uint64 [n], and pictures of 16 x 16 pixels as unit vectors float32 [n, 256]."""
    hashes, small = np.empty(len(images), np.uint64), np.empty((len(images), 256), np.float32)
    powers = np.uint64(1) << np.arange(63, dtype=np.uint64)
    for row, image in enumerate(images):
        grey = (image[0] if len(image) == 1 else image.mean(axis=0)).astype(np.float32)
        low = cv2.dct(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA))[:8, :8].ravel()[1:]
        hashes[row] = powers[low > np.median(low)].sum(dtype=np.uint64)
        thumb = cv2.resize(grey, (16, 16), interpolation=cv2.INTER_AREA).ravel()
        thumb -= thumb.mean()
        small[row] = thumb / max(float(np.linalg.norm(thumb)), 1e-6)
    return hashes, small


def _find_pairs(hashes: np.ndarray, small: np.ndarray) -> Iterator[tuple[int, int]]:
    for band in range(4):
        keys = (hashes >> np.uint64(16 * band)) & np.uint64(0xFFFF)
        order = np.argsort(keys, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            for start in range(0, len(bucket), BLOCK):
                rows = bucket[start : start + BLOCK]
                distance = np.bitwise_count(hashes[rows][:, None] ^ hashes[bucket[start:]][None])
                for a, b in np.argwhere(np.triu(distance <= BITS, 1)):
                    first, second = int(rows[a]), int(bucket[start + b])
                    if small[first] @ small[second] >= ALIKE:
                        yield first, second
