"""Fixed first layers: what they compute, and that keeping it changes no training."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.test_methods import Roles, cell
from trainables.execution import feature_cache
from trainables.loop import train_cell
from trainables.models import build_encoder
from trainables.models.fixed_layers import get_fixed_layers, get_learned_layers, keep_fixed_maps, pass_fixed_layers
from trainables.models.hog import CELL, NOISE, ORIENTATIONS, OrientedGradients
from trainables.storage.store import RunFolder


def compute_histograms(image: np.ndarray) -> np.ndarray:
    """Return the histograms [8, cells, cells] of an image [s, s], pixel by pixel, as the docstring of OrientedGradients defines them."""
    size, cells = len(image), len(image) // CELL
    padded = np.pad(image, 1, mode="edge")
    sums, counts = np.zeros((ORIENTATIONS, cells, cells)), np.zeros((cells, cells))
    for y in range(size):
        for x in range(size):
            right, down = padded[y + 1, x + 2] - padded[y + 1, x], padded[y + 2, x + 1] - padded[y, x + 1]
            row, column = y * cells // size, x * cells // size
            counts[row, column] += 1
            for turn in range(ORIENTATIONS):
                away = math.atan2(down, right) - 2 * math.pi * turn / ORIENTATIONS
                share = math.cos(away) - math.cos(2 * math.pi / ORIENTATIONS)
                sums[turn, row, column] += math.hypot(right, down) * max(0.0, share)
    histograms = sums / counts
    energy = (histograms**2).sum(0)
    result = np.zeros_like(histograms)
    for row in range(cells):
        for column in range(cells):
            around = energy[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            result[:, row, column] = histograms[:, row, column] / (math.sqrt(around.mean()) + NOISE)
    return result


@pytest.mark.parametrize("size", [32, 35, 48])
def test_histograms_are_those_of_a_loop_over_pixels(size: int) -> None:
    images = np.random.default_rng(size).uniform(-1, 1, (3, 2, size, size)).astype(np.float32)
    found = OrientedGradients(size)(torch.from_numpy(images)).numpy()
    expected = np.stack([compute_histograms(image.mean(0).astype(float)) for image in images])
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_an_encoder_is_its_fixed_and_its_learned_layers() -> None:
    torch.manual_seed(0)
    encoder = build_encoder("hog", channels=1, size=48).eval()
    pixels = torch.randint(0, 256, (70, 1, 48, 48), dtype=torch.uint8)
    fixed = get_fixed_layers(encoder)
    assert fixed is not None and not list(fixed.parameters())
    assert {id(parameter) for parameter in encoder.parameters()} == {id(p) for p in get_learned_layers(encoder).parameters()}
    (kept,) = keep_fixed_maps(encoder, [pixels])
    assert kept.shape == (70, 8, 12, 12) and torch.equal(pass_fixed_layers(encoder, kept), kept)
    with torch.no_grad():
        torch.testing.assert_close(get_learned_layers(encoder)(kept), encoder(pixels.float().div(127.5).sub(1)))
    plain = build_encoder("pocket", channels=1, size=48)
    assert get_learned_layers(plain) is plain and keep_fixed_maps(plain, [pixels])[0] is pixels


def test_the_same_pixels_are_passed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = build_encoder("hog", channels=1, size=48)
    pixels = torch.randint(0, 256, (5, 1, 48, 48), dtype=torch.uint8)
    passed = []
    compute = OrientedGradients.forward
    monkeypatch.setattr(OrientedGradients, "forward", lambda self, images: passed.append(len(images)) or compute(self, images))
    first, second = keep_fixed_maps(encoder, [pixels, pixels.clone()])
    assert first is second and sum(passed) == 6  # one image to learn the size of its maps, then all five


@pytest.mark.parametrize(("name", "domain"), [("supervised", "c+a"), ("supcon", "c<-a")])
@pytest.mark.parametrize("pool", ["fixed", "fresh"])
def test_a_training_with_kept_maps_is_the_one_that_computes_them_in_every_step(
    roles: Roles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, domain: str, pool: str
) -> None:
    trained = cell(roles, name, domain, encoder="hog", pool=pool, probe_pool=pool)
    kept = train_cell(trained, RunFolder(str(tmp_path / "kept")))
    monkeypatch.setattr(feature_cache, "SHARE", 0.0)
    feature_cache._KEPT.clear()
    again = train_cell(trained, RunFolder(str(tmp_path / "again")))
    assert kept["metrics"] == pytest.approx(again["metrics"], rel=1e-4)
