"""A grid survives faults: the same command, run again, gives the numbers of its cells trained alone. Quick half of benchmarks/faults.py.

Every start of the command starts a Ray. The faults that the command survives therefore share one start, and all share one run folder.
"""

import json
import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform.launch import ray_sessions
from tests.faults import processes
from tests.faults.kills import find_lost, read_results
from tests.faults.kinds import ILL, KINDS, check_ill, mountable
from tests.faults.ordeal import Ordeal, checkout

BETWEEN = ("result_truncated", "history_deleted", "predictions_spoilt", "checkpoint_spoilt", "cache_truncated", "cache_spoilt")


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("faults") / "checkout")


@pytest.fixture
def ordeal(code: Path, tmp_path: Path) -> Iterator[Ordeal]:
    ordeal = Ordeal(code, tmp_path / "runs")
    yield ordeal
    if ordeal.process and ordeal.running:
        ordeal.process.kill()


def strike(ordeal: Ordeal, name: str) -> None:
    """Start the grid if it does not run, and inflict the fault. Try again if the grid finished before the fault could happen."""
    for _ in range(3):
        if not ordeal.running:
            if ordeal.open:
                ordeal.end()
            ordeal.seeds += 1
            ordeal.start()
        if ordeal.wait(ordeal.training) and KINDS[name].inflict(ordeal, random.Random(name)):
            return
        ordeal.wait(lambda: False)
    raise AssertionError(f"{name} found nothing to harm: {ordeal.said}")


@pytest.fixture
def small_disk(ordeal: Ordeal) -> Iterator[bool]:
    """Mount a file system of 96 MB as the run folder if mounting is allowed. Yield whether it is."""
    mounted = mountable(ordeal.runs)
    if mounted:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(ordeal.runs)], check=True)
    yield mounted
    if mounted:
        subprocess.run(["umount", "--lazy", str(ordeal.runs)], check=True)


def test_a_full_disk_and_spoilt_files_change_no_number(ordeal: Ordeal, small_disk: bool, tmp_path: Path) -> None:
    """Killed processes are tested in test_kills.py."""
    older = set(Path(tempfile.gettempdir(), "ray").glob("session_*"))  # earlier processes may have had the same pid
    ordeal.slots, ordeal.seeds = 1, 6  # enough cells: the grid still trains when the second command comes, after the time of a start
    ordeal.start()
    assert ordeal.wait(ordeal.training), ordeal.said
    addresses = processes.listening(ordeal.mark)
    assert addresses and set(addresses.values()) <= set(processes.LOOPBACK), "the network can reach it"
    strike(ordeal, "second_driver")
    if small_disk:
        finished = read_results(ordeal)
        strike(ordeal, "disk_full")
        assert ordeal.end() == 2, ordeal.said
        assert not find_lost(finished, ordeal)
        line = ordeal.said.strip().splitlines()[-1]
        assert f"{ordeal.folder.root}/" in line, line
        assert "No space left on device; what was finished is kept: run the same command again" in line, line
        assert not list(Path(ordeal.folder.root).rglob("*.aside"))
        for file in Path(ordeal.folder.get_path("cells")).rglob("*.json"):
            json.loads(file.read_text())
    else:
        ordeal.end()
    done = ordeal.folder.list_done()
    for name in BETWEEN:
        assert KINDS[name].inflict(ordeal, random.Random(name)), f"{name} found nothing to harm"
    intact = read_results(ordeal)
    assert 1 <= len(done) - len(intact) <= 4, "four of these harm a finished cell"
    ordeal.compare_with_alone(tmp_path / "alone", seeds=2)
    assert not find_lost(intact, ordeal)
    sessions_left = set(Path(tempfile.gettempdir(), "ray").glob(f"session_*_{ordeal.driver}")) - older
    assert not sessions_left, "Ray's session is left"


@pytest.mark.slow
def test_cells_that_always_die_are_recorded_and_their_neighbours_live(ordeal: Ordeal) -> None:
    ordeal.arms, ordeal.seeds, ordeal.hang_s = ("well", *ILL), 2, 30.0
    ordeal.start()
    assert ordeal.end() == 1, ordeal.said
    for illness in ILL:
        check_ill(ordeal, illness)
    assert f"{len(ordeal.arms) * 2 - len(ILL)}/{len(ordeal.arms) * 2} trainings done, {len(ILL)} failed" in ordeal.said


def test_every_kind_of_the_long_run_is_there() -> None:
    roles = {f"{role}_killed" for role in processes.ROLES}
    assert roles | {"driver_killed", "worker_frozen", "worker_starved", "disk_full", "read_only", *(f"cell_{ill}" for ill in ILL)} <= set(
        KINDS
    )


def test_a_read_only_folder_is_one_line(ordeal: Ordeal) -> None:
    if not mountable(ordeal.runs):
        pytest.skip("no file system may be mounted here")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(ordeal.runs)], check=True)
    try:
        assert KINDS["read_only_start"].inflict(ordeal, random.Random(0)) == "refused"
    finally:
        subprocess.run(["umount", "--lazy", str(ordeal.runs)], check=True)


def test_sessions_of_the_dead_are_capped_and_those_of_the_living_spared(tmp_path: Path) -> None:
    dead = [f"session_2026-01-0{day}_00-00-00_000000_4194305" for day in range(1, 7)]  # above the kernel's highest pid
    for name in [*dead, f"session_2025-01-01_00-00-00_000000_{os.getpid()}", "session_2025-01-01_00-00-00_000000_4194304"]:
        (tmp_path / name / "logs").mkdir(parents=True)
        if not name.endswith("304"):
            (tmp_path / name / ray_sessions.MARK).touch()
    for _ in range(2):  # the second call finds three dead sessions, and keeps them
        ray_sessions.remove_dead_sessions(tmp_path)
    ray_sessions.remove_dead_sessions(tmp_path, kept=5)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([*dead[-3:], f"session_2025-01-01_00-00-00_000000_{os.getpid()}", "session_2025-01-01_00-00-00_000000_4194304"])
