"""Exported models: the logits of the run in each format, for every study's networks; description, card, and what is refused."""

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner, Result

from platform.cli.application import make_application
from platform.export.__main__ import main
from platform.export.write_model import check_model, make_test_pictures, write_model
from platform.predict.model_file import FORMATS, make_described_cell, read_model
from platform.stats.significance import t_interval
from search_spaces.study import STUDIES, list_classes
from tests import tiny
from trainables.cell import Cell, Data
from trainables.data.prediction_targets import AFFECT
from trainables.data.source import Source
from trainables.load_network import TrainedNetwork, get_input, get_target, make_empty_task
from trainables.loop import make_method, make_task, train_cell
from trainables.storage.store import RunFolder

LABELS = ("happiness", "surprise", "curiosity")


def export(folder: RunFolder, *options: str) -> Result:
    return CliRunner().invoke(make_application(main), [folder.root, *options])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return a run of three seeds of two methods, of which one has failed and one has not begun."""
    place = tmp_path_factory.mktemp("exported")
    whole = tiny.study(epochs=2, lr=0.02)
    axes: dict[str, Any] = {"method": ("SC(c)", "SC(c<-a)"), "split": (0.5,), "ratio": (1,), "seed": (0, 1, 2)}
    cells = replace(whole, axes=axes).make_cells(tiny.data(tiny.files(place / "data")))
    folder = RunFolder(str(place / "run"))
    folder.put_grid(whole.name, whole.scale, cells)
    for cell in cells[:4]:
        train_cell(cell, folder)
    folder.put_error(cells[4].key, {"reason": "the loss is nan"})
    return folder


def list_networks() -> list[Any]:
    """Return a cell of each network of every study's pocket scale, and of each kind of answer."""
    seen: set[str] = set()
    cells = []
    for name in STUDIES.import_all():
        study = STUDIES.find(name)("pocket").with_seeds(1)
        for cell in study.make_cells({role: Data(Source("faces"), role, role) for role in study.roles}):
            parts = (cell.method, cell.method_settings["encoder"], cell.method_settings.get("mask"), get_input(cell))
            news = {f"{name} {parts}", get_target(cell)} - seen
            if news and not study.is_prerequisite(cell):
                seen |= news
                cells.append(pytest.param(cell, id=f"{name}-{cell.name}"))
    return cells


def make_random_network(cell: Cell) -> TrainedNetwork:
    """Return a cell's network with initial weights, and running statistics as a training leaves them: neither 0 nor 1."""
    target = get_target(cell)
    classes = {"affect": AFFECT, "labels": LABELS}.get(target) or tuple(list_classes(cell.task_settings))
    network = make_method(cell, make_empty_task(cell, classes)).build_network()
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return TrainedNetwork(cell, get_input(cell), classes, target, network.eval())


