"""Arithmetic that does not depend on a number's last digits, which come from the processor and the order of sums, not from a method.

Numbers that agree to nine digits count as equal. Nothing here overflows at 1e300 or underflows at 1e-300. Pure functions.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

ROUNDING = 1e-9
"""relative difference up to which two numbers count as equal; double precision itself has an error of 1e-16 per operation"""


def merge_ties(x: ArrayLike, slack: float = 0.0) -> np.ndarray:
    """Return x [n] with equal numbers made identical: each takes the smallest number of its chain of neighbours.

    `slack` is an absolute difference that also counts as equal, for numbers that are themselves differences of larger ones.
    """
    values = np.asarray(x, dtype=float)
    order = np.argsort(values, kind="stable")
    rising = values[order]
    low, high = rising[:-1], rising[1:]
    finite = np.isfinite(low) & np.isfinite(high)  # infinity equals only itself
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.where(finite, high - low > np.maximum(ROUNDING * np.maximum(np.abs(low), np.abs(high)), slack), low != high)
    begins = np.concatenate([np.ones(min(1, len(values)), bool), apart])
    merged = np.empty_like(values)
    merged[order] = rising[begins][np.cumsum(begins) - 1]
    return merged


def merge_pair(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two samples in which equal numbers are identical, within and between the samples."""
    merged = merge_ties(np.concatenate([x, y]))
    return merged[: len(x)], merged[len(x) :]


def subtract_exactly(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Return x - y, exactly 0 where the two are equal."""
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    difference = first - second
    equal = np.isfinite(difference) & (np.abs(difference) <= ROUNDING * np.maximum(np.abs(first), np.abs(second)))
    return np.where(equal, 0.0, difference)


def measure_spread(x: ArrayLike) -> float:
    """Return the standard deviation of x [n], with n - 1 in the denominator; exactly 0 if all numbers are equal, NaN for a single one."""
    values = np.asarray(x, dtype=float)
    if len(values) < 2:
        return math.nan
    if is_constant(values):
        return 0.0
    scaled, exponent = _scale_to_one(values)
    return float(np.ldexp(np.std(scaled, ddof=1), exponent))


def measure_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Return Pearson's correlation of x [n] and y [n]; NaN if either is constant."""
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if is_constant(first) or is_constant(second):
        return math.nan
    return float(np.corrcoef(_scale_to_one(first)[0], _scale_to_one(second)[0])[0, 1])


def is_constant(x: ArrayLike) -> bool:
    """Return whether all numbers of x [n] are equal."""
    values = np.asarray(x, dtype=float)
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max())


def find_largest(x: np.ndarray) -> np.ndarray:
    """Return the index [n] of the largest number in each row of x [n, k]; the first if several are equal."""
    largest = x.max(1, keepdims=True)
    result: np.ndarray = (largest - x <= ROUNDING * np.abs(largest)).argmax(1)
    return result


def _scale_to_one(x: np.ndarray) -> tuple[np.ndarray, int]:
    """Return x over a power of two, so that its largest magnitude is about 1, and the power: squares then neither overflow nor
    underflow.
    """
    exponent = int(np.frexp(np.abs(x).max())[1])
    return np.ldexp(x, -exponent), exponent
