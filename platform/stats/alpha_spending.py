"""The alpha-spending function of a sequential test: the level that is spent up to each share of the seeds. Pure functions."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


def spend_obrien_fleming(fraction: ArrayLike, alpha: float) -> np.ndarray:
    """Return the level that may be spent up to each information fraction t: 2 - 2 Phi(z / sqrt t), where z is the 1 - alpha / 2 quantile.

    This is the O'Brien-Fleming type function of Lan & DeMets (1983): the probability that a Brownian motion crosses a constant bound by
    then, almost nothing early and alpha at 1. `fraction` [k] is the number of seeds over the greatest number of seeds, above 0 and at most
    1. A two-sided test of the statistic's size spends it as a whole, not half of it on each side. Raises ValueError for other fractions
    and levels.
    """
    shares = np.asarray(fraction, dtype=float)
    if not (shares > 0).all() or not (shares <= 1).all() or not 0 < alpha < 1:
        raise ValueError(f"fractions are above 0 and at most 1, alpha lies between 0 and 1: {shares}, {alpha}")
    spent: np.ndarray = 2 * special.ndtr(special.ndtri(alpha / 2) / np.sqrt(shares))
    return spent
