"""The grid as a person runs it: real processes, a real Ray, real signals. Each start costs most of a minute: few, full tests."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from platform import grid
from platform.command import application
from tests import tiny
from trainables.store import RunFolder

ROOT = Path(__file__).resolve().parent.parent
GRID = [
    "--only",
    "method=SL(c),SC(c<-a)",
    "--only",
    "split=.5",
    "--seeds",
    "2",
    "--set",
    "per_class=8",
    "--set",
    "probe_epochs=5",
    "--set",
    "precision=fp32",
]
NOT_NUMBERS = {"time"}


def command(runs: Path, *options: str, epochs: int = 40) -> subprocess.Popen[str]:
    """A grid of 8 cells of a second or two each."""
    arguments = [sys.executable, "-m", "platform.grid", *GRID, "--set", f"epochs={epochs}", "--runs", str(runs), *options]
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"}
    return subprocess.Popen(
        arguments,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a test run in the background ignores Ctrl-C
    )


def run(runs: Path, *options: str) -> tuple[int, str]:
    process = command(runs, *options)
    output, _ = process.communicate(timeout=400)
    return process.returncode, output


def folder_of(runs: Path) -> RunFolder:
    return RunFolder(str(runs / "adults_as_augmentation-pocket"))


def numbers(folder: RunFolder) -> dict[str, object]:
    """Every number of every result: all that must not depend on slots, order, neighbours, kills."""
    found: dict[str, object] = {}
    for cell in folder.grid():
        result = folder.result(cell.key)
        assert result is not None, cell.name
        kept = {name: result[name] for name in ("metrics", "selected_epoch", "confusion", "split_hash", "counts", "flags", "classes")}
        rows = [{name: value for name, value in row.items() if name not in NOT_NUMBERS} for row in folder.history(cell.key)]
        predictions = {name: array.tolist() for name, array in folder.predictions(cell.key).items()}
        found[cell.key] = [kept, rows, predictions]
    return found


def wait_for(results: int, folder: RunFolder, process: subprocess.Popen[str], seconds: float = 300) -> None:
    """Until that many cells have ended, while the grid still runs."""
    until = time.monotonic() + seconds
    while len(folder.done()) < results:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "the grid makes no progress"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    runs = tmp_path_factory.mktemp("undisturbed")
    code, output = run(runs)
    assert code == 0, output
    return runs, output


def test_every_training_runs_in_a_train_worker(undisturbed: tuple[Path, str]) -> None:
    folder = folder_of(undisturbed[0])
    cells = folder.grid()
    assert len(cells) == 8 and folder.done() == {cell.key for cell in cells}
    workers = set()
    for cell in cells:
        where = folder.result(cell.key)["provenance"]
        assert where["trial"] and where["world_size"] >= 1 and 0 <= where["rank"] < where["world_size"]
        assert where["pid"] not in (where["driver_pid"], where["slot_pid"]), "a cell was trained outside a Train worker"
        assert where["threads"] == 1
        workers.add(where["pid"])
    assert len(workers) <= 2, "workers were not kept warm"


def test_it_ends_in_a_report_and_says_little(undisturbed: tuple[Path, str]) -> None:
    runs, output = undisturbed
    folder = folder_of(runs)
    page = Path(folder.path("report", "index.html")).read_text()
    assert "rendered faces" in page and "SC(c&lt;-a)" in page
    assert len(Path(folder.path("report", "runs.csv")).read_text().splitlines()) == 1 + 8
    assert json.loads(Path(folder.path("report", "report.json")).read_text())
    assert "8/8 cells done, 0 failed" in output
    assert len(output.splitlines()) < 40, output
    assert not list(Path(folder.path("cells")).glob("*/*.aside"))


def test_done_is_done(undisturbed: tuple[Path, str]) -> None:
    """Nothing is trained twice, and Ray is not even started."""
    runs, _ = undisturbed
    before = {path: path.stat().st_mtime_ns for path in Path(folder_of(runs).path("cells")).rglob("result.json")}
    code, output = run(runs)
    assert code == 0 and "starting the workers" not in output
    assert before == {path: path.stat().st_mtime_ns for path in Path(folder_of(runs).path("cells")).rglob("result.json")}


def test_stopped_then_killed_then_continued(undisturbed: tuple[Path, str], tmp_path: Path) -> None:
    """Ctrl-C ends it cleanly, kill -9 of the driver loses nothing finished, and all numbers equal an undisturbed run's."""
    folder = folder_of(tmp_path)
    first = command(tmp_path)
    wait_for(1, folder, first)
    first.send_signal(signal.SIGINT)
    asked = time.monotonic()
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 130 and "the same command again goes on" in output.splitlines()[-1], output
    assert time.monotonic() - asked < 30
    stopped = {key: Path(folder.path("cells", key, "result.json")).read_bytes() for key in folder.done()}
    assert 1 <= len(stopped) < 8

    second = command(tmp_path)
    wait_for(len(stopped) + 2, folder, second)
    second.send_signal(signal.SIGKILL)
    second.wait()
    finished = {key: Path(folder.path("cells", key, "result.json")).read_bytes() for key in folder.done()}
    assert stopped.items() <= finished.items()
    assert len(finished) < 8, "the kill came too late to test anything"

    code, output = run(tmp_path)
    assert code == 0, output
    for key, content in finished.items():
        assert Path(folder.path("cells", key, "result.json")).read_bytes() == content, "a finished result was written again"
    assert numbers(folder) == numbers(folder_of(undisturbed[0]))
    assert_each_epoch_once(folder)


