"""Permutation distributions, enumerated where possible and sampled otherwise. Arrays in, arrays out."""

from functools import lru_cache

import numpy as np


def double_ranks(x: np.ndarray) -> np.ndarray:
    """Return twice the ranks of x [n], with midranks for ties: doubled, all are integers."""
    _, group, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (2 * np.cumsum(counts) - counts + 1)[group]


EIGHTS = np.unpackbits(np.arange(256, dtype=np.uint8)[None], axis=0).astype(float)
"""[8, 256]: which of eight items each byte selects"""


@lru_cache(maxsize=4096)  # a report tests the same pair in several families
def count_rank_sum_tails(ranks: tuple[int, ...], n1: int, found: int) -> tuple[float, float]:
    """Return P(sum >= found) and P(sum <= found) of n1 of the sorted ranks, all choices equally likely. Two halves are counted, then
    joined.
    """
    half = len(ranks) // 2
    low, high = _count_subset_sums(np.array(ranks[:half]), n1), _count_subset_sums(np.array(ranks[half:]), n1)
    below = np.concatenate([np.zeros((len(high), 1)), np.cumsum(high, axis=1)], axis=1)  # column s: ways to sum to less than s
    total = greater = less = 0.0
    for taken in range(max(0, n1 - len(high) + 1), min(n1, len(low) - 1) + 1):
        low_ways, high_below = low[taken], below[n1 - taken]
        rest = found - ranks[0] * taken - ranks[half] * (n1 - taken) - np.arange(len(low_ways))
        total += low_ways.sum() * high_below[-1]
        greater += low_ways @ (high_below[-1] - high_below[np.clip(rest, 0, len(high_below) - 1)])
        less += low_ways @ high_below[np.clip(rest + 1, 0, len(high_below) - 1)]
    return greater / total, less / total


def _count_subset_sums(ranks: np.ndarray, most: int) -> np.ndarray:
    """Return the ways [k, s] to choose k of the sorted ranks, at most `most`, so that their excesses over the first rank sum to s."""
    above = ranks - ranks[0]
    ways = np.zeros((min(most, len(ranks)) + 1, int(above[-most:].sum()) + 1))
    ways[0, 0], top = 1, 0
    for number, shift in enumerate(above):
        rows, columns = min(number + 1, len(ways) - 1), min(top, ways.shape[1] - 1 - shift) + 1
        ways[1 : rows + 1, shift : shift + columns] += ways[:rows, :columns]
        top += shift
    return ways


def sum_all_flips(d: np.ndarray) -> np.ndarray:
    """Return the sums of d [n] under all 2^n choices of signs."""
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def sum_random_flips(d: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sums of d [n] under random signs: [draws]."""
    eights = np.pad(d, (0, -len(d) % 8)).reshape(-1, 8)
    masks = np.frombuffer(rng.bytes(draws * len(eights)), np.uint8).reshape(draws, -1)  # one bit per difference
    sums = np.zeros(draws)
    for number, table in enumerate(eights @ EIGHTS):
        sums += table[masks[:, number]]
    result: np.ndarray = 2 * sums - d.sum()
    return result


def make_sign_vectors(bits: np.ndarray) -> np.ndarray:
    """Return sign vectors, 1 and -1, from random bits [draws, n]. The first is that of the observed differences, all 1."""
    signs: np.ndarray = bits * 2.0 - 1
    signs[0] = 1
    return signs
