"""The run folder of a test file. Every kill in the file interrupts a grid in this folder, and the next command resumes it."""

from collections.abc import Iterator

import pytest

from tests.faults import processes
from tests.faults.kills import measure_length
from tests.faults.ordeal import Ordeal, checkout


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ordeal]:
    """A grid that the tests of a file kill and resume."""
    folder = tmp_path_factory.mktemp("kills")
    ordeal = Ordeal(checkout(folder / "checkout"), folder / "runs", seeds=0, slots=1, arms=("well",))
    yield ordeal
    for pid in processes.members(ordeal.mark):  # after a failed test
        processes.kill(pid)


@pytest.fixture(scope="module")
def length(killed: Ordeal) -> float:
    """Duration of an undisturbed command, in milliseconds."""
    return measure_length(killed)
