"""What a permutation or a bootstrap could have given: counted out where that can be, drawn where not. Arrays in, arrays out."""

from functools import lru_cache

import numpy as np


def double_ranks(x: np.ndarray) -> np.ndarray:
    """Twice the ranks of x [n], ties sharing their mean: so doubled, all are whole."""
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (2 * np.cumsum(counts) - counts + 1)[place]


EIGHTS = np.unpackbits(np.arange(256, dtype=np.uint8)[None], axis=0).astype(float)
"""[8, 256]: which of eight things each byte takes"""


@lru_cache(maxsize=4096)  # a report asks for the same pair in several families
def count_rank_sum_tails(ranks: tuple[int, ...], n1: int, found: int) -> tuple[float, float]:
    """P(sum >= found) and P(sum <= found) of n1 of the sorted ranks, all choices alike: two halves counted out, then joined."""
    half = len(ranks) // 2
    low, high = _count_subset_sums(np.array(ranks[:half]), n1), _count_subset_sums(np.array(ranks[half:]), n1)
    below = np.concatenate([np.zeros((len(high), 1)), np.cumsum(high, axis=1)], axis=1)  # column s: ways to sum to less than s
    every = greater = less = 0.0
    for taken in range(max(0, n1 - len(high) + 1), min(n1, len(low) - 1) + 1):
        mine, theirs = low[taken], below[n1 - taken]
        rest = found - ranks[0] * taken - ranks[half] * (n1 - taken) - np.arange(len(mine))
        every += mine.sum() * theirs[-1]
        greater += mine @ (theirs[-1] - theirs[np.clip(rest, 0, len(theirs) - 1)])
        less += mine @ theirs[np.clip(rest + 1, 0, len(theirs) - 1)]
    return greater / every, less / every


def _count_subset_sums(ranks: np.ndarray, most: int) -> np.ndarray:
    """Ways [k, s] to choose k of the sorted ranks, at most `most`, so that what they have above the first sums to s."""
    above = ranks - ranks[0]
    ways = np.zeros((min(most, len(ranks)) + 1, int(above[-most:].sum()) + 1))
    ways[0, 0], top = 1, 0
    for number, shift in enumerate(above):
        rows, columns = min(number + 1, len(ways) - 1), min(top, ways.shape[1] - 1 - shift) + 1
        ways[1 : rows + 1, shift : shift + columns] += ways[:rows, :columns]
        top += shift
    return ways


def sum_all_flips(d: np.ndarray) -> np.ndarray:
    """The sums of d [n] under all 2^n choices of signs."""
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def sum_random_flips(d: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """The sums of d [n] under random signs [draws]."""
    eights = np.pad(d, (0, -len(d) % 8)).reshape(-1, 8)
    kept = np.frombuffer(rng.bytes(draws * len(eights)), np.uint8).reshape(draws, -1)  # a bit a difference
    sums = np.zeros(draws)
    for number, table in enumerate(eights @ EIGHTS):
        sums += table[kept[:, number]]
    return 2 * sums - d.sum()


def draw_bootstrap_shares(n: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often a bootstrap takes each of n, as shares [draws, n]."""
    drawn = rng.integers(n, size=(draws, n)) + n * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * n).reshape(draws, n) / n
