"""A run folder has one driver. A second driver gets an error that names the first. The lock of a dead driver is taken over."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from platform.launch import driver_record, run_lock
from platform.launch.run_lock import lock_run
from trainables.registry import BadRequest
from trainables.storage.lock_holder import DRIVER
from trainables.storage.store import RunFolder

ROOT = Path(__file__).resolve().parent.parent
HOLD = """
import sys, time
from platform.launch import driver_record
from platform.launch.run_lock import lock_run
from trainables.storage.store import RunFolder
driver_record.supervisor_pid = lambda: int(sys.argv[3])
folder = RunFolder(sys.argv[1])
with lock_run(folder):
    print("held", flush=True)
    while True:
        if sys.argv[2] == "verify":
            folder.verify_owner()
        time.sleep(0.05)
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a process which locks a folder. `does`: what it does then; `supervisor`: its supervisor's PID."""
    started = []

    def start(folder: RunFolder, does: str = "sleep", supervisor: int = 0) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, folder.uri, does, str(supervisor)]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_second_driver_is_told_of_the_first(tmp_path: Path, start: Start) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    first = start(folder)
    assert said(first) == "held\n"
    with pytest.raises(BadRequest) as caught, lock_run(folder):
        pass
    assert f"process {first.pid} on " in str(caught.value) and "since 20" in str(caught.value) and "\n" not in str(caught.value)
    end(first)
    with lock_run(folder):
        assert json.loads(Path(folder.get_path(DRIVER)).read_text())["pid"] == os.getpid()


def test_it_is_free_again_after_an_end_and_after_an_error(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    for _ in range(2):
        with pytest.raises(RuntimeError), lock_run(folder):
            raise RuntimeError
    with lock_run(folder):
        pass
    assert not folder.owner


@pytest.mark.parametrize("does", ["verify", "sleep"])
def test_a_deleted_lock_file_frees_nothing(tmp_path: Path, start: Start, does: str) -> None:
    """A working driver writes its record again and is named in the error. A driver that hangs still holds the folder."""
    folder = RunFolder(str(tmp_path / "run"))
    first = start(folder, does)
    assert said(first) == "held\n"
    os.unlink(folder.get_path(DRIVER))
    with pytest.raises(BadRequest) as caught, lock_run(RunFolder(folder.uri)):
        pass
    assert (f"process {first.pid} on " if does == "verify" else "(another process)") in str(caught.value)
    assert first.poll() is None
    end(first)
    with lock_run(folder):
        pass


def test_two_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    with lock_run(folder), pytest.raises(BadRequest, match=f"process {os.getpid()} on "), lock_run(RunFolder(folder.uri)):
        pass


# The driver is about to end.
def test_a_second_driver_waits_for_one_whose_supervisor_is_dead(tmp_path: Path, start: Start) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    supervisor = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        first = start(folder, supervisor=supervisor.pid)
        assert said(first) == "held\n"
        record = json.loads(Path(folder.get_path(DRIVER)).read_text())
        assert record["supervisor"] == {"pid": supervisor.pid, "born": driver_record.get_process_start(supervisor.pid)}
        refused = start(folder)
        assert refused.wait() == 1 and "another command is running here" in refused.communicate()[1]
    finally:
        supervisor.kill()  # it is not waited for yet: a zombie counts as dead
    second = start(folder)
    assert second.stderr and second.stderr.readline() == f"waiting for process {first.pid}, which is ending\n"
    supervisor.wait()
    end(first)
    assert said(second) == "held\n"
    assert json.loads(Path(folder.get_path(DRIVER)).read_text())["pid"] == second.pid


def test_it_does_not_wait_without_end(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    supervisor = subprocess.Popen([sys.executable, "-c", ""])
    supervisor.wait()
    first = start(folder, supervisor=supervisor.pid)
    assert said(first) == "held\n"
    monkeypatch.setattr(run_lock, "ENDING_S", 0.5)
    with pytest.raises(BadRequest, match=f"another command is running here .process {first.pid} on "), lock_run(folder):
        pass


# A store without locks.
@pytest.fixture
def store() -> Iterator[RunFolder]:
    """Return a run folder in the memory of this process."""
    yield RunFolder("memory://locks/run")
    if fsspec.filesystem("memory").exists("/locks"):
        fsspec.filesystem("memory").rm("/locks", recursive=True)


def test_without_locks_the_lock_is_a_record_that_is_renewed(store: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "BEAT_S", 0.05)
    with lock_run(store):
        first = store.get_json(DRIVER)["beat"]
        while store.get_json(DRIVER)["beat"] <= first:
            time.sleep(0.01)
        store.verify_owner()
        with pytest.raises(BadRequest, match=f"process {os.getpid()} on "), lock_run(RunFolder(store.uri)):
            pass
        store.verify_owner()
    assert store.get_json(DRIVER) is None


@pytest.mark.parametrize(
    ("changed", "taken"),
    [
        ({}, True),
        ({"born": "1"}, False),  # the PID of an ended process was reused
        ({"pid": 2**22 + 5}, False),
        ({"host": "elsewhere"}, True),
        ({"host": "elsewhere", "beat": time.time() - 600}, False),
    ],
)
def test_without_locks_a_dead_drivers_record_is_taken_over(store: RunFolder, changed: dict[str, object], taken: bool) -> None:
    store.put_json(driver_record.describe_self() | changed, DRIVER)
    if taken:
        with pytest.raises(BadRequest), lock_run(store):
            pass
    else:
        with lock_run(store):
            assert store.get_json(DRIVER)["pid"] == os.getpid()


def test_a_record_that_cannot_be_read_binds_no_one(store: RunFolder, tmp_path: Path) -> None:
    for content in (b"{", b"[]", b"null", b"\xff"):
        store.put(content, DRIVER)
        with lock_run(store):
            pass
        Path(tmp_path, DRIVER).write_bytes(content)
        with lock_run(RunFolder(str(tmp_path))):
            pass
