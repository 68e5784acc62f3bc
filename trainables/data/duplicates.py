"""Duplicates: images that are in a data set more than once, identical to the last bit or nearly so."""

from hashlib import blake2b

import numpy as np

from trainables.data.image_hashes import ALIKE, NEAR, find_pairs, hash_images, make_thumbs


def find_identical(images: np.ndarray) -> list[np.ndarray]:
    """Return groups of two or more rows of bit-identical images (uint8 [n, ...]), in the order of their first rows."""
    groups: dict[bytes, list[int]] = {}
    for row, image in enumerate(images):
        groups.setdefault(blake2b(np.ascontiguousarray(image).data, digest_size=16).digest(), []).append(row)
    return [np.array(rows) for rows in groups.values() if len(rows) > 1]


def find_near(images: np.ndarray) -> list[np.ndarray]:
    """Return groups of two or more rows of nearly identical images (uint8 [n, c, s, s]), including identical ones.

    Two images are near twins if their perceptual hashes differ in at most BITS bits and their thumbs correlate by ALIKE or more. A group
    is a connected component of such pairs.
    """
    hashes, thumbs = hash_images(images)[:, NEAR], make_thumbs(images)
    parent = np.arange(len(images))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    pairs = find_pairs(hashes, hashes)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    for first, second in pairs[np.einsum("nd,nd->n", thumbs[pairs[:, 0]], thumbs[pairs[:, 1]]) >= ALIKE].tolist():
        a, b = root(first), root(second)
        parent[max(a, b)] = min(a, b)
    roots = np.array([root(row) for row in range(len(images))])
    order = np.argsort(roots, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(roots[order])) + 1) if len(order) else []
    return [group for group in groups if len(group) > 1]
