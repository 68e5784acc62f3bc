"""The design of a sequential test: when claims are tested, and at which level.

Importing it imports no scipy, which takes a tenth of a second: every grid asks at its start whether its run folder has a design.
"""

import math
from dataclasses import dataclass

import numpy as np

from platform.stats.float_ties import ROUNDING
from trainables.registry import BadRequest

FEWEST_SEEDS, MOST_SEEDS = 6, 60
"""The two-sided p of five differences cannot be below .05. The time and memory of a look grow with the number of seeds."""
LOOK_SHARES = (0.3, 0.4, 0.5, 0.6, 0.75, 1.0)
"""looks over the greatest number of seeds: of 20 seeds they are at 6, 8, 10, 12, 15 and 20"""


@dataclass(frozen=True)
class SequentialDesign:
    """What is fixed before the first training."""

    looks: tuple[int, ...]
    """numbers of seeds at which the claims are tested, rising; the last is the greatest number of seeds"""
    alpha: float = 0.05
    """two-sided family-wise level for differences; one-sided family-wise level for equivalence"""
    margin: float | None = None
    """a difference too small to matter; None: nothing is called equivalent"""
    futility: float = 0.02
    """conditional power below which a claim is given up; 0: none is"""

    def __post_init__(self) -> None:
        looks = self.looks
        if not looks or list(looks) != sorted(set(looks)) or looks[0] < 2 or not FEWEST_SEEDS <= looks[-1] <= MOST_SEEDS:
            raise BadRequest(f"looks {looks}: rising numbers of seeds, the last from {FEWEST_SEEDS} to {MOST_SEEDS}")
        if not 0 < self.alpha < 0.5 or not 0 <= self.futility < 1:
            raise BadRequest(f"alpha {self.alpha}, futility {self.futility}: alpha lies between 0 and .5, futility from 0 to below 1")
        if self.margin is not None and not 0 < self.margin < np.inf:
            raise BadRequest(f"margin {self.margin}: a number above 0, or none")

    @property
    def most(self) -> int:
        """the greatest number of seeds"""
        return self.looks[-1]

    def spend_alpha(self) -> np.ndarray:
        """Return the level spent up to each look, of differences as of equivalence."""
        from platform.stats.alpha_spending import spend_obrien_fleming  # imported here, because it needs scipy

        return spend_obrien_fleming(np.array(self.looks) / self.most, self.alpha)


def plan_looks(most: int) -> tuple[int, ...]:
    """Return the looks for at most `most` seeds, each at least FEWEST_SEEDS. Raises BadRequest unless 6 <= most <= 60."""
    check_most_seeds(most, f"at most {most} seeds")
    return tuple(sorted({max(FEWEST_SEEDS, math.ceil(most * share - ROUNDING)) for share in LOOK_SHARES}))


def check_most_seeds(most: int, what: str) -> None:
    """Raise BadRequest, which begins with `what`, unless 6 <= most <= 60."""
    if not FEWEST_SEEDS <= most <= MOST_SEEDS:
        raise BadRequest(f"{what}: a number from {FEWEST_SEEDS}, with fewer no claim can be decided, to {MOST_SEEDS}")
