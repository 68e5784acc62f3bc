"""Compare maps with explicit computations, singly and in batches. Find layers by rule and by name."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from platform.explain.load_networks import COARSEST, LAST, _freeze_network, find_layer
from platform.explain.maps import compute_gradients, compute_maps, compute_scores
from trainables.data.augment import normalise_images
from trainables.methods.ciao import Network
from trainables.models import build_encoder
from trainables.models.inhibition import Inhibition
from trainables.registry import BadRequest


def network(name: str = "pocket", channels: int = 1, size: int = 48, classes: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    encoder = build_encoder(name, channels=channels, size=size)
    model = nn.Sequential()
    model.add_module("encoder", encoder)
    model.add_module("classifier", nn.Linear(encoder.features, classes))
    return _freeze_network(model)  # type: ignore[return-value]


def images(n: int = 5, channels: int = 1, size: int = 48) -> torch.Tensor:
    return torch.randint(0, 256, (n, channels, size, size), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def by_hand(network: nn.Module, layer: nn.Module, image: torch.Tensor, label: int, plus: bool) -> np.ndarray:
    """Return the map before resizing: Selvaraju et al. 2017, equations 1 and 2, or Chattopadhay et al. 2018, equation 19 (`plus`)."""
    outputs: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    score = network(normalise_images(image[None]).requires_grad_())[0, label]
    hook.remove()
    (gradient,) = torch.autograd.grad(score, outputs[0])
    activation, gradient = outputs[0][0].detach().double(), gradient[0].double()
    weights = gradient.mean((1, 2))
    if plus:
        below = 2 * gradient**2 + activation.sum((1, 2), keepdim=True) * gradient**3 + 1e-6
        alpha = torch.where(gradient != 0, gradient**2 / below, 0.0)
        weights = (gradient.clamp(min=0) * alpha).sum((1, 2))
    return (weights[:, None, None] * activation).sum(0).clamp(min=0).numpy()


@pytest.mark.parametrize("how", ["gradcam", "gradcam++"])
@pytest.mark.parametrize("name", ["pocket", "hog", "ronnet"])
def test_a_map_is_what_the_equations_say(name: str, how: Any) -> None:
    model, pixels = network(name), images()
    _, layer, side = find_layer(model, pixels[:1], None)
    labels = torch.tensor([0, 1, 2, 1, 0])
    maps = compute_maps(model, layer, pixels, labels, how)
    assert maps.shape == (5, 48, 48) and maps.min() >= 0 and maps.max() <= 1
    torch.testing.assert_close(compute_scores(model, pixels, batch=2), model(normalise_images(pixels)).detach())
    for image, label, heat_map in zip(pixels, labels.tolist(), maps, strict=True):
        expected = by_hand(model, layer, image, label, how == "gradcam++")
        assert expected.shape == (side, side)
        if expected.max() > 0:
            large = functional.interpolate(torch.from_numpy(expected)[None, None], 48, mode="bilinear")[0, 0].numpy()
            np.testing.assert_allclose(heat_map, (large - large.min()) / (large.max() - large.min()), atol=1e-4)


def test_saliency_is_the_change_of_the_score_with_a_pixel() -> None:
    model, pixels = network().double(), images(2)
    labels = torch.tensor([2, 0])
    gradients = compute_gradients(network(), pixels, labels)
    for row, label in enumerate(labels.tolist()):
        for y, x in ((10, 20), (24, 24), (40, 7)):
            scores = []
            for step in (-1e-5, 1e-5):
                image = normalise_images(pixels[row : row + 1]).double()
                image[0, 0, y, x] += step
                scores.append(float(model(image)[0, label].detach()))
            assert gradients[row, 0, y, x] == pytest.approx(abs(scores[1] - scores[0]) / 2e-5, rel=2e-3, abs=1e-5)


@pytest.mark.parametrize("how", ["gradcam", "gradcam++", "saliency"])
def test_a_batch_is_its_images_one_by_one(how: Any) -> None:
    model, pixels = network(channels=3), images(7, 3)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    _, layer, _ = find_layer(model, pixels[:1], None)
    together = compute_maps(model, layer, pixels, labels, how)
    parts = compute_maps(model, layer, pixels, labels, how, batch=3)
    alone = [compute_maps(model, layer, pixels[k : k + 1], labels[k : k + 1], how) for k in range(7)]
    np.testing.assert_allclose(together, parts, atol=2e-4)
    np.testing.assert_allclose(together, np.concatenate(alone), atol=2e-4)


LAYERS = [
    ("pocket", "stages.1", 6),
    ("hog", "fixed", 12),
    ("ronnet", "convolutions.7", 12),
    ("resnet18", "layer4", 6),
    ("vgg16", "convolutions.32", 6),
]


@pytest.mark.parametrize(("name", "layer", "side"), [*LAYERS, ("googlenet", "inception3b", 6)])
def test_the_default_layer_is_the_end_of_the_last_stage_fine_enough(name: str, layer: str, side: int) -> None:
    model = network(name)
    path, module, actual_side = find_layer(model, images(1), None)
    assert (path, actual_side) == (f"encoder.{layer}", side) and actual_side >= COARSEST and module is model.get_submodule(path)


LAST_LAYERS = [("pocket", "stages", 3), ("ronnet", "convolutions.7", 12), ("resnet18", "layer4", 6), ("vgg16", "convolutions.42", 3)]


@pytest.mark.parametrize(("name", "layer", "side"), [*LAST_LAYERS, ("googlenet", "inception5b", 2)])
def test_the_last_convolution_by_name(name: str, layer: str, side: int) -> None:
    model = network(name)
    assert find_layer(model, images(1), LAST) == (f"encoder.{layer}", model.get_submodule(f"encoder.{layer}"), side)


@pytest.mark.parametrize("encoder", ["pk", "vgg_face", "pocket"])
@pytest.mark.parametrize("mask", [False, True])
def test_the_last_convolution_of_ciao_is_its_masked_map(encoder: str, mask: bool) -> None:
    """Of a clip, each frame has its own map: its own activations, weighted by the gradients of the clip's output, which pools them."""
    torch.manual_seed(0)
    cut: Any = build_encoder(encoder, channels=1, size=48)
    model = Network(cut, Inhibition(cut) if mask else None, nn.Sequential(nn.Flatten(), nn.LazyLinear(3)))
    clips = torch.stack((images(4), images(4).flip(0), 255 - images(4)), 1)
    _freeze_network(model)(normalise_images(clips))
    name, layer, side = find_layer(model, clips[:1], LAST)
    assert name == "last_map" and side == 3
    outputs = torch.tensor([0, 1, 2, 1])
    maps = compute_maps(model, layer, clips, outputs, "gradcam++", batch=4)
    assert maps.shape == (4, 3, 48, 48)
    trunk = cut.compute_trunk(normalise_images(clips[2]))
    u = cut.compute_last_map(trunk)
    u = u if model.mask is None else u / (model.mask.a[:, None, None] + torch.relu(model.mask.convolution(trunk)))
    u = u.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model.head(u.mean(0, keepdim=True))[0, 2], u)
    for frame, (activation, slope) in enumerate(zip(u.detach().double(), gradient.double(), strict=True)):
        below = 2 * slope**2 + activation.sum((1, 2), keepdim=True) * slope**3 + 1e-6
        weights = (slope.clamp(min=0) * torch.where(slope != 0, slope**2 / below, 0.0)).sum((1, 2))
        expected = (weights[:, None, None] * activation).sum(0).clamp(min=0)
        if float(expected.max()) > 0:
            large = functional.interpolate(expected[None, None], 48, mode="bilinear")[0, 0].numpy()
            np.testing.assert_allclose(maps[2, frame], (large - large.min()) / (large.max() - large.min()), atol=1e-3)


def test_a_layer_by_its_name() -> None:
    model = network()
    assert find_layer(model, images(1), "stages.2.residual")[2] == find_layer(model, images(1), "encoder.stages.2")[2] == 3
    with pytest.raises(BadRequest, match=r"^unknown layer 'stage\.1'; did you mean stages\.1\? \(known: .*stages\.2\.residual\.0.*\)$"):
        find_layer(model, images(1), "stage.1")


def test_a_network_without_convolutions_has_no_map_but_saliency() -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(48 * 48, 3))
    with pytest.raises(BadRequest, match=r"^this network has no convolutions, which Grad-CAM needs; use --how saliency$"):
        find_layer(plain, images(1), None)
    assert compute_maps(plain, plain, images(), torch.zeros(5, dtype=torch.long), "saliency").shape == (5, 48, 48)
