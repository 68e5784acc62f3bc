"""Each kind of Ray process is killed five times at seeded moments. The README's promises about exit codes and results hold."""

from pathlib import Path

import pytest

from tests.faults.kills import KILLS, SEED, TIMES, find_patience, kill_in_life, kill_in_turn
from tests.faults.ordeal import Ordeal

OF_RAY = [name for name, kill in KILLS.items() if kill.target not in ("command", "driver")]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OF_RAY if not KILLS[name].survived])
def test_a_command_that_a_kill_ends(killed: Ordeal, length: float, name: str) -> None:
    assert not kill_in_life(killed, name, length)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OF_RAY if KILLS[name].survived])
def test_a_command_that_survives_kills(killed: Ordeal, length: float, name: str) -> None:
    assert not kill_in_turn(killed, name, TIMES, SEED, find_patience(length))


@pytest.mark.slow
def test_no_number_has_changed(killed: Ordeal, tmp_path: Path) -> None:
    killed.compare_with_alone(tmp_path / "alone", seeds=4)
