"""Affine augmentation: each sample is transformed by its own drawn parameters, and applying them is deterministic."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.affine import Affine, apply_affine, draw_affine

STILL: dict[str, Any] = {"rotation": 0.0, "shift": 0.0, "scale": (1.0, 1.0), "shear": 0.0, "flip": 0.0}


def picture(size: int = 33) -> torch.Tensor:
    """Return a blurred disc right of and above the middle: uint8 [1, 1, size, size]."""
    y, x = np.mgrid[:size, :size] - size // 2
    return torch.from_numpy((250 * np.exp(-((x - 6) ** 2 + (y + 4) ** 2) / 20)).astype(np.uint8))[None, None]


def centre(image: torch.Tensor) -> np.ndarray:
    """Return x and y of the centre of mass, relative to the middle."""
    weight = image[0].double().numpy()
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]] - weight.shape[0] // 2
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def moved(**settings: Any) -> torch.Tensor:
    return apply_affine(picture(), draw_affine(1, Affine(**STILL | settings), np.random.default_rng(0)))


def test_nothing_to_do_changes_nothing() -> None:
    images = torch.randint(0, 256, (7, 3, 20, 20), dtype=torch.uint8)
    assert torch.equal(apply_affine(images, draw_affine(7, Affine(**STILL), np.random.default_rng(1))), images)


def test_a_flip_is_a_flip() -> None:
    images = torch.randint(0, 256, (5, 3, 20, 20), dtype=torch.uint8)
    assert torch.equal(apply_affine(images, draw_affine(5, Affine(**STILL | {"flip": 1.0}), np.random.default_rng(1))), images.flip(3))


@pytest.mark.parametrize("angle", [-30.0, 12.0, 45.0])
def test_a_rotation_keeps_the_distance_from_the_middle(angle: float, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed:
        def uniform(self, low: Any, high: Any, size: Any) -> np.ndarray:
            return np.full(size, high)

        def random(self, size: Any) -> np.ndarray:
            return np.ones(size)

    turned = centre(apply_affine(picture(), draw_affine(1, Affine(**STILL | {"rotation": angle}), Fixed()))[0])  # type: ignore[arg-type]
    before = centre(picture()[0])
    radians = np.deg2rad(angle)  # the map goes from output to input, so the image turns by -angle
    expected = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]]) @ before
    assert turned == pytest.approx(expected, abs=0.15)


@given(st.integers(0, 2**32 - 1))
def test_the_drawn_stay_within_what_is_allowed(seed: int) -> None:
    affine = Affine()
    theta = draw_affine(50, affine, np.random.default_rng(seed)).double().numpy()
    area = np.abs(np.linalg.det(theta[:, :, :2]))
    assert theta.shape == (50, 2, 3) and np.all(np.abs(theta[:, :, 2]) <= 2 * affine.shift + 1e-6)
    assert np.all(area >= 1 / affine.scale[1] ** 2 - 1e-6) and np.all(area <= 1 / affine.scale[0] ** 2 + 1e-6)


def test_each_sample_has_its_own_and_stays_itself_in_any_batch() -> None:
    images = torch.randint(0, 256, (1200, 1, 16, 16), dtype=torch.uint8)
    parameters = draw_affine(1200, Affine(), np.random.default_rng(3))
    together = apply_affine(images, parameters)
    assert len(torch.unique(parameters.flatten(1), dim=0)) == 1200 and 0.45 < (parameters[:, 0, 0] < 0).float().mean() < 0.55
    for row in (0, 511, 512, 1199):
        assert torch.equal(apply_affine(images[row : row + 1], parameters[row : row + 1])[0], together[row])
