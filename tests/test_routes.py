"""The routes of children_cnn: one test split for all; frozen convolutions keep every byte; a resumed training ends in the same bits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from search_spaces.study import STUDIES, Study
from tests import tiny
from trainables.cell import Cell, Data
from trainables.loop import Stopped, train_cell
from trainables.storage.store import RunFolder

Roles = dict[str, Data]


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Roles:
    data = tiny.data(tiny.files(tmp_path_factory.mktemp("data")), colour="rgb")
    return {"lab": data["adults"], "children": data["children"]}


def study(encoder: str = "pocket", **settings: Any) -> Study:
    """Return the pocket study on three classes and two data sets, with the arms adults(lab), transfer and children."""
    pocket = STUDIES.find("children_cnn")("pocket")
    axes = pocket.axes | {"method": ("adults(lab)", "transfer", "children"), "encoder": (encoder,), "classes": (7,), "seed": (0,)}
    values = {"size": 32, "test_share": 0.3, "validation": 0.3, "epochs": 2, "batch": 16, "precision": "fp32"} | settings
    meanings = pocket.meanings | {"classes": {7: {"classes": tiny.CLASSES}}}
    return replace(pocket, axes=axes | {"colour": ("grey",), "augment": ("affine",)}, settings=values, meanings=meanings)


def cells(roles: Roles, *given: Any, **settings: Any) -> dict[str, Cell]:
    return {str(cell.axes["method"]): cell for cell in study(*given, **settings).make_cells(roles)}


def bits(folder: RunFolder, cell: Cell) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in folder.get_checkpoint(cell.key)["modules"].items()}


@pytest.mark.parametrize(("encoder", "dense"), [("pocket", ("classifier.",)), ("ronnet", ("classifier.", "encoder.connected."))])
def test_transfer_moves_the_dense_part_alone(roles: Roles, tmp_path: Path, encoder: str, dense: tuple[str, ...]) -> None:
    route_cells, folder = cells(roles, encoder), RunFolder(str(tmp_path))
    for arm in ("adults(lab)", "transfer"):
        train_cell(route_cells[arm], folder)
    before, after = bits(folder, route_cells["adults(lab)"]), bits(folder, route_cells["transfer"])
    moved = {name for name in before if before[name] != after[name]}
    assert moved == {name for name in before if name.startswith(dense)}


def test_a_fresh_dense_part_takes_only_the_convolutions_over(roles: Roles, tmp_path: Path) -> None:
    route_cells, folder = cells(roles, "ronnet", dense="fresh", lr=1e-30), RunFolder(str(tmp_path))
    for cell in route_cells.values():
        train_cell(cell, folder)
    adults, transfer, children = (bits(folder, route_cells[arm]) for arm in ("adults(lab)", "transfer", "children"))
    connected = {name for name in adults if not name.startswith("encoder.convolutions.")}
    assert {name: transfer[name] for name in connected} == {name: children[name] for name in connected}  # equal seeds, equal initial values
    assert all(transfer[name] == adults[name] for name in adults.keys() - connected)


def test_one_test_split_serves_every_route(roles: Roles, tmp_path: Path) -> None:
    route_cells, folder = cells(roles), RunFolder(str(tmp_path))
    results = {arm: train_cell(cell, folder) for arm, cell in route_cells.items()}
    assert len({result["split_hash"] for result in results.values()}) == 1
    outputs = [folder.get_predictions(cell.key) for cell in route_cells.values()]
    assert all((output["index"] == outputs[0]["index"]).all() and (output["label"] == outputs[0]["label"]).all() for output in outputs)
    scores = {arm: result["metrics"] for arm, result in results.items()}
    assert scores["children"]["own/accuracy"] == scores["children"]["test/accuracy"]
    assert set(scores["adults(lab)"]) >= {"own/accuracy", "own/balanced_accuracy", "test/accuracy"}
    assert results["adults(lab)"]["counts"]["train"] != results["children"]["counts"]["train"] == results["transfer"]["counts"]["train"]


@pytest.mark.parametrize("arm", ["children", "transfer"])
def test_a_route_resumed_anywhere_ends_in_the_same_bits(roles: Roles, tmp_path: Path, arm: str) -> None:
    route_cells = cells(roles, "ronnet", batch=6)  # with dropout, so the random state must be restored
    whole, broken = RunFolder(str(tmp_path / "whole")), RunFolder(str(tmp_path / "broken"))
    for folder in (whole, broken):
        train_cell(route_cells["adults(lab)"], folder)
    train_cell(route_cells[arm], whole)
    for stop in (1, 2):
        steps = iter(range(100))
        with pytest.raises(Stopped):
            train_cell(route_cells[arm], broken, halt=lambda steps=steps, stop=stop: next(steps) == stop)
    train_cell(route_cells[arm], broken)
    assert bits(whole, route_cells[arm]) == bits(broken, route_cells[arm])
    assert (whole.get_result(route_cells[arm].key) or {})["metrics"] == (broken.get_result(route_cells[arm].key) or {})["metrics"]


def test_the_rate_falls_with_the_steps(roles: Roles, tmp_path: Path) -> None:
    cell, folder = cells(roles, decay=0.5, lr=0.01, epochs=3)["children"], RunFolder(str(tmp_path))
    train_cell(cell, folder)
    steps = sum((folder.get_result(cell.key) or {})["counts"]["train"]) // 16
    assert [row["lr"] for row in folder.get_history(cell.key)] == pytest.approx(
        [0.01 / (1 + 0.5 * (e * steps + steps - 1)) for e in range(3)]
    )


def test_what_can_be_learnt_is_learnt(roles: Roles, tmp_path: Path) -> None:
    cell = cells(roles, epochs=25, lr=0.01)["children"]
    assert train_cell(cell, RunFolder(str(tmp_path)))["metrics"]["test/accuracy"] > 0.7, "chance is .33"


def test_a_frozen_encoder_needs_no_gradient(roles: Roles, tmp_path: Path) -> None:
    from trainables.loop import make_method, make_task

    cell = cells(roles, "ronnet")["transfer"]
    method = make_method(cell, make_task(cell, torch.device("cpu")))
    (phase,) = method.build_phases()
    phase.begin_phase()
    phase.start_epoch(0)
    phase.model.train()
    phase.train_step(0)
    assert all(parameter.grad is None for parameter in method.modules["encoder"].convolutions.parameters())
    assert not method.modules["encoder"].convolutions.training and method.modules["encoder"].connected.training
