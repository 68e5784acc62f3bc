"""Claims of equivalence that are tested again and again: what answers them, and how often a difference at the margin is called larger."""

import numpy as np
import pytest

from platform.stats.sequential_design import SequentialDesign, plan_looks
from platform.stats.sequential_tests import run_looks

MOST = 20


def test_a_claim_of_equivalence_goes_on_after_a_difference_that_may_be_too_small_to_matter() -> None:
    """A difference of .6 with a margin of 1: as a claim of a difference it is decided at once, as one of equivalence by the margin."""
    noise = np.array([0.05, -0.05, 0.02, -0.02, 0.03, -0.03, 0.01, -0.01, 0.04, -0.04] * 2)
    design, d = SequentialDesign(plan_looks(MOST), margin=1.0), np.stack([0.99 + noise] * 2 + [1.4 + noise, 0.3 + noise], axis=1)
    states = [[state.decision for state in states] for states in run_looks(design, d, expects_equal=[1, 2, 3])]
    first = next(row for row in states if row[0] != "open")
    assert first == ["better", "open", "better", "equivalent"]
    assert states[-1][0] == "better" and states[-1][1] != "better"
    assert [row[0] for row in run_looks_of_one(design, d[:, 1])] != [row[0] for row in run_looks_of_one(design, d[:, 1], [0])]


def run_looks_of_one(design: SequentialDesign, d: np.ndarray, equal: list[int] | None = None) -> list[tuple[str]]:
    return [(states[0].decision,) for states in run_looks(design, d[:, None], expects_equal=equal or [])]


@pytest.mark.parametrize("shift", [1.0, -1.0])
def test_a_difference_at_the_margin_is_rarely_called_larger(shift: float) -> None:
    rng, studies, wrong = np.random.default_rng(11), 400, 0
    design = SequentialDesign(plan_looks(10), margin=1.0, futility=0)
    for _ in range(studies):
        d = shift + rng.normal(0, 0.6, (10, 2))
        wrong += any(state.decision in ("better", "worse") for state in run_looks(design, d, expects_equal=[0, 1])[-1])
    assert 0 < wrong / studies <= 0.05 + 4 * (0.05 * 0.95 / studies) ** 0.5
