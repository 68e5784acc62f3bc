"""Arithmetic that the last digits of a number do not decide: they depend on the processor and on the order of sums, not on a method.

Numbers that agree to nine digits count as equal. Nothing here overflows at 1e300 or vanishes at 1e-300. Pure functions.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

ROUNDING = 1e-9
"""the relative difference up to which two numbers count as equal; double precision itself errs by 1e-16 an operation"""


def merge_ties(x: ArrayLike, slack: float = 0.0) -> np.ndarray:
    """x [n] with equal numbers made identical: each takes the smallest of its chain of neighbours.

    `slack` is an absolute difference that counts as equal besides: for numbers that are themselves differences of larger ones.
    """
    values = np.asarray(x, dtype=float)
    order = np.argsort(values, kind="stable")
    rising = values[order]
    low, high = rising[:-1], rising[1:]
    finite = np.isfinite(low) & np.isfinite(high)  # infinity is equal to itself alone
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.where(finite, high - low > np.maximum(ROUNDING * np.maximum(np.abs(low), np.abs(high)), slack), low != high)
    begins = np.concatenate([np.ones(min(1, len(values)), bool), apart])
    merged = np.empty_like(values)
    merged[order] = rising[begins][np.cumsum(begins) - 1]
    return merged


def merge_pair(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two samples in which equal numbers are identical, in either and between them."""
    merged = merge_ties(np.concatenate([x, y]))
    return merged[: len(x)], merged[len(x) :]


def subtract_exactly(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """x - y, exactly 0 where the two are equal."""
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    difference = first - second
    equal = np.isfinite(difference) & (np.abs(difference) <= ROUNDING * np.maximum(np.abs(first), np.abs(second)))
    return np.where(equal, 0.0, difference)


def measure_spread(x: ArrayLike) -> float:
    """The standard deviation of x [n], n - 1 in the denominator; exactly 0 where all numbers are equal, NaN for a single one."""
    values = np.asarray(x, dtype=float)
    if len(values) < 2:
        return math.nan
    if is_constant(values):
        return 0.0
    scaled, exponent = _scale_to_one(values)
    return float(np.ldexp(np.std(scaled, ddof=1), exponent))


def measure_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson's correlation of x [n] and y [n]; NaN where one is constant."""
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if is_constant(first) or is_constant(second):
        return math.nan
    return float(np.corrcoef(_scale_to_one(first)[0], _scale_to_one(second)[0])[0, 1])


def is_constant(x: ArrayLike) -> bool:
    """All numbers of x [n] are equal."""
    values = np.asarray(x, dtype=float)
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max())


def find_largest(x: np.ndarray) -> np.ndarray:
    """[n] where in each row of x [n, k] its largest number is: the first of several that are equal."""
    largest = x.max(1, keepdims=True)
    return (largest - x <= ROUNDING * np.abs(largest)).argmax(1)


def _scale_to_one(x: np.ndarray) -> tuple[np.ndarray, int]:
    """x divided by a power of two so that its largest number is about 1, and the power: squares then neither overflow nor vanish."""
    exponent = int(np.frexp(np.abs(x).max())[1])
    return np.ldexp(x, -exponent), exponent
