"""Assign persons to parts in given shares, class by class. The training set is not balanced."""

import numpy as np
import pandas as pd

ROUNDS = 3
"""Number of times that each person is placed: once in turn, then again with all others in place."""


def split_groups(labels: np.ndarray, persons: np.ndarray, shares: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """Return the part of each row, an index into `shares`: int64 [n]. A person's rows are in one part.

    Each class is divided in proportion to `shares` (which sum to 1), as nearly as whole persons allow. If each person has one image, that
    is to within one image. A part with a positive share gets an image of every class, however small the share, if there are enough.
    `labels` [n] are 0 or more. `persons` [n] are any values that identify persons.
    """
    codes = pd.factorize(persons)[0]
    counts = np.zeros((codes.max(initial=-1) + 1, labels.max(initial=0) + 1))
    np.add.at(counts, (codes, labels), 1)
    sizes = np.maximum(counts.sum(axis=0), 1)
    weights = counts / sizes  # each person's share of each class
    positive = np.array(shares) > 0
    lacking = np.stack([_count_wanted(np.array(shares), size) for size in sizes], axis=1) / sizes
    part = np.full(len(counts), -1)
    for person in np.tile(rng.permutation(len(counts)), ROUNDS):
        if part[person] >= 0:
            lacking[part[person]] += weights[person]
        # Choose the part that lacks most of what this person has. This step reduces the sum of squared deficits the most.
        part[person] = np.where(positive, lacking @ weights[person], -np.inf).argmax()
        lacking[part[person]] -= weights[person]
    return part[codes]


def _count_wanted(shares: np.ndarray, size: float) -> np.ndarray:
    """Return how many of a class's images each part should have: its share, but at least one, which the other parts give up."""
    small = np.zeros(len(shares), bool)
    for _ in shares:  # what the small parts take may make another part small
        large = shares * ~small
        counts = np.where(small, 1.0, large * max(size - small.sum(), 0) / max(large.sum(), 1e-12))
        small |= (shares > 0) & (counts < 1)
    return counts
