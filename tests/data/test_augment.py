"""Augmentation compared with torchvision: with its per-image functions under the same parameters, and with its distributions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from trainables.data.augment import Augmentation, Parameters, augment_images, draw_parameters, normalise_images

STRONG = Augmentation(scale=(0.1, 1.0), ratio=(0.5, 2.0), brightness=0.9, contrast=0.9, saturation=0.9, hue=0.5, jitter=0.8)
CASES = {"n": st.integers(1, 6), "channels": st.sampled_from([1, 3]), "size": st.sampled_from([32, 48, 64]), "seed": st.integers(0, 2**32)}


def pictures(n: int, channels: int, size: int, seed: int) -> Tensor:
    """Return noise, the hardest input, since neighbouring pixels differ by up to 255 levels. Some samples are flat and saturated."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (n, channels, size, size), np.uint8)
    images[generator.random(n) < 0.2] = generator.integers(0, 256)
    return torch.from_numpy(images)


def neutral(n: int, size: int, **changed: Tensor) -> Parameters:
    """Return parameters that change nothing, except those in `changed`."""
    zero = torch.zeros(n)
    same = Parameters(zero, zero, zero + size, zero + size, zero.bool(), torch.tensor([[1.0, 1, 1, 0]] * n), torch.arange(4).repeat(n, 1))
    return same._replace(**changed)


def torchvisions(image: Tensor, parameters: Parameters, i: int, antialias: bool) -> Tensor:
    """Transform one image with torchvision's functions, in float32 in [0, 1], where torchvision does not round between steps."""
    top, left, height, width = (int(values[i]) for values in parameters[:4])
    size = list(image.shape[-2:])
    x = tv.resized_crop(image.float() / 255, top, left, height, width, size, antialias=antialias)
    if parameters.flip[i]:
        x = tv.horizontal_flip(x)
    operations = [tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue]
    for operation in parameters.order[i]:
        x = operations[operation](x, parameters.factors[i, operation].item())
    return x * 255


@given(**CASES, antialias=st.booleans(), augmentation=st.sampled_from([Augmentation(), STRONG]))
@settings(deadline=None)
def test_equals_torchvision_image_by_image(
    n: int, channels: int, size: int, seed: int, antialias: bool, augmentation: Augmentation
) -> None:
    """The tolerance is half a level for our one rounding, and 0.05 for float32, whose error four operations amplify a few times."""
    images = pictures(n, channels, size, seed)
    parameters = draw_parameters(n, size, augmentation, np.random.default_rng(seed))
    augmented = augment_images(images, parameters)
    assert augmented.dtype == torch.uint8 and augmented.shape == images.shape
    for i in range(n):
        expected = torchvisions(images[i], parameters, i, antialias)
        assert (augmented[i].float() - expected).abs().max() <= 0.55


@given(**CASES)
@settings(deadline=None)
def test_crop_and_flip_equal_torchvision_on_uint8(n: int, channels: int, size: int, seed: int) -> None:
    """The tolerance is one level, because torchvision resizes bytes in fixed point."""
    images = pictures(n, channels, size, seed)
    drawn = draw_parameters(n, size, STRONG, np.random.default_rng(seed))
    parameters = neutral(n, size, **{name: getattr(drawn, name) for name in ("top", "left", "height", "width", "flip")})
    augmented = augment_images(images, parameters)
    for i in range(n):
        expected = tv.resized_crop(images[i], *(int(values[i]) for values in drawn[:4]), [size, size])
        expected = tv.horizontal_flip(expected) if drawn.flip[i] else expected
        assert (augmented[i].int() - expected.int()).abs().max() <= 1


@given(**CASES, operation=st.integers(0, 3), strength=st.floats(0, 1))
@settings(deadline=None)
def test_each_colour_operation_equals_torchvision_on_uint8(
    n: int, channels: int, size: int, seed: int, operation: int, strength: float
) -> None:
    """The tolerance is two levels, because torchvision truncates the result, which we round, and before that the luma."""
    images = pictures(n, channels, size, seed)
    factor = strength - 0.5 if operation == 3 else 2 * strength
    parameters = neutral(n, size)
    parameters.factors[:, operation] = factor
    augmented = augment_images(images, parameters)
    adjust = [tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue][operation]
    for i in range(n):
        expected = adjust(images[i], parameters.factors[i, operation].item())
        assert (augmented[i].int() - expected.int()).abs().max() <= 2


@given(**CASES)
@settings(deadline=None)
def test_a_sample_depends_on_its_own_parameters_only(n: int, channels: int, size: int, seed: int) -> None:
    images = pictures(n, channels, size, seed)
    parameters = draw_parameters(n, size, STRONG, np.random.default_rng(seed))
    together = augment_images(images, parameters)
    for i in range(n):
        alone = augment_images(images[i : i + 1], Parameters._make(values[i : i + 1] for values in parameters))
        assert (together[i].int() - alone[0].int()).abs().max() <= 1  # a batched product may add in another order


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_to_do_is_the_identity(channels: int) -> None:
    images = pictures(300, channels, 48, 0)  # more than one chunk
    assert torch.equal(augment_images(images, neutral(300, 48)), images)
    flipped = augment_images(images, neutral(300, 48, flip=torch.ones(300, dtype=torch.bool)))
    assert torch.equal(flipped, images.flip(-1))


