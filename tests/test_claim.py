"""A run folder has one driver: the second is told of the first, and a dead one's claim is taken over."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from platform import claim as module
from platform.claim import NAME, claim
from trainables.registry import BadRequest
from trainables.store import RunFolder

ROOT = Path(__file__).resolve().parent.parent
HOLD = """
import sys, time
from platform.claim import claim
from trainables.store import RunFolder
with claim(RunFolder(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def holder(folder: RunFolder) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder.uri], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_driver_is_told_of_the_first(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    first = holder(folder)
    try:
        with pytest.raises(BadRequest) as caught, claim(folder):
            pass
        assert f"process {first.pid} on " in str(caught.value) and "since 20" in str(caught.value) and "\n" not in str(caught.value)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    with claim(folder):
        assert json.loads(Path(folder.path(NAME)).read_text())["pid"] == os.getpid()


def test_it_is_free_again_after_an_end_and_after_an_error(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    for _ in range(2):
        with pytest.raises(RuntimeError), claim(folder):
            raise RuntimeError
    with claim(folder):
        pass


@pytest.fixture
def store() -> Iterator[RunFolder]:
    """A store without locks, in this process's memory."""
    yield RunFolder("memory://claims/run")
    if fsspec.filesystem("memory").exists("/claims"):
        fsspec.filesystem("memory").rm("/claims", recursive=True)


def test_without_locks_a_claim_is_a_file_that_is_renewed(store: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.05)
    with claim(store):
        first = store.get_json(NAME)["beat"]
        time.sleep(0.3)
        assert store.get_json(NAME)["beat"] > first
        with pytest.raises(BadRequest, match=f"process {os.getpid()} on "), claim(store):
            pass
    assert store.get_json(NAME) is None


@pytest.mark.parametrize(
    ("changed", "taken"),
    [
        ({}, True),
        ({"born": "1"}, False),  # the number of a process that ended was given to another
        ({"pid": 2**22 + 5}, False),
        ({"host": "elsewhere"}, True),
        ({"host": "elsewhere", "beat": time.time() - 600}, False),
    ],
)
def test_without_locks_a_dead_drivers_claim_is_taken_over(store: RunFolder, changed: dict[str, object], taken: bool) -> None:
    store.put_json(module._me() | changed, NAME)
    if taken:
        with pytest.raises(BadRequest), claim(store):
            pass
    else:
        with claim(store):
            assert store.get_json(NAME)["pid"] == os.getpid()


def test_a_claim_that_cannot_be_read_is_nobodys(store: RunFolder, tmp_path: Path) -> None:
    for content in (b"{", b"[]", b"null", b"\xff"):
        store.put(content, NAME)
        with claim(store):
            pass
        Path(tmp_path, NAME).write_bytes(content)
        with claim(RunFolder(str(tmp_path))):
            pass