@pytest.mark.parametrize("cell", list_networks())
def test_onnxruntime_computes_the_logits_of_every_studys_networks(cell: Cell, tmp_path: Path) -> None:
    trained = make_random_network(cell)
    content = write_model(trained, {}, "onnx")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for number in (1, 2, 7):
        pictures = make_test_pictures(trained, number)
        logits, scores = session.run(["logits", "scores"], {"pictures": pictures})
        expected = trained.compute_logits(torch.from_numpy(pictures)).numpy()
        assert logits.shape == (number, len(trained.classes)) and np.abs(logits - expected).max() <= 1e-4 * max(1, np.abs(expected).max())
        assert np.abs(scores - trained.predict(torch.from_numpy(pictures))).max() <= 1e-4
    if trained.input.clips:
        assert session.run(["logits"], {"pictures": pictures[:, :1]})[0].shape == (number, len(trained.classes))  # a clip of one frame


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_has_the_stored_predictions_of_the_run(run: RunFolder, tmp_path: Path, kind: str) -> None:
    cell = run.get_cells()[1]
    result = export(run, cell.key, "--to", kind, "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    file = tmp_path / f"{cell.key}{FORMATS[kind]}"
    assert result.stdout.splitlines() == [str(file), str(tmp_path / f"{cell.key}.md")] and "checked: its logits" in result.stderr
    model, test = read_model(file), make_task(cell, torch.device("cpu")).test.pixels
    _, scores = model.compute(test.numpy())
    assert np.abs(scores - run.get_predictions(cell.key)["probabilities"]).max() < 1e-5
    assert model.names == tiny.CLASSES and model.input == (32, "grey", False)


def test_onnx_is_valid_and_describes_itself(run: RunFolder, tmp_path: Path) -> None:
    cell = run.get_cells()[0]
    assert export(run, cell.key, "--out", str(tmp_path)).exit_code == 0
    model = onnx.load(tmp_path / f"{cell.key}.onnx")
    onnx.checker.check_model(model, full_check=True)
    description = json.loads(model.metadata_props[0].value)
    assert description["training"]["key"] == cell.key and description["training"]["method_settings"] == cell.method_settings
    assert description["outputs"]["names"] == list(tiny.CLASSES) and description["input"]["shape"] == ["n", 1, 32, 32]
    assert {role: data["fingerprint"] for role, data in description["data"].items()} == {
        role: data.fingerprint for role, data in cell.data.items()
    }
    assert description["provenance"]["packages"]["torch"] == version("torch")
    assert replace(make_described_cell(description), data=cell.data) == cell
    text = json.dumps(description)
    assert str(tmp_path.parent) not in text and "host" not in description["provenance"] and run.root not in text


def test_the_card_has_scores_with_intervals_data_and_warnings(run: RunFolder, tmp_path: Path) -> None:
    cell = run.get_cells()[0]
    same = [other for other in run.get_cells()[:4] if other.axes["method"] == cell.axes["method"]]
    assert export(run, cell.key, "--to", "state_dict", "--out", str(tmp_path)).exit_code == 0
    card = (tmp_path / f"{cell.key}.md").read_text()
    scores = [100 * run.get_result(other.key)["metrics"]["test/accuracy"] for other in same]  # type: ignore[index]
    interval = t_interval(np.array(scores))
    row = next(line for line in card.splitlines() if line.startswith("| test accuracy"))
    assert f"| {scores[0]:.1f} | {interval.mean:.1f} |" in row and row.endswith(f"| {len(same)} |")
    assert f"{interval.high:.1f}" in row
    assert "competition data" in card and "pocket scale: small settings" in card and f"key `{cell.key}`" in card
    assert f"python -m platform.predict {cell.key}.pt" in card and str(tmp_path) not in card and run.root not in card
    for flag in run.get_result(cell.key)["flags"]:  # type: ignore[index]
        assert flag[:20] in card


def test_best_has_the_highest_validation_score(run: RunFolder, tmp_path: Path) -> None:
    result = export(run, "best", "--to", "state_dict", "--out", str(tmp_path))
    cells = {cell.key: cell for cell in run.get_cells()[:4]}
    scores = {key: run.get_result(key)["metrics"]["val/accuracy"] for key in cells}  # type: ignore[index]
    best = cells[max(scores, key=scores.__getitem__)]
    assert result.exit_code == 0 and (tmp_path / f"{best.key}.pt").exists()
    assert f"{best.name} has the highest val/accuracy, {scores[best.key]:.4f}, of 4 trainings" in result.stderr


def test_a_training_is_found_by_name_and_by_the_beginning_of_its_key(run: RunFolder, tmp_path: Path) -> None:
    cell = run.get_cells()[2]
    for name in (cell.name, cell.key[:6]):
        result = export(run, name, "--to", "state_dict", "--out", str(tmp_path))
        assert result.exit_code == 0 and result.stdout.startswith(str(tmp_path / cell.key)), result.output


def test_the_default_place_is_in_the_run_folder(run: RunFolder) -> None:
    cell = run.get_cells()[0]
    assert export(run, cell.key, "--to", "pt2").exit_code == 0
    assert {path.name for path in Path(run.get_path("export")).iterdir()} == {f"{cell.key}.pt2", f"{cell.key}.md"}


def test_what_cannot_be_exported_is_one_line(run: RunFolder, tmp_path: Path) -> None:
    cells = run.get_cells()
    near = cells[0].name.replace("SC(c)", "SC(d)")
    cases = [
        ((cells[4].key,), f"{cells[4].name} has failed (the loss is nan); export another training"),
        ((cells[5].key,), f"{cells[5].name} is not finished (not begun)"),
        ((near,), f"unknown training '{near}'; did you mean {cells[0].name}"),
        (("bset",), "unknown training 'bset'"),
        ((cells[0].key, "--to", "onx"), "unknown --to 'onx'; did you mean onnx? (known: onnx, pt2, state_dict)"),
    ]
    for options, message in cases:
        result = export(run, *options)
        assert result.exit_code == 2 and message in result.output and result.output.count("\n") == 1, result.output
    result = export(RunFolder(str(tmp_path / "none")), "best")
    assert result.exit_code == 2 and "no run here" in result.output and result.output.count("\n") == 1


def test_a_run_without_parameters_is_one_line(roles: dict[str, Data], tmp_path: Path) -> None:
    cell, folder = tiny.cell(roles, epochs=1), RunFolder(str(tmp_path))
    folder.put_grid(cell.study, cell.scale, [cell])
    result = export(folder, "best")
    assert result.exit_code == 2 and "none of 1 trainings is finished" in result.output
    train_cell(cell, folder, keep="none")
    for wanted in ("best", cell.key):
        result = export(folder, wanted)
        assert result.exit_code == 2 and "kept" in result.output and result.output.count("\n") == 1, result.output


def test_a_file_with_other_logits_is_not_written(run: RunFolder, roles: dict[str, Data]) -> None:
    """The check reads what was written: with another network's file, it fails."""
    cell = run.get_cells()[0]
    trained, other = make_random_network(cell), make_random_network(replace(cell, axes=cell.axes | {"seed": 9}))
    content = write_model(other, {"input": trained.input._asdict(), "outputs": {"names": tiny.CLASSES, "target": "label"}}, "pt2")
    with pytest.raises(ValueError, match="computes other logits"):
        check_model(trained, content, "pt2")
