"""The command and its driver are killed five times at seeded moments. The README's promises about exit codes and results hold.

test_kills_of_ray.py kills Ray's processes. benchmarks/chaos.py makes many more kills.
"""

from pathlib import Path

import pytest

from tests.faults.kills import KILLS, find_broken, kill_in_life
from tests.faults.ordeal import Ordeal


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, kill in KILLS.items() if kill.target in ("command", "driver")])
def test_a_command_that_a_kill_ends(killed: Ordeal, length: float, name: str) -> None:
    assert not kill_in_life(killed, name, length)


@pytest.mark.slow
def test_no_number_has_changed(killed: Ordeal, tmp_path: Path) -> None:
    killed.compare_with_alone(tmp_path / "alone", seeds=4)


@pytest.mark.parametrize(
    ("name", "code", "output"),
    [
        ("raylet SIGKILL", 1, "3 of 3 trainings to do\n0/3 trainings done, 0 failed"),
        ("driver SIGKILL", 2, "3 of 3 trainings to do\nprocess 3 of this command was killed"),
        ("command SIGTERM", -15, "report: a\n"),
        ("command SIGINT", 1, "curves: b\nTraceback (most recent call last):\nKeyboardInterrupt"),
        ("worker SIGKILL", 130, "stopped; run the same command again to resume from here"),
    ],
)
def test_broken_promises_are_seen(name: str, code: int, output: str) -> None:
    assert find_broken(KILLS[name], code, output, {})
    assert find_broken(KILLS[name], 0, "curves: c", {7: "raylet"}) and not find_broken(KILLS[name], 0, "curves: c", {})