def test_hue_and_saturation_do_nothing_to_grey() -> None:
    images = pictures(50, 1, 48, 1)
    parameters = draw_parameters(50, 48, STRONG, np.random.default_rng(1))
    colourless = parameters.factors.clone()
    colourless[:, 2:] = torch.tensor([1.0, 0.0])
    assert torch.equal(augment_images(images, parameters), augment_images(images, parameters._replace(factors=colourless)))


@pytest.mark.parametrize("channels", [1, 3])
def test_autocast_changes_nothing(channels: int) -> None:
    """A matrix of bf16 numbers would move pixels: it holds positions."""
    images = pictures(20, channels, 48, 2)
    parameters = draw_parameters(20, 48, STRONG, np.random.default_rng(2))
    expected = augment_images(images, parameters)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment_images(images, parameters), expected)


def test_an_empty_batch_stays_empty() -> None:
    assert augment_images(
        torch.empty(0, 1, 48, 48, dtype=torch.uint8), draw_parameters(0, 48, Augmentation(), np.random.default_rng(0))
    ).shape == (
        0,
        1,
        48,
        48,
    )


@pytest.mark.parametrize(
    ("size", "scale", "ratio"),
    [(48, (0.8, 1.0), (3 / 4, 4 / 3)), (64, (0.08, 1.0), (3 / 4, 4 / 3)), (48, (0.9, 1.0), (0.3, 3.0)), (48, (0.98, 1.0), (1.5, 2.0))],
    ids=["the study's", "torchvision's default", "tries often fail", "every try fails"],
)
def test_boxes_are_distributed_as_torchvisions(size: int, scale: tuple[float, float], ratio: tuple[float, float]) -> None:
    n = 4000
    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(size, scale=scale, ratio=ratio)
    image = torch.zeros(1, size, size)
    boxes = [transform.make_params([image]) for _ in range(n)]
    drawn = draw_parameters(n, size, Augmentation(scale=scale, ratio=ratio), np.random.default_rng(0))
    for name in ("top", "left", "height", "width"):
        values, expected = getattr(drawn, name).numpy(), np.array([box[name] for box in boxes])
        assert ks_2samp(values, expected).pvalue > 0.001, name
        assert values.mean() == pytest.approx(expected.mean(), abs=5 * expected.std() * math.sqrt(2 / n) + 1e-4)
    area = (drawn.height * drawn.width).numpy()
    assert ks_2samp(area, np.array([box["height"] * box["width"] for box in boxes])).pvalue > 0.001
    assert (drawn.top + drawn.height <= size).all() and (drawn.left + drawn.width <= size).all() and (drawn.top >= 0).all()


def test_colours_are_distributed_as_torchvisions() -> None:
    n = 4000
    torch.manual_seed(0)
    jitter = v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
    references = [jitter.make_params([]) for _ in range(n)]
    drawn = draw_parameters(n, 48, Augmentation(jitter=1.0), np.random.default_rng(0))
    for k, name in enumerate(("brightness", "contrast", "saturation", "hue")):
        assert ks_2samp(drawn.factors[:, k].numpy(), np.array([factors[f"{name}_factor"] for factors in references])).pvalue > 0.001, name
    permutations, counts = torch.unique(drawn.order, dim=0, return_counts=True)
    assert len(permutations) == 24 and (counts - n / 24).abs().max() < 5 * math.sqrt(n / 24)


def test_rates() -> None:
    n = 10_000
    drawn = draw_parameters(n, 48, Augmentation(flip=0.3, jitter=0.8), np.random.default_rng(0))
    assert drawn.flip.float().mean().item() == pytest.approx(0.3, abs=0.02)
    untouched = (drawn.factors == torch.tensor([1.0, 1, 1, 0])).all(dim=1)
    assert untouched.float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert abs(np.corrcoef(untouched, drawn.flip)[0, 1]) < 0.05


def test_strong_factors_stop_at_zero_as_torchvisions() -> None:
    assert (draw_parameters(500, 48, Augmentation(brightness=1.5, jitter=1), np.random.default_rng(0)).factors[:, 0] >= 0).all()


def test_a_seed_gives_the_parameters() -> None:
    first, again, other = (draw_parameters(20, 48, Augmentation(), np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.factors, other.factors)


@given(**CASES)
@settings(deadline=None)
def test_normalise_is_torchvisions(n: int, channels: int, size: int, seed: int) -> None:
    images = pictures(n, channels, size, seed)
    original = images.clone()
    expected = tv.normalize(tv.to_dtype(images, torch.float32, scale=True), [0.5] * channels, [0.5] * channels)
    torch.testing.assert_close(normalise_images(images), expected, rtol=0, atol=1e-6)
    assert torch.equal(images, original)
