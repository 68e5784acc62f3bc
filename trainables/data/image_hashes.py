"""Hashes by which copies of an image are recognised: identical ones, mirrored ones, and near twins."""

from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from typing import Any

import cv2
import numpy as np

BITS = 3
"""Maximum number of bits, of 63, in which the perceptual hashes of near twins differ. One of four bands of 16 bits is then equal."""
ALIKE = 0.985
"""Minimum correlation of near twins as pictures of 16 x 16 pixels."""
IDENTICAL, NEAR, MIRRORED = range(3)
"""Columns of `hash_images`."""
UNIFORM = np.uint64(0)
"""Perceptual hash of an image of one colour, such as a black frame: it says nothing."""
VERSION = 2
"""Raise it when the hashes change: older ones in the cache are then not reused."""
BLOCK = 4096
THUMB = 16
"""Pixels of a side of the small pictures by which near twins are compared."""


def hash_images(images: Any) -> np.ndarray:
    """Return hashes uint64 [n, 3] of images (uint8 [n, c, s, s]).

    IDENTICAL is a hash of the bits, which an image and its mirror image share. NEAR is a perceptual hash: the signs of the 63 lowest
    frequencies of a cosine transform about their median. MIRRORED is the perceptual hash of the mirror image. Those of a uniform image
    are UNIFORM.
    """
    hashes = np.empty((len(images), 3), np.uint64)
    for start in range(0, len(images), BLOCK):
        block = np.ascontiguousarray(images[start : start + BLOCK])
        mirrored = np.ascontiguousarray(block[..., ::-1])
        rows = slice(start, start + len(block))
        hashes[rows, IDENTICAL] = [min(_hash_bits(image), _hash_bits(other)) for image, other in zip(block, mirrored, strict=True)]
        hashes[rows, NEAR], hashes[rows, MIRRORED] = _hash_perceptually(block)
        uniform = block.reshape(len(block), -1).max(axis=1) == block.reshape(len(block), -1).min(axis=1)
        hashes[rows, 1:][uniform] = UNIFORM
    return hashes


def find_pairs(first: np.ndarray, second: np.ndarray, most: int = 1 << 20) -> Iterator[np.ndarray]:
    """Yield index pairs int64 [m, 2] of perceptual hashes, uint64 [n] and [k], that differ in at most BITS bits.

    A pair may come up to four times. Each array comes from about `most` candidates, because many images alike have very many pairs.
    Uniform images (hash 0) have no pairs.
    """
    rows, others = np.flatnonzero(first != UNIFORM), np.flatnonzero(second != UNIFORM)
    for band in range(4):
        shift, mask = np.uint64(16 * band), np.uint64(0xFFFF)
        keys = (second[others] >> shift) & mask
        order = np.argsort(keys, kind="stable")
        keys, wanted = keys[order], (first[rows] >> shift) & mask
        left = np.searchsorted(keys, wanted, "left")
        counts = np.searchsorted(keys, wanted, "right") - left
        blocks = np.cumsum(counts) // most
        for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(blocks)) + 1):
            number = counts[part]
            a = np.repeat(rows[part], number)
            offsets = np.arange(len(a)) - np.repeat(np.cumsum(number) - number, number)
            b = others[order[offsets + np.repeat(left[part], number)]]
            close = np.bitwise_count(first[a] ^ second[b]) <= BITS
            if close.any():
                yield np.stack((a[close], b[close]), axis=1)


def make_thumbs(images: np.ndarray) -> np.ndarray:
    """Return pictures of 16 x 16 pixels as unit vectors without their mean, float32 [n, 256]. A uniform image gives zeros."""
    reduce = _make_reduction(images.shape[-1], THUMB)
    thumbs = (reduce @ _convert_to_grey(images) @ reduce.T).reshape(len(images), THUMB * THUMB)
    thumbs -= thumbs.mean(1, keepdims=True)
    result: np.ndarray = thumbs / np.maximum(np.linalg.norm(thumbs, axis=1, keepdims=True), 1e-3)
    return result


def measure_likeness(first: np.ndarray, second: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the correlation of the thumbs [n, 256] and [k, 256] of each pair, float32 [m]."""
    blocks = [pairs[start : start + BLOCK] for start in range(0, len(pairs), BLOCK)]
    found = [np.einsum("nd,nd->n", first[block[:, 0]], second[block[:, 1]]) for block in blocks]
    return np.concatenate(found) if found else np.empty(0, np.float32)


def _hash_bits(image: np.ndarray) -> int:
    return int.from_bytes(blake2b(image.data, digest_size=8).digest(), "little")


def _hash_perceptually(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the perceptual hashes of images and of their mirror images, uint64 [n] each."""
    transform = _make_cosines()[:8] @ _make_reduction(images.shape[-1], 32)
    low = transform @ _convert_to_grey(images) @ transform.T
    mirror = np.where(np.arange(8) % 2, -1, 1).astype(np.float32)  # mirroring an image negates its odd horizontal frequencies
    powers = np.uint64(1) << np.arange(63, dtype=np.uint64)
    hashes = []
    for coefficients in (low, low * mirror):
        flat = coefficients.reshape(len(images), 64)[:, 1:]
        hashes.append(((flat > np.median(flat, axis=1, keepdims=True)) * powers).sum(axis=1, dtype=np.uint64))
    return hashes[0], hashes[1]


def _convert_to_grey(images: np.ndarray) -> np.ndarray:
    """Return float32 [n, s, s]."""
    result: np.ndarray = images[:, 0].astype(np.float32) if images.shape[1] == 1 else images.mean(axis=1, dtype=np.float32)
    return result


@cache
def _make_reduction(size: int, to: int) -> np.ndarray:
    """Return the matrix float32 [to, size] that resizes one axis as OpenCV does with INTER_AREA."""
    result: np.ndarray = cv2.resize(np.eye(size, dtype=np.float32), (size, to), interpolation=cv2.INTER_AREA)
    return result


@cache
def _make_cosines() -> np.ndarray:
    """Return the matrix of the cosine transform, float32 [32, 32]."""
    result: np.ndarray = cv2.dct(np.eye(32, dtype=np.float32), flags=cv2.DCT_ROWS).T
    return result
