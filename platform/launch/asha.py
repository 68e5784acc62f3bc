"""Ray Tune's ASHA (asynchronous successive halving; Li et al. 2020) for suggestions whose time is counted in trainings.

A suggestion's first seed ends at 1, its second at 2. The rungs lie at a third of the first training, at its end, and after three trainings,
nine, and so on. At a rung a suggestion goes on if it is in the best third of those that have reached it.
"""

from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler

FIRST_RUNG, REDUCTION = 1 / 3, 3
ALWAYS = 10**6
"""a time that no suggestion reaches: its end is not the scheduler's business"""


class Pruner:
    """The rungs of one search, kept by Ray Tune's scheduler. Its decisions depend on the order of the calls."""

    def __init__(self) -> None:
        first: Any = FIRST_RUNG  # the scheduler takes any number, though its annotation says int
        self._scheduler = AsyncHyperBandScheduler(
            "time", "score", "max", max_t=ALWAYS, grace_period=first, reduction_factor=REDUCTION, stop_last_trials=False
        )
        self._known: set[int] = set()

    def stops(self, number: int, rung: float, score: float) -> bool:
        """Record a suggestion's score at a rung, and return whether the suggestion has to stop there."""
        trial: Any = SimpleNamespace(trial_id=str(number))
        controller: Any = None  # the scheduler makes no use of it
        if number not in self._known:
            self._known.add(number)
            self._scheduler.on_trial_add(controller, trial)
        return bool(self._scheduler.on_trial_result(controller, trial, {"time": rung, "score": score}) == self._scheduler.STOP)


def find_rung(epochs: int, each: int) -> float:
    """Return the last rung that `epochs` epochs have reached, where a training has `each`; 0 if they have reached none."""
    rung, reached = FIRST_RUNG, 0.0
    while epochs >= rung * each:
        rung, reached = rung * REDUCTION, rung
    return reached
