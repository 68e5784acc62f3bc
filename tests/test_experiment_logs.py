"""Finished trainings in MLflow (a database, a server) and Weights & Biases (offline): what is written, once each, what is refused."""

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_run import fake_run
from mlflow import MlflowClient
from mlflow.entities import RunTag
from typer.testing import CliRunner

from platform.cli.application import make_application
from platform.experiment_logs.finished_training import read_trainings
from platform.experiment_logs.project_name import name_project
from platform.experiment_logs.write_logs import parse_logs, write_logs
from platform.grid import __main__ as grid
from platform.grid.run import run_grid
from platform.tensorboard.board_writer import Board
from search_spaces.study import STUDIES, Study
from tests.running import start
from trainables.cell import Cell
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

Run = tuple[Study, RunFolder, list[Cell]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    study = STUDIES.find("adults_as_augmentation")("pocket").narrow_axis("method", ["SC(c)", "SC(c<-a)"]).with_seeds(2)
    study = study.narrow_axis("split", ["0.5"]).narrow_axis("ratio", ["5"])
    folder, cells = fake_run(tmp_path / "adults-pocket", study)
    return study, folder, cells


def log(run: Run, *options: str) -> None:
    study, folder, cells = run
    write_logs(parse_logs(options, folder), folder, lambda: read_trainings(cells, folder, Board(folder, study).name_run))


def list_runs(uri: str, name: str = "adults-pocket") -> dict[str, Any]:
    """Return MLflow's runs by name."""
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    assert len({found.info.run_name for found in runs}) == len(runs), "two runs have one name"
    return {found.info.run_name: found for found in runs}


def check_mlflow(run: Run, uri: str) -> None:
    """Compare all that MLflow holds with the files of the run."""
    _, folder, cells = run
    client, runs = MlflowClient(tracking_uri=uri), list_runs(uri)
    assert set(runs) == {cell.name for cell in cells}
    for cell in cells:
        found, history, result = runs[cell.name], folder.get_history(cell.key), folder.get_result(cell.key)
        assert result is not None and found.info.status == "FINISHED" and found.data.tags["ferray.key"] == cell.key
        assert (
            found.data.params["split"] == "0.5"
            and found.data.params["augmentation.flip"] == "0.5"
            and found.data.params["encoder"] == "hog"
        )
        assert found.data.metrics["test/accuracy"] == result["metrics"]["test/accuracy"]
        assert found.data.metrics["selected/val/accuracy"] == result["metrics"]["val/accuracy"]
        for name in ("train/loss", "val/accuracy", "lr"):
            stored = [(row["step"], row[name], round(1000 * row["time"])) for row in history if name in row]
            logged = client.get_metric_history(found.info.run_id, name)
            assert sorted((point.step, point.value, point.timestamp) for point in logged) == stored


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mlflow.db"


def test_a_database_of_mlflow_holds_every_training_once(run: Run, database: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, folder, cells = run
    result = folder.get_result(cells[0].key) or {}
    folder.remove("cells", cells[0].key, "result.json")
    log(run, f"mlflow={database}")
    assert len(list_runs(database)) == len(cells) - 1
    folder.put_result(cells[0].key, result)
    log(run, f"mlflow={database}")
    log(run, f"mlflow={database}")
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition("mlflow.db: ")[2] for line in lines if "mlflow.db: " in line] == [
        "3 trainings logged, 0 were there",
        "1 training logged, 3 were there",
        "0 trainings logged, 4 were there",
    ]
    check_mlflow(run, database)


def test_what_a_killed_command_has_logged_in_part_is_logged_anew(run: Run, database: str) -> None:
    _, _, cells = run
    client = MlflowClient(tracking_uri=database)
    experiment = client.create_experiment("adults-pocket")
    partial = client.create_run(experiment, run_name=cells[0].name, tags={"ferray.key": cells[0].key})
    client.log_batch(partial.info.run_id, tags=[RunTag("partial", "yes")])
    foreign = client.create_run(experiment, run_name="of somebody else")
    log(run, f"mlflow={database}")
    assert client.get_run(partial.info.run_id).info.lifecycle_stage == "deleted"
    assert client.get_run(foreign.info.run_id).info.lifecycle_stage == "active"
    client.delete_run(foreign.info.run_id)
    check_mlflow(run, database)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Yield the address of an MLflow server on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    words = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--default-artifact-root", str(tmp_path / "artifacts")]
    process = start(words, {"MLFLOW_DISABLE_TELEMETRY": "true"}, tmp_path, start_new_session=True)
    try:
        process.wait_for(lambda: is_healthy(uri))
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.end()


def is_healthy(uri: str) -> bool:
    try:
        return requests.get(f"{uri}/health", timeout=5).ok
    except requests.ConnectionError:
        return False


def test_a_server_of_mlflow_holds_every_training_once(run: Run, server: str) -> None:
    log(run, f"mlflow={server}")
    log(run, f"mlflow={server}")
    check_mlflow(run, server)


def read_records(content: bytes) -> Iterator[bytes]:
    """Yield the records of a file in LevelDB's log format, after the 7 bytes of Weights & Biases' own head.

    A block of 32 KiB holds fragments of 4 bytes checksum, 2 bytes length, 1 byte kind (whole, first, middle, last), and content.
    """
    block, at, record = 32768, 7, b""
    assert content.startswith(b":W&B")
    while at + 7 <= len(content):
        if block - at % block < 7:
            at += block - at % block
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def read_offline(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """Return what the files of Weights & Biases hold, by key."""
    from wandb.proto import wandb_internal_pb2

    def read_items(items: Any) -> dict[str, Any]:
        return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}

    runs: dict[str, dict[str, Any]] = {}
    for file in Path(folder.root, "wandb").glob("offline-run-*/run-*.wandb"):
        found: dict[str, Any] = {"rows": [], "summary": {}, "exit": None}
        for data in read_records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                found |= {"name": record.run.display_name, "project": record.run.project, "config": read_items(record.run.config.update)}
            elif kind == "history":
                found["rows"].append(read_items(record.history.item))
            elif kind == "summary":
                found["summary"] |= read_items(record.summary.update)
            elif kind == "exit":
                found["exit"] = record.exit.exit_code
        key = file.stem.removeprefix("run-")
        assert key not in runs, "a training is there twice"
        runs[key] = found
    return runs


def check_wandb(run: Run) -> None:
    _, folder, cells = run
    runs = read_offline(folder)
    assert set(runs) == {cell.key for cell in cells}
    for cell in cells:
        found, history, result = runs[cell.key], folder.get_history(cell.key), folder.get_result(cell.key)
        assert result is not None and found["name"] == cell.name and found["project"] == "adults-pocket" and found["exit"] == 0
        assert found["config"]["augmentation.flip"] == 0.5 and found["config"]["seed"] == cell.axes["seed"]
        assert [row["_step"] for row in found["rows"]] == [row["step"] for row in history]
        for name in ("train/loss", "val/accuracy", "time"):
            assert [row[name] for row in found["rows"] if name in row] == [row[name] for row in history if name in row]
        assert found["summary"]["test/accuracy"] == result["metrics"]["test/accuracy"]
        assert found["summary"]["selected/val/accuracy"] == result["metrics"]["val/accuracy"]


def test_offline_runs_hold_every_training_once(run: Run) -> None:
    _, folder, cells = run
    result = folder.get_result(cells[0].key) or {}
    folder.remove("cells", cells[0].key, "result.json")
    log(run, "wandb=offline")
    assert len(read_offline(folder)) == len(cells) - 1
    folder.put_result(cells[0].key, result)
    log(run, "wandb=offline")
    check_wandb(run)
    logged = Path(folder.get_path("wandb", "logged.txt"))
    keys = logged.read_text().split()
    logged.write_text("\n".join(keys[:-1]) + "\n" + keys[-1][:7])  # as if the last had been killed
    log(run, "wandb=offline")
    check_wandb(run)


def test_the_grid_writes_the_logs_of_a_finished_run(run: Run, database: str, tmp_path: Path) -> None:
    study, folder, cells = run
    logs = parse_logs([f"mlflow={database}", "wandb=offline"], folder)
    assert run_grid(study, cells, folder, {}, logs=logs) == 0
    assert run_grid(study, cells, folder, {}, logs=logs) == 0
    check_mlflow(run, database)
    check_wandb(run)


def test_names_are_those_of_tensorboard(run: Run, database: str) -> None:
    study, folder, cells = run
    assert run_grid(study, cells, folder, {}, logs=parse_logs([f"mlflow={database}"], folder)) == 0
    names = {str(path.parent.relative_to(folder.get_path("tb"))) for path in Path(folder.get_path("tb")).rglob("events.*")}
    assert set(list_runs(database)) <= names


def test_nothing_is_written_without_the_option(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mlflow", "wandb"):
        for module in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, name, None)  # importing it would fail
    study, folder, cells = run
    assert run_grid(study, cells, folder, {}) == 0 and not Path(folder.root, "wandb").exists()


def test_a_search_logs_the_comparison_under_a_name_of_its_own() -> None:
    assert name_project(RunFolder("/runs/ciao-pocket-search")) == "ciao-pocket-search"
    assert name_project(RunFolder("/runs/ciao-pocket-search/fresh")) == "ciao-pocket-search-fresh"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["mlflo=sqlite:///a.db"], "unknown --log 'mlflo'; did you mean mlflow?"),
        (["mlflow"], "--log mlflow: expected --log mlflow=URI"),
        (["wandb=online"], "--log wandb=online: only wandb=offline is known"),
        (["mlflow=ftp://nowhere"], "--log mlflow=ftp://nowhere: "),
        (["mlflow=http://127.0.0.1:9"], "--log mlflow=http://127.0.0.1:9: "),
        (["mlflow=sqlite:////dev/null/no.db"], "--log mlflow=sqlite:////dev/null/no.db: "),
    ],
)
def test_a_log_that_cannot_be_written_is_one_line_before_anything_is_trained(tmp_path: Path, options: Sequence[str], message: str) -> None:
    words = [word for option in options for word in ("--log", option)]
    result = CliRunner().invoke(make_application(grid.main), ["--seeds", "1", "--runs", str(tmp_path / "runs"), *words])
    assert result.exit_code == 2 and not list(tmp_path.rglob("result.json"))
    assert [line for line in result.stderr.splitlines() if re.match(re.escape(message), line)], result.output


@pytest.mark.parametrize("option", ["mlflow=sqlite:///a.db", "wandb=offline"])
def test_a_missing_package_is_one_line(run: Run, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = option.partition("=")[0]
    monkeypatch.setitem(sys.modules, program, None)
    with pytest.raises(BadRequest, match=re.escape(f"--log {option} needs {program}: pip install 'ferray[{program}]'")):
        parse_logs([option], run[1])


def test_offline_runs_need_a_disk() -> None:
    with pytest.raises(BadRequest, match="is not on this machine's disk"):
        parse_logs(["wandb=offline"], RunFolder("memory://runs/one"))
