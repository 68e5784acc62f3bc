"""Tests of run folders that are moved, deleted, replaced or taken over while a command runs: it ends and writes nothing at the path."""

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from platform.launch import driver_record, run_lock
from platform.launch.run_lock import lock_run
from tests import tiny
from trainables.execution.interleave import train_together
from trainables.loop import Diverged, train_cell
from trainables.storage.lock_holder import DRIVER, FolderLost
from trainables.storage.store import RunFolder
from trainables.workers.worker import Worker

ROOT = Path(__file__).resolve().parent.parent
KEY = "0123456789abcdef0123"
WRITE = """
import json, sys, time
from platform.launch.run_lock import lock_run
from trainables.storage.lock_holder import FolderLost
from trainables.storage.store import RunFolder
for line in sys.stdin:
    folder = RunFolder(line.strip())
    try:
        with lock_run(folder):
            print(folder.owner, flush=True)
            number = 0
            while True:
                folder.put_history("k", [{"number": number}])
                number += 1
                time.sleep(0.01)
    except FolderLost as error:
        print(json.dumps(str(error)), flush=True)
"""
"""a driver that writes continually until its folder is lost, and then into the next folder that it is given"""


class Driver:
    """One driver process for all tests, because its start takes seconds of imports."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", WRITE]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.run = Path()
        self.busy = False

    def _read(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def begin(self, run: Path) -> str:
        """Make the driver write into the folder, and wait until it does. Return its ID."""
        assert self.process.stdin
        self.run, self.busy = run, True
        self.process.stdin.write(f"{run}\n")
        self.process.stdin.flush()
        owner = self._read()
        self.wait(lambda: bool(self.written()))
        return owner

    def written(self) -> list[dict[str, int]]:
        return RunFolder(str(self.run)).get_history("k")

    def wait(self, until: Callable[[], bool]) -> None:
        while not until():
            assert self.process.poll() is None

    def goes_on(self) -> None:
        before = self.written()
        self.wait(lambda: self.written() not in ([], before))

    def line(self) -> str:
        """Return the line with which the driver ends."""
        message = str(json.loads(self._read()))
        self.busy = False
        assert len(message.splitlines()) == 1
        return message


@pytest.fixture(scope="module")
def process() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.process.kill()
    driver.process.communicate()


@pytest.fixture
def driver(process: Driver, run: Path) -> Iterator[Driver]:
    yield process
    if process.busy:
        run.rename(run.with_name("over"))
        process.line()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def store() -> str:
    """Return the URI of a store in this process's memory, which has no locks."""
    return f"memory://{uuid.uuid4().hex}/run"


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def moved(run: Path) -> None:
    run.rename(run.with_name("elsewhere"))


def deleted(run: Path) -> None:
    run.rename(run.with_name("elsewhere"))  # atomically, because the driver writes into a folder while it is deleted
    shutil.rmtree(run.with_name("elsewhere"))


def replaced_by_a_folder(run: Path) -> None:
    run.with_name("other").mkdir()
    moved(run)
    run.with_name("other").rename(run)


def replaced_by_a_link(run: Path) -> None:
    run.with_name("other").mkdir()
    moved(run)
    run.symlink_to(run.with_name("other"))


def replaced_by_a_copy(run: Path) -> None:
    """The record in the copy has the driver's ID."""
    shutil.copytree(run, run.with_name("other"), ignore=shutil.ignore_patterns("cells"))
    moved(run)
    run.with_name("other").rename(run)


def replaced_by_a_file(run: Path) -> None:
    moved(run)
    run.write_text("")


@pytest.mark.parametrize("lose", [moved, deleted, replaced_by_a_folder, replaced_by_a_link, replaced_by_a_copy, replaced_by_a_file])
def test_a_folder_that_is_gone_ends_the_driver(driver: Driver, run: Path, lose: Callable[[Path], None]) -> None:
    driver.begin(run)
    lose(run)
    before = contents(run)
    message = driver.line()
    assert message.startswith(f"{run} was moved or deleted while this command ran; nothing more is written there") and "--runs" in message
    assert contents(run) == before == ([DRIVER] if lose is replaced_by_a_copy else [])
    assert run.exists() == (lose not in (moved, deleted))


def test_a_link_to_where_the_folder_is_now_is_the_folder(driver: Driver, run: Path) -> None:
    """The driver is stopped meanwhile, so it never sees the path missing."""
    driver.begin(run)
    driver.process.send_signal(signal.SIGSTOP)
    moved(run)
    run.symlink_to(run.with_name("elsewhere"))
    driver.process.send_signal(signal.SIGCONT)
    driver.goes_on()


def test_a_deleted_or_spoilt_record_is_written_again(driver: Driver, run: Path) -> None:
    owner, record = driver.begin(run), run / DRIVER

    def restored() -> bool:
        try:
            return json.loads(record.read_bytes())["claim"] == owner
        except (OSError, ValueError):
            return False

    for content in (None, b"", b"{", b'{"claim": ""}'):
        record.unlink() if content is None else record.write_bytes(content)
        driver.wait(restored)
        driver.goes_on()


