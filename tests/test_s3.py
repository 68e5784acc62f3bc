"""Run folders in a bucket of a real S3 server: the invariants are those of a disk, and a bucket's fault is reported in one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from s3fs import S3FileSystem
from typer.testing import CliRunner

from platform.cli.application import make_application
from platform.grid.__main__ import main
from platform.launch.run_lock import lock_run
from tests import tiny
from tests.faults import processes
from tests.forking import SharedRay
from tests.s3 import BUCKET, LISTED, environment, free_port
from trainables.loop import train_cell
from trainables.registry import BadRequest
from trainables.storage.lock_holder import DRIVER
from trainables.storage.store import RunFolder

ROOT = Path(__file__).resolve().parent.parent
WRITER = """
import sys
from trainables.storage.store import RunFolder
folder = RunFolder(sys.argv[1])
while True:
    for letter in b"ab":
        folder.put(bytes([letter]) * 1_000_000, "cells", "k", "checkpoint.pt")
        folder.put_result("k", {"key": "k", "letter": letter})
        folder.remove("cells", "k", "result.json")
"""


def test_a_reader_never_sees_half_a_file_though_writers_are_killed(s3: str) -> None:
    folder, whole = RunFolder(s3), (b"a" * 1_000_000, b"b" * 1_000_000)
    for kill_after in (1, 3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, s3], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
        try:
            reads, before = 0, folder.get("cells", "k", "checkpoint.pt")
            while reads < kill_after:
                content = folder.get("cells", "k", "checkpoint.pt")
                if content is None or content == before:
                    assert writer.poll() is None
                    continue
                reads, before = reads + 1, content
                assert content in whole
                assert folder.get_result("k") in (None, *({"key": "k", "letter": ord(letter)} for letter in "ab"))
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        assert folder.get("cells", "k", "checkpoint.pt") in whole


def test_what_others_write_is_seen_at_once(s3: str) -> None:
    reader, writer = RunFolder(s3), RunFolder(s3)
    assert reader.list_done() == set() and reader.get_result("k") is None
    writer.put_result("k", {"key": "k"})
    assert reader.list_done() == {"k"} and reader.get_result("k") == {"key": "k"}
    writer.remove("cells", "k", "result.json")
    assert reader.list_done() == set()


def test_more_cells_than_one_listing_holds(s3: str) -> None:
    folder = RunFolder(s3)
    for number in range(LISTED + 10):
        folder.put(b"{}", "cells", f"{number:020}", "result.json")
    client = boto3.client("s3")
    assert client.list_objects_v2(Bucket=BUCKET, Prefix=s3.partition(f"{BUCKET}/")[2])["IsTruncated"]
    assert len(folder.list_done()) == LISTED + 10 and folder.list_kept() == set()


def test_a_lock_holds_against_another_driver_and_is_given_back(s3: str) -> None:
    folder = RunFolder(s3)
    with lock_run(folder), pytest.raises(BadRequest, match=f"process {os.getpid()} on "), lock_run(RunFolder(s3)):
        pass
    assert folder.get_json(DRIVER) is None


def test_a_training_in_a_bucket_is_the_training_on_a_disk(s3: str, tmp_path: Path) -> None:
    cell = tiny.cell(tiny.data(tiny.files(tmp_path / "data")))
    folders = [RunFolder(f"{s3}/run"), RunFolder(str(tmp_path / "run"))]
    results = [train_cell(cell, folder) for folder in folders]
    assert results[0]["metrics"] == results[1]["metrics"]
    contents = [
        ({name: array.tolist() for name, array in folder.get_predictions(cell.key).items()}, len(folder.get_history(cell.key)))
        for folder in folders
    ]
    assert contents[0] == contents[1] and folders[0].list_kept() == {cell.key}


@pytest.mark.parametrize(
    ("uri", "variables", "said"),
    [
        ("s3://no-such-bucket/runs", {}, "s3://no-such-bucket/runs/{run}/"),
        ("s3://studies/runs", {"AWS_ENDPOINT_URL": "http://127.0.0.1:{port}"}, "Could not connect to the endpoint"),
        ("gs://studies/runs", {}, "gcsfs"),
        ("nosuch://studies/runs", {}, "Protocol not known: nosuch"),
    ],
)
def test_what_is_wrong_with_a_bucket_is_one_line(s3: str, uri: str, variables: dict[str, str], said: str) -> None:
    run = "adults_as_augmentation-pocket"
    filled = {name: value.format(port=free_port()) for name, value in variables.items()}
    try:
        with environment(filled):
            S3FileSystem.clear_instance_cache()  # a cached instance would keep using the server that it knows
            outcome = CliRunner().invoke(make_application(main), ["--seeds", "1", "--runs", uri])
    finally:
        S3FileSystem.clear_instance_cache()
    assert outcome.exit_code == 2 and len(outcome.output.splitlines()) == 1, outcome.output
    assert said.format(run=run) in outcome.output


GRID = ["--only", "method=SL(c),SC(c<-a)", "--only", "split=.5", "--only", "ratio=1", "--seeds", "2", "--slots", "1"]
GRID += ["--set", "per_class=8", "--set", "probe_epochs=5", "--set", "precision=fp32", "--set", "epochs=4"]


def test_a_grid_in_a_bucket_is_killed_and_goes_on(s3: str, shared_ray: SharedRay, tmp_path: Path) -> None:
    folder = RunFolder(f"{s3}/adults_as_augmentation-pocket")
    first = shared_ray.start("platform.grid", *GRID, "--runs", s3)
    first.wait_for(folder.list_done)
    processes.kill(processes.driver_of(first.pid))
    assert first.end()[0] == 2
    finished = {key: folder.get("cells", key, "result.json") for key in folder.list_done()}
    cells = folder.get_cells()
    assert 0 < len(finished) < len(cells) == 4, "the kill came too late to test anything"
    code, output = shared_ray.run("platform.grid", *GRID, "--runs", s3)
    assert code == 0 and "4/4 trainings done, 0 failed" in output, output
    assert all(folder.get("cells", key, "result.json") == content for key, content in finished.items()), "trained twice"
    assert b"SC(c&lt;-a)" in (folder.get("report", "index.html") or b"")
    numbers = [_numbers(cell.key, folder) for cell in cells]
    alone = RunFolder(str(tmp_path))
    for cell in cells:
        train_cell(cell, alone)
    assert numbers == [_numbers(cell.key, alone) for cell in cells]


def _numbers(key: str, folder: RunFolder) -> Any:
    result = folder.get_result(key)
    assert result is not None
    rows = [{name: value for name, value in row.items() if name != "time"} for row in folder.get_history(key)]
    return [{name: result[name] for name in ("metrics", "selected_epoch", "confusion", "split_hash")}, rows]
