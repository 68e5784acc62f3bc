"""Dealing persons out to parts in given shares, class by class: where nobody asks for a balanced training set."""

import numpy as np
import pandas as pd

ROUNDS = 3
"""times that everybody is placed: once in turn, then again with all the others in place"""


def split_groups(labels: np.ndarray, persons: np.ndarray, shares: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """The part of each row, an index into `shares`: int64 [n]. A person's rows are in one part.

    Each class is cut in proportion to `shares` (they sum to 1), as nearly as whole persons allow; where each person has one image that
    is to within one image. A part with a share gets an image of every class, however small the share, while there are enough.
    `labels` [n] are 0 or more, `persons` [n] whatever tells persons apart.
    """
    codes = pd.factorize(persons)[0]
    counts = np.zeros((codes.max(initial=-1) + 1, labels.max(initial=0) + 1))
    np.add.at(counts, (codes, labels), 1)
    sizes = np.maximum(counts.sum(axis=0), 1)
    weights = counts / sizes  # a person's share of each class
    open_ = np.array(shares) > 0
    lacking = np.stack([_count_wanted(np.array(shares), size) for size in sizes], axis=1) / sizes
    part = np.full(len(counts), -1)
    for person in np.tile(rng.permutation(len(counts)), ROUNDS):
        if part[person] >= 0:
            lacking[part[person]] += weights[person]
        # into the part that lacks most of what this person has: the step that most reduces the sum of squares of what is lacking
        part[person] = np.where(open_, lacking @ weights[person], -np.inf).argmax()
        lacking[part[person]] -= weights[person]
    return part[codes]


def _count_wanted(shares: np.ndarray, size: float) -> np.ndarray:
    """How many of a class's images each part is to have: its share of them, but one where that is less, at the others' cost."""
    small = np.zeros(len(shares), bool)
    for _ in shares:  # what the small ones take may make another one small
        large = shares * ~small
        wanted = np.where(small, 1.0, large * max(size - small.sum(), 0) / max(large.sum(), 1e-12))
        small |= (shares > 0) & (wanted < 1)
    return wanted
