"""The store: files are complete or absent whatever process dies, a result is written last, and loading a file runs no code."""

import os
import resource
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.test_cell import CELL
from trainables.storage.store import RunFolder

ROOT = Path(__file__).parents[1]
KEY = "0123456789abcdef0123"


@pytest.fixture(params=["local", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    if request.param == "s3":
        return RunFolder(f"{request.getfixturevalue('s3')}/run")
    return RunFolder(str(tmp_path / "run") if request.param == "local" else f"memory://{uuid.uuid4().hex}/run")


def test_an_empty_run_has_nothing(folder: RunFolder) -> None:
    assert folder.list_done() == set() and folder.get_cells() == [] and folder.get_history(KEY) == []
    assert folder.get("grid.json") is folder.get_result(KEY) is folder.get_error(KEY) is folder.get_checkpoint(KEY) is None
    with pytest.raises(FileNotFoundError, match=rf"{KEY}/predictions.npz: no predictions; run the grid again"):
        folder.get_predictions(KEY)
    folder.remove("cells", KEY, "result.json")


def test_all_files_of_a_cell_come_back(folder: RunFolder) -> None:
    key = CELL.key
    arrays = {"index": np.arange(3), "subject": np.array(["a", "b", ""]), "probabilities": np.eye(3, dtype=np.float32)}
    rows = [{"epoch": 0, "train/loss": 0.1 + 0.2}, {"epoch": 1, "train/loss": 1e-30}]
    state = {"modules": {"w": torch.tensor([0.1, torch.inf])}, "phase": 1, "flags": ["a"], "best": None}
    folder.put_grid("a_study", "pocket", [CELL])
    folder.put_cell(CELL)
    folder.put_checkpoint(key, state)
    folder.put_history(key, rows)
    folder.put_predictions(key, **arrays)
    assert folder.list_done() == set()
    folder.put_error(key, {"reason": "why"})
    assert folder.get_error(key) == {"reason": "why"} and folder.list_done() == set()
    folder.put_result(key, {"key": key, "metrics": {"test/accuracy": 1 / 3}})

    again = RunFolder(folder.uri)
    assert again.list_done() == {key} and again.get_error(key) is None
    assert again.get_cells() == [CELL]
    assert again.get_history(key) == rows
    assert again.get_result(key) == {"key": key, "metrics": {"test/accuracy": 1 / 3}}
    read = again.get_predictions(key)
    assert read.keys() == arrays.keys() and all(np.array_equal(read[name], arrays[name]) for name in arrays)
    checkpoint = again.get_checkpoint(key)
    assert torch.equal(checkpoint.pop("modules")["w"], state["modules"]["w"])
    assert checkpoint == {name: value for name, value in state.items() if name != "modules"}


@pytest.mark.parametrize("name", ["run [1]", "a*b", "what?", "ünï {code}", "50%"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = RunFolder(str(tmp_path / name))
    folder.put_result(KEY, {"key": KEY})
    assert (tmp_path / name / "cells" / KEY / "result.json").exists()
    assert folder.list_done() == {KEY} and folder.get_result(KEY) == {"key": KEY}


def test_home_and_relative_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    home, relative = RunFolder("~/runs"), RunFolder("runs")
    monkeypatch.chdir("/")  # a worker has another working directory
    assert (home.uri, relative.uri) == (str(tmp_path / "home" / "runs"), str(tmp_path / "runs"))


@given(st.binary(max_size=5000), st.binary(max_size=5000))
def test_the_last_content_put_is_there(tmp_path_factory: pytest.TempPathFactory, first: bytes, second: bytes) -> None:
    folder = RunFolder(str(tmp_path_factory.getbasetemp() / "put"))
    for content in (first, second):
        folder.put(content, "cells", "k", "file")
        assert folder.get("cells", "k", "file") == content
    assert os.listdir(folder.get_path("cells", "k")) == ["file"]


@contextmanager
def largest_file(size: int) -> Any:
    """Make the kernel refuse writes beyond `size` bytes of a file, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("before", [None, b"the old content"])
def test_a_write_cut_short_leaves_nothing_behind(tmp_path: Path, before: bytes | None) -> None:
    folder = RunFolder(str(tmp_path))
    if before is not None:
        folder.put(before, "cells", KEY, "result.json")
    with largest_file(10_000), pytest.raises(OSError) as caught:
        folder.put(bytes(1_000_000), "cells", KEY, "result.json")
    assert caught.value.strerror == "File too large"
    assert folder.get("cells", KEY, "result.json") == before
    assert os.listdir(tmp_path / "cells" / KEY) == (["result.json"] if before else [])


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_at_any_step_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException
) -> None:
    def fail(*arguments: Any) -> None:
        raise error

    folder = RunFolder(str(tmp_path))
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)) as caught:
        folder.put_result(KEY, {})
    monkeypatch.undo()
    assert (
        not isinstance(error, OSError) or str(caught.value) == f"[Errno 28] No space left on device: '{tmp_path}/cells/{KEY}/result.json'"
    )
    assert folder.list_done() == set() and os.listdir(tmp_path / "cells" / KEY) == []


WRITER = """
import sys
from trainables.storage.store import RunFolder
folder = RunFolder(sys.argv[1])
while True:
    for letter in b"ab":
        folder.put(bytes([letter]) * 1_000_000, "cells", "k", "checkpoint.pt")
        folder.put_result("k", {"letter": letter})
        folder.remove("cells", "k", "result.json")
"""


def test_a_reader_never_sees_half_a_file_though_writers_are_killed(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    seen = set()
    for kill_after in (1, 5, 12):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
        try:
            reads = 0
            before = folder.get("cells", "k", "checkpoint.pt")
            while reads < kill_after:
                content = folder.get("cells", "k", "checkpoint.pt")
                if content is None or content == before:
                    assert writer.poll() is None
                    time.sleep(0.001)
                    continue
                reads += 1
                assert content in (b"a" * 1_000_000, b"b" * 1_000_000)
                assert folder.get_result("k") in (None, {"letter": ord("a")}, {"letter": ord("b")})
                seen.add(content[:1])
                before = content
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        assert folder.get("cells", "k", "checkpoint.pt") in (b"a" * 1_000_000, b"b" * 1_000_000)
    assert seen == {b"a", b"b"}


def test_what_a_killed_writer_left_is_no_result(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    (tmp_path / "cells" / KEY).mkdir(parents=True)
    for name in ("result.json", "checkpoint.pt", "history.jsonl"):
        (tmp_path / "cells" / KEY / f"{name}.0badcafe.aside").write_bytes(b'{"metrics": ')
    assert folder.list_done() == set() and folder.get_result(KEY) is folder.get_checkpoint(KEY) is None and folder.get_history(KEY) == []
    folder.put_result(KEY, {"key": KEY, "metrics": {}})
    assert folder.list_done() == {KEY} and folder.get_result(KEY) == {"key": KEY, "metrics": {}}


def test_a_sweep_takes_what_the_dead_left_and_spares_the_living(tmp_path: Path) -> None:
    """A writer is stopped in the middle of a file and counts as alive. Later it continues, is stopped again and is killed."""
    folder = RunFolder(str(tmp_path))
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})

    def stopped_in_a_file() -> list[Path]:
        while True:
            assert writer.poll() is None
            writer.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, writer.pid, os.WSTOPPED)
            if left := [path for path in tmp_path.rglob("*.aside") if path.stat().st_size]:
                return left
            writer.send_signal(signal.SIGCONT)
            time.sleep(0.003)

    try:
        for _ in range(3):
            left = stopped_in_a_file()
            folder.remove_leftovers()
            assert list(tmp_path.rglob("*.aside")) == left
            writer.send_signal(signal.SIGCONT)
            before = folder.get("cells", "k", "checkpoint.pt")
            while folder.get("cells", "k", "checkpoint.pt") == before:
                assert writer.poll() is None, "it lost its file"
        left = stopped_in_a_file()
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert left
    content = folder.get("cells", "k", "checkpoint.pt")
    folder.remove_leftovers()
    assert not list(tmp_path.rglob("*.aside")) and folder.get("cells", "k", "checkpoint.pt") == content


def test_a_sweep_finds_nothing_where_nothing_is(folder: RunFolder) -> None:
    folder.remove_leftovers()
    assert folder.get_cells() == []


class Malicious:
    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (self.file,)


def test_a_checkpoint_runs_no_code(folder: RunFolder, tmp_path: Path) -> None:
    trap = str(tmp_path / "trap")
    folder.put_checkpoint(KEY, {"modules": Malicious(trap)})
    assert folder.get_checkpoint(KEY) is None
    assert not os.path.exists(trap)


def test_predictions_run_no_code(folder: RunFolder, tmp_path: Path) -> None:
    trap = str(tmp_path / "trap")
    with pytest.raises(ValueError):
        folder.put_predictions(KEY, subject=np.array([Malicious(trap)], dtype=object))
    with open(tmp_path / "malicious.npz", "wb") as file:
        np.savez(file, subject=np.array([Malicious(trap)], dtype=object))
    folder.put((tmp_path / "malicious.npz").read_bytes(), "cells", KEY, "predictions.npz")
    with pytest.raises(FileNotFoundError, match="cannot be read"):
        folder.get_predictions(KEY)
    assert not os.path.exists(trap)


def test_what_was_changed_later_is_not_whole(tmp_path: Path) -> None:
    """A changed digit in a result, in a file beside it or in a checkpoint is detected. A result without a digest is not accepted."""
    folder = RunFolder(str(tmp_path))

    def write() -> None:
        folder.put_history(KEY, [{"epoch": 0, "val/accuracy": 0.5}])
        folder.put_predictions(KEY, label=np.arange(500))
        folder.put_checkpoint(KEY, {"modules": {"w": torch.arange(999.0)}})
        folder.put_result(KEY, {"key": KEY, "metrics": {"test/accuracy": 0.25}})

    for name, old, new in (
        ("result.json", b"0.25", b"0.26"),
        ("history.jsonl", b"0.5", b"0.6"),
        ("result.json", b'"digest"', b'"digests"'),
    ):
        write()
        assert folder.list_done() == {KEY} and folder.has_whole_result(KEY)
        file = tmp_path / "cells" / KEY / name
        file.write_bytes(file.read_bytes().replace(old, new))
        assert folder.list_done() == set() and not folder.has_whole_result(KEY), name
        assert (folder.get_result(KEY) is None) == (name == "result.json")
    write()
    file = tmp_path / "cells" / KEY / "checkpoint.pt"
    number = torch.tensor(500.0).numpy().tobytes()
    assert file.read_bytes().count(number) == 1
    file.write_bytes(file.read_bytes().replace(number, torch.tensor(501.0).numpy().tobytes()))
    assert folder.get_checkpoint(KEY) is None and not folder.has_whole_result(KEY)
    write()
    assert folder.get_checkpoint(KEY) is not None and folder.has_whole_result(KEY)
