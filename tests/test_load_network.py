"""A finished training's network without its data: the numbers of the run, for every kind of input and target."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny
from trainables.cell import Data
from trainables.load_network import get_input, load_network, make_empty_task
from trainables.loop import make_method, make_task, train_cell
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder


@pytest.mark.parametrize("arm", ["SL(c)", "SC(c<-a)"])
def test_predictions_are_those_of_the_run_without_its_data(tmp_path: Path, arm: str) -> None:
    sources = tiny.files(tmp_path / "data")
    cell, folder = tiny.cell(tiny.data(sources), arm), RunFolder(str(tmp_path / "run"))
    train_cell(cell, folder)
    test = make_task(cell, torch.device("cpu")).test.pixels
    shutil.rmtree(tmp_path / "data")
    trained = load_network(folder, cell.key)
    stored = folder.get_predictions(cell.key)["probabilities"]
    assert trained.classes == tiny.CLASSES and trained.input == (32, "grey", False)
    assert np.abs(trained.predict(test) - stored).max() < 1e-6
    assert trained.compute_logits(test).argmax(1).tolist() == stored.argmax(1).tolist()


@pytest.mark.parametrize("method", ["labelled", "pseudo_label", "pseudo_label_alrao", "annealed_label_transfer"])
def test_methods_that_need_a_pool_or_a_gate_are_built_without(roles: dict[str, Data], method: str) -> None:
    cell = tiny.transfer(roles, method)
    empty, whole = make_method(cell, make_empty_task(cell, tiny.CLASSES)), make_method(cell, make_task(cell, torch.device("cpu")))
    pixels = torch.randint(0, 256, (3, 1, 32, 32), dtype=torch.uint8)
    assert torch.equal(empty.compute_logits(pixels), whole.compute_logits(pixels))  # the same initial parameters
    assert get_input(cell).make_pixels(3).shape == pixels.shape


def test_what_cannot_be_loaded_is_one_line(roles: dict[str, Data], tmp_path: Path) -> None:
    cell, folder = tiny.cell(roles, epochs=1), RunFolder(str(tmp_path))
    with pytest.raises(BadRequest, match=f"{cell.key} is no finished training"):
        load_network(folder, cell.key)
    train_cell(cell, folder, keep="none")
    with pytest.raises(BadRequest, match="has kept no parameters"):
        load_network(folder, cell.key)
    folder.put_checkpoint(cell.key, {"modules": {"encoder.weight": torch.zeros(2)}})
    with pytest.raises(BadRequest, match="are another network's") as caught:
        load_network(folder, cell.key)
    assert "\n" not in str(caught.value)