def assert_each_epoch_once(folder: RunFolder) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for cell in folder.grid():
        curves = EventAccumulator(folder.path("tb", cell.name)).Reload()
        steps = [event.step for event in curves.Scalars("train/loss")]
        assert steps == [row["step"] for row in folder.history(cell.key)], cell.name


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 48 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(tmp_path)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_full_disk_stops_the_grid_and_room_lets_it_go_on(undisturbed: tuple[Path, str], small_disk: Path) -> None:
    folder, ballast = folder_of(small_disk), small_disk / "ballast"
    process = command(small_disk)
    wait_for(1, folder, process)
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 2, output
    line = output.splitlines()[-1]
    assert f"{folder.root}/" in line and "No space left on device; what was finished is kept: the same command again" in line, output
    assert "Traceback" not in output and not list(small_disk.rglob("*.aside"))
    finished = {key: Path(folder.path("cells", key, "result.json")).read_bytes() for key in folder.done()}
    assert 1 <= len(finished) < 8
    for file in Path(folder.path("cells")).rglob("*.json"):
        json.loads(file.read_text())

    ballast.unlink()
    code, output = run(small_disk)
    assert code == 0, output
    assert finished == {key: Path(folder.path("cells", key, "result.json")).read_bytes() for key in finished}
    assert numbers(folder) == numbers(folder_of(undisturbed[0]))


WORKERS = """
import json, os, signal, sys, threading, time
import ray
from platform import schedule
from trainables.store import RunFolder
from trainables.cell import Cell
from dataclasses import replace

runs, folder = sys.argv[1], RunFolder(sys.argv[2])
ray.init(num_cpus=2, num_gpus=1, log_to_driver=False)
cells = list(reversed(folder.grid()))
nan = replace(cells[0], method_settings=cells[0].method_settings | {"lr": 1e30})
poison = replace(cells[1], axes=cells[1].axes | {"seed": 77}, method_settings=cells[1].method_settings | {"epochs": 2000})
events, killed = [], []

def listen(event):
    events.append(event)
    if event["kind"] == "row" and event["key"] == poison.key and event["pid"] not in killed:
        os.kill(event["pid"], signal.SIGKILL)
        killed.append(event["pid"])

schedule.run([nan, poison, *cells], RunFolder(runs), listen, gpu=0.25, context={"driver_pid": os.getpid()}, checkpoint_s=0.5)
print(json.dumps({"nan": nan.key, "poison": poison.key, "killed": killed, "ends": [e for e in events if e["kind"] != "row"]}))
ray.shutdown()
"""


