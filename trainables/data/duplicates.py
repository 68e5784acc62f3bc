"""Duplicates: images that are in a data set more than once, identical to the last bit or nearly so."""

from hashlib import blake2b

import numpy as np

from trainables.data.image_hashes import ALIKE, IDENTICAL, NEAR, find_pairs, make_thumbs, measure_likeness


def find_identical(images: np.ndarray) -> list[np.ndarray]:
    """Return groups of two or more rows of bit-identical images (uint8 [n, ...]), in the order of their first rows."""
    groups: dict[bytes, list[int]] = {}
    for row, image in enumerate(images):
        groups.setdefault(blake2b(np.ascontiguousarray(image).data, digest_size=16).digest(), []).append(row)
    return [np.array(rows) for rows in groups.values() if len(rows) > 1]


def find_mirrored(images: np.ndarray, hashes: np.ndarray) -> list[np.ndarray]:
    """Return groups of two or more rows of images (uint8 [n, c, s, s]) that are identical if one of them is mirrored.

    `hashes` are those of `hash_images`.
    """
    groups = _group_rows(hashes[:, IDENTICAL])
    return [rows for rows in groups if any(not np.array_equal(images[rows[0]], images[row]) for row in rows[1:])]


def find_near(images: np.ndarray, hashes: np.ndarray) -> list[np.ndarray]:
    """Return groups of two or more rows of nearly identical images (uint8 [n, c, s, s]), including identical ones.

    Two images are near twins if their perceptual hashes, of `hash_images`, differ in at most BITS bits and their thumbs correlate by ALIKE
    or more. A group is a connected component of such pairs.
    """
    thumbs = make_thumbs(images)
    parent = np.arange(len(images))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for found in find_pairs(hashes[:, NEAR], hashes[:, NEAR]):
        pairs = found[found[:, 0] < found[:, 1]]
        for first, second in pairs[measure_likeness(thumbs, thumbs, pairs) >= ALIKE].tolist():
            a, b = root(first), root(second)
            parent[max(a, b)] = min(a, b)
    for group in find_identical(images):  # uniform images have no near twins, but identical ones
        for row in group[1:].tolist():
            a, b = root(int(group[0])), root(row)
            parent[max(a, b)] = min(a, b)
    return _group_rows(np.array([root(row) for row in range(len(images))]))


def _group_rows(keys: np.ndarray) -> list[np.ndarray]:
    """Return the groups of two or more rows that have the same key."""
    order = np.argsort(keys, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)
    return [group for group in groups if len(group) > 1]
