"""Five kills of each kind at seeded moments. Commands end as the README promises; numbers stay. Long: benchmarks/chaos.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import processes
from tests.faults.kills import KILLS, draw_moments, find_broken, find_patience, kill_at, kill_in_turn, measure_length
from tests.faults.ordeal import Ordeal, checkout

TIMES = 5
SEED = 17
ENDING = [name for name, kill in KILLS.items() if not kill.survived]
SURVIVED = [name for name, kill in KILLS.items() if kill.survived]


@pytest.fixture(scope="module")
def ordeal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ordeal]:
    """One run folder, which all the kills continue."""
    place = tmp_path_factory.mktemp("kills")
    ordeal = Ordeal(checkout(place / "checkout"), place / "runs", seeds=0, slots=1, arms=("well",))
    yield ordeal
    for pid in processes.members(ordeal.mark):  # after a failed test
        processes.kill(pid)


@pytest.fixture(scope="module")
def length(ordeal: Ordeal) -> float:
    return measure_length(ordeal)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDING)
def test_a_command_that_a_kill_ends(ordeal: Ordeal, length: float, name: str) -> None:
    broken = []
    for moment in draw_moments(name, TIMES, length, SEED):
        while (outcome := kill_at(ordeal, name, moment, find_patience(length))) is None:  # the command was over by then
            moment *= 0.8
        broken += [outcome] if outcome.broken else []
    assert not broken


@pytest.mark.slow
@pytest.mark.parametrize("name", SURVIVED)
def test_a_command_that_survives_kills(ordeal: Ordeal, length: float, name: str) -> None:
    assert not kill_in_turn(ordeal, name, TIMES, SEED, find_patience(length))


@pytest.mark.slow
def test_no_number_has_changed(ordeal: Ordeal, tmp_path: Path) -> None:
    ordeal.until_done()
    ordeal.whole()
    alone, numbers = ordeal.alone(tmp_path / "alone", seeds=4).numbers(), ordeal.numbers()
    assert len(alone) == 4 and {key: numbers[key] for key in alone} == alone


@pytest.mark.parametrize(
    ("name", "code", "output"),
    [
        ("raylet SIGKILL", 1, "3 of 3 cells to do\n0/3 cells done, 0 failed"),
        ("driver SIGKILL", 2, "3 of 3 cells to do\nprocess 3 of this command was killed"),
        ("command SIGTERM", -15, "report: a\n"),
        ("command SIGINT", 1, "curves: b\nTraceback (most recent call last):\nKeyboardInterrupt"),
        ("worker SIGKILL", 130, "stopped; the same command again goes on from here"),
    ],
)
def test_broken_promises_are_seen(name: str, code: int, output: str) -> None:
    assert find_broken(KILLS[name], code, output, {})
    assert find_broken(KILLS[name], 0, "curves: c", {7: "raylet"}) and not find_broken(KILLS[name], 0, "curves: c", {})