def test_a_driver_ends_where_the_record_is_anothers(driver: Driver, run: Path) -> None:
    """This happens where two machines share a file system without locks."""
    driver.begin(run)
    other = driver_record.describe_self() | {"host": "elsewhere", "pid": 4711}
    RunFolder(str(run)).put_json(other, DRIVER)
    message = driver.line()
    assert message.startswith(f"{run} was taken over by another command") and "process 4711 on elsewhere, since " in message
    assert json.loads((run / DRIVER).read_text())["claim"] == other["claim"]


@pytest.mark.parametrize(("content", "said"), [(None, "was deleted"), (driver_record.describe_self(), "was taken over by another command")])
def test_without_locks_a_record_that_is_deleted_or_anothers_ends_the_driver(
    store: str, content: dict[str, object] | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "BEAT_S", 0.01)
    folder, plain = RunFolder(store), RunFolder(store)
    with pytest.raises(FolderLost, match=said), lock_run(folder):
        if content:
            plain.put_json(content, DRIVER)
        else:
            plain.remove(DRIVER)
        folder.put_result(KEY, {"key": KEY})
    assert plain.get_result(KEY) is None
    assert plain.get_json(DRIVER) == content, "the record is not this driver's any more"


# processes that a command has started
def worker(run: Path, owner: str, events: list[dict[str, object]]) -> Worker:
    def report(key: str, event: dict[str, object]) -> bool:
        events.append(event)
        return True

    return Worker(str(run), {}, report, lambda kind: None, lambda *_: None, lambda: False, 20.0, 1, owner=owner)


@pytest.mark.parametrize("settings", [{}, {"lr": 1e30}])
def test_an_orphan_writes_nothing_into_a_folder_that_a_new_driver_holds(run: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    """It writes neither a result nor an error. Its training began under a driver that was killed."""
    with lock_run(RunFolder(str(run))) as lock:
        old = lock.id
    cell = tiny.cell(tiny.data(tiny.files(tmp_path / "data")), **settings)
    job = {"trial": "t", "cell": cell.to_json(), "slot_pid": 1, "deaths": 0}
    events: list[dict[str, object]] = []
    orphan = worker(run, old, events)
    training = orphan.start_job(job)
    next(training)
    assert (run / "cells" / cell.key / "cell.json").exists(), "until the folder has a new driver the orphan is its owner's"
    with lock_run(RunFolder(str(run))):
        before = contents(run)
        with pytest.raises(Diverged if settings else FolderLost) as caught:
            for _ in training:
                pass
        orphan.end_job(job, caught.value)
        assert (events[-1]["kind"], events[-1]["fatal"]) == ("failed", True) and "is now locked by another command" in str(
            events[-1]["reason"]
        )
        assert [name for name in contents(run) if name not in before] == []
    assert not RunFolder(str(run)).get_result(cell.key) and not RunFolder(str(run)).get_error(cell.key)


def test_no_worker_makes_a_lost_folder_again(run: Path, tmp_path: Path) -> None:
    cells = [tiny.cell(tiny.data(tiny.files(tmp_path / "data")), seed=seed) for seed in (0, 1)]
    jobs = [{"trial": "t", "cell": cell.to_json(), "slot_pid": 1, "deaths": 0} for cell in cells]
    events: list[dict[str, object]] = []
    orphan = worker(run, "gone", events)
    train_together(jobs, orphan.start_job, orphan.end_job, 2, orphan.send_note)
    assert [(event["kind"], event.get("fatal")) for event in events] == [("failed", True)] * 2
    assert not run.exists()


def test_a_writer_waits_while_the_record_is_missing(driver: Driver, run: Path) -> None:
    owner = driver.begin(run)
    (run / DRIVER).unlink()
    RunFolder(str(run), owner).put_result(KEY, {"key": KEY})
    assert RunFolder(str(run)).get_result(KEY) == {"key": KEY}
    assert json.loads((run / DRIVER).read_text())["claim"] == owner


def test_on_a_store_a_result_and_an_error_are_their_owners(store: str) -> None:
    plain, old = RunFolder(store), RunFolder(store, "old")
    plain.put_json({"claim": "new"}, DRIVER)
    for owner in ("new", ""):
        RunFolder(store, owner).put_result(KEY, {"key": KEY, "by": owner})
        assert plain.get_result(KEY) == {"key": KEY, "by": owner}
    with pytest.raises(FolderLost):
        old.put_result(KEY, {"key": KEY, "by": "old"})
    with pytest.raises(FolderLost):
        old.put_error(KEY, {"reason": "old"})
    assert plain.get_result(KEY) == {"key": KEY, "by": ""} and plain.get_error(KEY) is None


def test_without_an_owner_nothing_is_checked(run: Path, tmp_path: Path) -> None:
    cell = tiny.cell(tiny.data(tiny.files(tmp_path / "data")))
    run.mkdir()
    (run / DRIVER).write_text(json.dumps({"claim": "of some driver"}))
    train_cell(cell, RunFolder(str(run)))
    assert RunFolder(str(run)).list_done() == {cell.key}
    shutil.rmtree(run)
    train_cell(cell, RunFolder(str(run)))
    assert os.listdir(run) == ["cells"]
