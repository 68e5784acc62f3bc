"""Data sets too large for memory: trainings that gather batches from mapped files give the same numbers as with images in memory."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import tiny
from tests.running import PATIENCE_S
from tests.test_transfer_resume import METHODS, made
from trainables import loop
from trainables.cell import Cell, Data
from trainables.data import device_pixels, memory_map
from trainables.loop import train_cell
from trainables.methods import method
from trainables.settings import resolve_settings
from trainables.storage.store import RunFolder


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.memmap:
    """Return a mapped file of 40 images. Any selection of more than 0 bytes counts as large."""
    monkeypatch.setattr(memory_map, "LARGE", 0)
    (tmp_path / "file").write_bytes(np.random.default_rng(0).integers(0, 256, 40 * 12, dtype=np.uint8).tobytes())
    return np.memmap(tmp_path / "file", np.uint8, "c", shape=(40, 1, 3, 4))


class TestRows:
    @given(first=st.lists(st.integers(0, 39), min_size=1), chance=st.randoms(use_true_random=False))
    def test_a_piece_of_a_piece_is_what_indexing_twice_gives(self, first: list[int], chance) -> None:
        images = np.arange(40 * 6, dtype=np.uint8).reshape(40, 1, 2, 3)
        rows, mask = np.array(first), np.array([chance.random() < 0.5 for _ in first])
        for second in (mask, np.flatnonzero(mask)):
            mapped, expected = memory_map.MappedRows(images, rows), images[rows][second]
            selection = memory_map.select_images(mapped, second)
            assert np.array_equal(np.asarray(selection), expected) and selection.shape == expected.shape and len(selection) == len(expected)
            assert [image.tolist() for image in selection] == expected.tolist()

    def test_what_follows_each_other_is_no_copy_and_what_is_small_an_array(self, large: np.memmap) -> None:
        assert np.shares_memory(memory_map.select_images(large, np.arange(3, 9)), large)
        assert isinstance(memory_map.select_images(large, np.array([1, 5])), memory_map.MappedRows)
        assert isinstance(memory_map.select_images(np.array(large), np.array([1, 5])), np.ndarray)
        memory_map.LARGE = 24
        assert isinstance(memory_map.select_images(large, np.array([1, 5])), np.ndarray)

    def test_what_wants_an_array_gets_one(self, large: np.memmap) -> None:
        rows = memory_map.select_images(large, np.array([7, 2, 7]))
        assert np.array_equal(np.concatenate([rows, large]), np.concatenate([large[[7, 2, 7]], large]))
        assert memory_map.join_images([rows]) is rows and rows.nbytes == 36 and rows.ndim == 4 and rows.dtype == np.uint8

    def test_pixels_serve_as_a_tensor_by_batches(self, large: np.memmap) -> None:
        whole, device = torch.from_numpy(large[[9, 3, 30, 31]]), torch.device("cpu")
        gathered = device_pixels.load_pixels(memory_map.select_images(large, np.array([9, 3, 30, 31])), device)
        assert isinstance(gathered, device_pixels.Pixels) and (gathered.shape, gathered.ndim, gathered.device) == (whole.shape, 4, device)
        assert torch.equal(gathered[torch.tensor([3, 0])], whole[[3, 0]]) and torch.equal(gathered[1:3], whole[1:3])
        assert torch.equal(torch.cat(list(gathered.split(3))), whole) and torch.equal(device_pixels.to_tensor(gathered), whole)


def cells(roles: dict[str, Data]) -> dict[str, Cell]:
    """Return one cell of each method that takes images by batches, and of those that hold all images."""
    result = {name: tiny.transfer(roles, name, **{"batch": 8, "lr": 0.02} | settings) for name, settings in METHODS.items()}
    scratch = method.METHODS.find("from_scratch")
    settings = {name: value for name, value in (tiny.SETTINGS | {"batch": 8}).items() if name in scratch.Settings.model_fields}
    scratch_settings = resolve_settings(scratch.Settings, settings, "from_scratch").model_dump(mode="json")
    result["from_scratch"] = replace(result["labelled"], method="from_scratch", method_settings=scratch_settings, version=scratch.version)
    return result | {arm: tiny.cell(roles, arm) for arm in ("SL(c+a)", "SC(c<-a)")}


@pytest.mark.parametrize("name", [*METHODS, "from_scratch", "SL(c+a)", "SC(c<-a)"])
def test_a_training_gives_the_same_numbers(roles: dict[str, Data], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, gathered = cells(roles)[name], 0
    indexed = device_pixels.Pixels.__getitem__

    def counted(self: device_pixels.Pixels, which: object) -> torch.Tensor:
        nonlocal gathered
        gathered += 1
        return indexed(self, which)

    in_memory, batches = (RunFolder(str(tmp_path / folder)) for folder in ("held", "batches"))
    train_cell(cell, in_memory, keep="all")
    monkeypatch.setattr(memory_map, "LARGE", 0)
    monkeypatch.setattr(device_pixels.Pixels, "__getitem__", counted)
    loop._TASKS.clear()  # else the second training has the first one's task
    train_cell(cell, batches, keep="all")
    assert gathered > 1 and made(batches, cell) == made(in_memory, cell)


TRAIN = """
import resource, sys, numpy as np, pandas as pd, torch
from trainables.data.dataset import FaceDataset
from trainables.data.tasks.held_out import HeldOutTaskSettings, build_task
from trainables.methods.from_scratch import FromScratch, CNNRecipe
from trainables.methods.labelled import Labelled, LabelledRecipe
torch.set_num_threads(1)
def own():
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1]) // 1024
count = 10_000
labels = np.arange(count) % 7
images = np.memmap(sys.argv[1], np.uint8, "r", shape=(count, 3, 224, 224))
metadata = pd.DataFrame({"split": ["train"] * (count - 70) + ["test"] * 70, "subject": [str(row) for row in range(count)]})
faces = FaceDataset(images, labels, ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"), metadata, "large")
before = own()
task = build_task(HeldOutTaskSettings(target="x", size=224, colour="rgb"), {"x": faces}, 0, torch.device("cpu"))
for method in (FromScratch(CNNRecipe(encoder="pocket", batch=8), task, 0), Labelled(LabelledRecipe(encoder="pocket", batch=8), task, 0)):
    phase = method.build_phases()[0]
    phase.begin_phase()
    phase.start_epoch(0)
    for step in range(3):
        phase.train_step(step)
    method.compute_logits(task.test.pixels[:8])
print(own() - before)
"""


def test_a_gigabyte_and_a_half_is_trained_on_in_a_fraction_of_it(tmp_path: Path) -> None:
    """The file is sparse. The validation images are drawn from the training images, so neither set is contiguous in the file."""
    with open(tmp_path / "large", "wb") as file:
        file.truncate(10_000 * 3 * 224 * 224)
    process = subprocess.run([sys.executable, "-c", TRAIN, str(tmp_path / "large")], capture_output=True, text=True, timeout=PATIENCE_S)
    assert process.returncode == 0, process.stderr
    assert int(process.stdout) < 700, f"{process.stdout} MB"