def test_order_slots_and_dying_neighbours_do_not_matter(undisturbed: tuple[Path, str], tmp_path: Path) -> None:
    """Four slots share one logical GPU; the cells come in reverse; one diverges, one has its worker killed whenever it reports."""
    reference = folder_of(undisturbed[0])
    runs = str(tmp_path / "run")
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, runs, reference.root], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"nan"')))  # Ray may add lines of its own
    folder = RunFolder(runs)
    folder.put_grid("adults_as_augmentation", "pocket", reference.grid())
    assert numbers(folder) == numbers(reference)
    assert len(told["killed"]) == 3
    assert len({folder.result(cell.key)["provenance"]["rank"] for cell in folder.grid()}) > 1
    assert folder.result(folder.grid()[0].key)["provenance"]["world_size"] == 4

    error = folder.error(told["nan"])
    assert error["epoch"] == 0 and "nan" in error["reason"]
    assert "died 3 times" in folder.error(told["poison"])["reason"]
    ends = [end["key"] for end in told["ends"]]
    assert sorted(ends) == sorted({*ends}) and len(ends) == 10


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["no_study"], "unknown study 'no_study'"),
        (["--scale", "pokket"], "unknown scale 'pokket'; did you mean pocket?"),
        (["--only", "metod=SL(c)"], "unknown axis of adults_as_augmentation 'metod'; did you mean method?"),
        (["--only", "method=SC(a)"], "unknown value of axis method 'SC(a)'"),
        (["--only", "split"], "--only split: expected --only AXIS=V,V"),
        (["--set", "epoch=3"], "did you mean epochs?"),
        (["--set", "epochs=many"], "setting epochs='many' of method supervised"),
        (["--set", "ratio=0"], "ratio is an axis"),
        (["--set", "domain=c"], "sets the values of method apart"),
        (["--set", "classes=[anger, joy]"], "has no class joy"),
        (["--set", "size=16"], "pocket: size must be 32 or more"),
        (["--set", "encoder=resnet"], "did you mean resnet18?"),
        (["--set", "encoder_settings.stem=cifar"], "stem"),
        (["--seeds", "0"], "--seeds 0: at least one"),
        (["--data", "children=fer2013:/nowhere/fer2013.csv,ages=/nowhere/ages.csv"], "/nowhere/fer2013.csv"),
        (["--data", "grandparents=faces"], "unknown role of adults_as_augmentation 'grandparents'"),
        (["--data", "children=fer2014:/x"], "did you mean fer2013?"),
        (["--runs", "/proc/nowhere"], "/proc/nowhere"),
    ],
)
def test_a_bad_request_is_one_line(options: list[str], line: str, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    app = application(grid.main)
    runs = [] if "--runs" in options else ["--runs", str(tmp_path)]
    outcome = CliRunner().invoke(app, [*options, *runs])
    assert outcome.exit_code == 2, outcome.output
    assert line in outcome.output and len(outcome.output.strip().splitlines()) == 1, outcome.output
    assert not list(tmp_path.iterdir())


def test_dry_run_starts_nothing(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    outcome = CliRunner().invoke(application(grid.main), [*GRID, "--dry-run", "--runs", str(tmp_path)])
    assert outcome.exit_code == 0 and "8" in outcome.output
    assert not list(tmp_path.iterdir())


def test_what_a_reader_drops_is_kept_with_the_grid(tmp_path: Path) -> None:

    source = tiny.files(tmp_path)["children"]
    csv, ages = Path(source.path), source.options[0][1]
    lines = csv.read_text().splitlines()
    emotion, pixels, usage = lines[1].split(",")
    csv.write_text("\n".join([lines[0], f"{emotion},{' '.join(['7'] * len(pixels.split()))},{usage}", *lines[2:], ""]))
    data = grid.read_roles(tiny.study(), [f"{role}=fer2013:{csv},ages={ages}" for role in ("children", "adults")])
    assert any("constant" in note for note in data["children"].notes), data["children"].notes
    folder = RunFolder(str(tmp_path / "run"))
    folder.put_grid("a_study", "pocket", tiny.study().cells(data))
    assert folder.grid()[0].data == data


def test_predictions_are_of_the_test_set(undisturbed: tuple[Path, str]) -> None:
    folder = folder_of(undisturbed[0])
    for cell in folder.grid():
        result, predictions = folder.result(cell.key), folder.predictions(cell.key)
        n = sum(result["counts"]["test"])
        assert predictions["probabilities"].shape == (n, 7) and len(predictions["index"]) == len(predictions["subject"]) == n
        np.testing.assert_allclose(predictions["probabilities"].sum(1), 1, atol=1e-5)
        right = (predictions["probabilities"].argmax(1) == predictions["label"]).mean()
        assert right == pytest.approx(result["metrics"]["test/accuracy"])


def test_slots_follow_the_machine() -> None:
    from platform import schedule

    assert schedule.slots_of({"CPU": 8.0}, 0.0, None) == 8
    assert schedule.slots_of({"CPU": 8.0, "GPU": 2.0}, 0.25, None) == 8
    assert schedule.slots_of({"CPU": 8.0, "GPU": 2.0}, 1.0, None) == 2
    assert schedule.slots_of({"CPU": 8.0}, 0.0, 3) == 3
    with pytest.raises(schedule.Fatal, match="no GPU here"):
        schedule.slots_of({"CPU": 8.0}, 0.5, None)
