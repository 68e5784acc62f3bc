"""One run folder for all the kills of a file, which each of them continues."""

from collections.abc import Iterator

import pytest

from tests.faults import processes
from tests.faults.kills import measure_length
from tests.faults.ordeal import Ordeal, checkout


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ordeal]:
    """A grid whose command is killed again and again."""
    place = tmp_path_factory.mktemp("kills")
    ordeal = Ordeal(checkout(place / "checkout"), place / "runs", seeds=0, slots=1, arms=("well",))
    yield ordeal
    for pid in processes.members(ordeal.mark):  # after a failed test
        processes.kill(pid)


@pytest.fixture(scope="module")
def length(killed: Ordeal) -> float:
    """Milliseconds of such a command that nothing happens to."""
    return measure_length(killed)
