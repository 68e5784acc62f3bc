"""The status of real grids and searches, as another process reads it from the run folder: running, killed, resumed, done."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from platform.launch.driver_record import DEAD_S
from platform.status.read_status import RunStatus, read_status
from platform.status.show_status import format_short, format_status
from tests.fake_run import fake_run
from tests.faults.processes import driver_of
from tests.forking import ForkServer, SharedRay
from tests.running import run
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

GRID = ["--only", "method=SL(c),SC(c)", "--only", "split=.5", "--only", "ratio=1", "--seeds", "2", "--set", "per_class=8"]
GRID += ["--set", "epochs=150", "--set", "probe_epochs=5", "--set", "precision=fp32"]
NAME = "adults_as_augmentation-pocket"


def status_of(runs: Path, name: str = NAME) -> RunStatus:
    return read_status(RunFolder(str(runs / name)))


def in_state(runs: Path, *states: str) -> RunStatus | None:
    """Return the status if there is a run folder that is in one of these states."""
    try:
        status = status_of(runs)
    except BadRequest:
        return None
    return status if status.state in states else None


def ask(runs: Path, *options: str) -> list[dict[str, Any]]:
    """Return what the command prints as JSON."""
    code, said = run(["-m", "platform.status", str(runs / NAME), "--json", *options])
    assert code == 0, said
    result: list[dict[str, Any]] = json.loads(said.splitlines()[-1])
    return result


def test_a_grid_is_seen_running_killed_resumed_and_done(shared_ray: SharedRay, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    command = shared_ray.start("platform.grid", *GRID, "--runs", str(runs))
    running = command.wait_for(
        lambda: (status := in_state(runs, "running")) and any("epoch" in entry for entry in status.running) and status
    )
    assert running.total == 4 and not running.failed and f"process {command.pid} " in running.driver
    entry = next(entry for entry in running.running if "epoch" in entry)
    assert entry["name"].startswith(("SL(c)/", "SC(c)/")) and entry["epoch"] >= 1 and entry["phase"] in ("fit", "pretrain", "probe")
    assert running.seen_s is not None and running.seen_s < DEAD_S
    (seen,) = ask(runs)  # by another process, without Ray
    assert seen["state"] in ("running", "finishing") and seen["total"] == 4
    assert "of 4 trainings done" in format_status(running) and "epoch " in format_status(running)

    driver = driver_of(command.pid)
    os.kill(driver, signal.SIGKILL)
    assert command.end()[0] == 2
    died = status_of(runs)
    assert died.state == "died" and not died.running and died.done + len(died.interrupted) <= 4
    assert "its driver died; the same command resumes it" in format_status(died)

    code, said = shared_ray.run("platform.grid", *GRID, "--runs", str(runs))
    assert code == 0, said
    done = status_of(runs)
    assert done.state == "complete" and done.done == done.total == 4 and not done.interrupted and done.left_s is None
    assert set(done.scores) <= {"SL(c)", "SC(c)"} and done.pace_s
    assert format_short(done).endswith("complete, 4 of 4 trainings done")
    assert "mean validation score: " in said

    again = shared_ray.run("platform.grid", "--config", str(runs / NAME / "command.yaml"))
    assert again[0] == 0 and "nothing to do, 4 of 4 trainings are done" in again[1] and "starting the workers" not in again[1]
    assert (runs / NAME / "command.yaml").read_text().startswith("# The options of the command that made this run folder")


def test_a_stopped_grid_is_not_taken_for_a_killed_one(shared_ray: SharedRay, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    command = shared_ray.start("platform.grid", *GRID, "--runs", str(runs))
    command.wait_for(lambda: in_state(runs, "running"))
    command.send(signal.SIGTERM)
    assert command.end()[0] == 130
    assert status_of(runs).state == "stopped"


def test_watch_ends_with_the_command(fork_server: ForkServer, shared_ray: SharedRay, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    short = [word.replace("epochs=150", "epochs=3") for word in GRID]
    command = shared_ray.start("platform.grid", *short, "--runs", str(runs))
    command.wait_for(lambda: in_state(runs, "starting", "running", "finishing"))
    code, said = fork_server.run(["-m", "platform.status", str(runs / NAME), "--json", "--watch"])
    assert code == 0
    assert json.loads(said.splitlines()[-1])[0]["state"] == "complete"
    assert command.end()[0] == 0


def test_a_search_shows_its_suggestions(shared_ray: SharedRay, tmp_path: Path) -> None:
    words = [
        "annealed_label_transfer",
        "--arm",
        "ALT",
        "--only",
        "scenario=wild",
        "--trials",
        "2",
        "--seeds",
        "1",
        "--fresh",
        "0",
        "--set",
        "epochs=1",
    ]
    code, said = shared_ray.run("platform.search", *words, "--runs", str(tmp_path))
    assert code == 0, said
    status = status_of(tmp_path, "annealed_label_transfer-pocket-search")
    assert status.state == "complete"
    (search,) = status.searches
    assert search["finished"] == search["suggestions"] == 2 and search["best"] > 0
    assert "search method=ALT/encoder=pocket/scenario=wild: 2 of 2 suggestions finished, best " in format_status(status)
    assert (tmp_path / "annealed_label_transfer-pocket-search" / "command.yaml").exists()


# folders without a command
@pytest.fixture
def finished(tmp_path: Path) -> RunFolder:
    from search_spaces.study import STUDIES

    study = STUDIES.find("adults_as_augmentation")("pocket").narrow_axis("method", ["SL(c)"]).narrow_axis("split", ["0.5"]).with_seeds(2)
    return fake_run(tmp_path / "runs" / NAME, study)[0]


def test_a_folder_of_an_older_version_is_read_without_its_records(finished: RunFolder) -> None:
    status = read_status(finished)
    assert status.state == "complete" and status.done == status.total == 4 and status.driver == "" and status.scores == {}


def test_failed_and_interrupted_trainings_are_named(finished: RunFolder) -> None:
    first, second, *_ = finished.get_cells()
    finished.remove("cells", first.key, "result.json")
    finished.put_error(first.key, {"reason": "the loss of phase fit is nan in epoch 1"})
    finished.remove("cells", second.key, "result.json")
    status = read_status(finished)
    assert [entry["reason"] for entry in status.failed] == ["the loss of phase fit is nan in epoch 1"]
    assert status.interrupted == [second.name] and status.done == 2 and status.state == "waiting"
    assert f"{first.name}: the loss of phase fit is nan" in format_status(status)
    time.sleep(0.01)
    finished.put_cell(first)  # it is trained again
    assert read_status(finished).failed == []


def make_record(finished: RunFolder, host: str, age_s: float, ended: bool) -> None:
    """Write the records of a driver on another machine."""
    finished.remove("cells", finished.get_cells()[0].key, "result.json")
    since = {"pid": 7, "host": host, "since": "today", "born": "1", "beat": time.time() - 1e6, "claim": "abc"}
    finished.put_json(since, "driver.json")
    counts = {"total": 4, "done": 3, "failed": 0, "pace_s": 2.0, "running": [], "scores": {"SL(c)": {"trainings": 3, "mean": 0.5}}}
    finished.put_json({"claim": "abc", "time": time.time() - age_s, "ended": ended, **counts}, "progress.json")


@pytest.mark.parametrize(("age_s", "ended", "state"), [(5, False, "running"), (2 * DEAD_S, False, "died"), (5, True, "stopped")])
def test_a_driver_on_another_machine_lives_as_long_as_it_writes(finished: RunFolder, age_s: float, ended: bool, state: str) -> None:
    make_record(finished, "another-machine", age_s, ended)
    status = read_status(finished)
    assert status.state == state and status.left_s == pytest.approx(2.0)
    assert "process 7 on another-machine" in format_status(status) and "SL(c) 50.0" in format_status(status)


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"study": 3}', b"\xff\xfe"])
def test_a_damaged_grid_is_one_line(finished: RunFolder, damage: bytes) -> None:
    finished.put(damage, "grid.json")
    with pytest.raises(BadRequest, match=r"grid\.json: is damaged") as error:
        read_status(finished)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"time": 3}', b"\xff\xfe", b'{"claim": "abc", "running": 3}'])
def test_a_damaged_record_counts_as_absent(finished: RunFolder, damage: bytes) -> None:
    finished.put(damage, "progress.json")
    assert read_status(finished).state == "complete"


def test_a_folder_that_is_none_is_one_line(tmp_path: Path) -> None:
    code, said = run(["-m", "platform.status", str(tmp_path)])
    assert code == 2 and said == f"{tmp_path}: is no run folder: it has neither grid.json nor a search's progress.json\n"
    code, said = run(["-m", "platform.status", str(tmp_path / "absent")])
    assert code == 2 and said.count("\n") == 1


def test_without_a_name_all_run_folders_are_listed(finished: RunFolder, tmp_path: Path) -> None:
    launcher = str(Path(__file__).parents[1] / "platform" / "cli" / "launcher.py")
    code, said = run([launcher, "status"], cwd=tmp_path)
    assert code == 0 and said == f"{finished.root}: complete, 4 of 4 trainings done\n"
    code, said = run([launcher, "status"], cwd=tmp_path / "runs")
    assert code == 2 and said == "no run in runs/ yet: ferray grid\n"


def test_an_object_store_is_read_in_the_same_way(s3: str, finished: RunFolder) -> None:
    remote = RunFolder(f"{s3}/run")
    for path in Path(finished.root).rglob("*"):
        if path.is_file():
            remote.put(path.read_bytes(), *path.relative_to(finished.root).parts)
    cell = finished.get_cells()[0]
    remote.remove("cells", cell.key, "result.json")
    remote.put_error(cell.key, {"reason": "no memory"})
    status = read_status(remote)
    assert status.done == 3 and [entry["name"] for entry in status.failed] == [cell.name]


def test_ten_thousand_cells_are_read_in_a_second(tmp_path: Path) -> None:
    import resource

    name = "SL(c)/split=0.5/ratio=1/seed={}"
    settings = {f"setting_{number}": 0.5 for number in range(60)}
    cells = [{"key": f"{number:020x}", "name": name.format(number), "method_settings": settings} for number in range(10_000)]
    (tmp_path / "cells").mkdir()
    (tmp_path / "grid.json").write_text(json.dumps({"study": "a", "scale": "paper", "steps": [], "cells": cells}))
    for cell in cells[:9_990]:
        (tmp_path / "cells" / cell["key"]).mkdir()
        for file in ("cell.json", "result.json"):
            (tmp_path / "cells" / cell["key"] / file).touch()
    used = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code, said = run(["-m", "platform.status", str(tmp_path)])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert code == 0 and "9,990 of 10,000 trainings done, 10 waiting" in said
        used.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(used) < 1, used
