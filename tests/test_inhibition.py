"""The inhibition mask stays finite under any training and starts as the last convolution. A divisible encoder equals its parts."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trainables.losses import ciao_loss
from trainables.models import build_encoder, encoders
from trainables.models.convolutional import Convolutional
from trainables.models.inhibition import LEAST, START, Inhibition

LARGEST = torch.finfo(torch.float32).max
finite = st.floats(-LARGEST, LARGEST, width=32)
CUT = sorted(name for name, kind in encoders().items() if issubclass(kind, Convolutional))
assert {"pk", "pocket", "resnet18", "vgg_face"} <= set(CUT)


def encoder(name: str = "pk", **settings: float) -> Convolutional:
    torch.manual_seed(0)
    small = {"width": 1 / 16} if "width" in inspect.signature(encoders()[name]).parameters else {}
    network = build_encoder(name, channels=1, size=32, **small | settings)
    assert isinstance(network, Convolutional)
    return network


@given(
    lr=st.floats(0, 1e37),  # a larger rate overflows float32 in Adam
    adam=st.booleans(),
    momentum=st.sampled_from([0.0, 0.9]),
    values=st.lists(st.tuples(finite, st.floats(0, LARGEST, width=32)), min_size=1, max_size=8),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_after_training_at_any_rate_a_is_positive_and_the_mask_is_finite(lr, adam, momentum, values, seed) -> None:
    """A tiny layer makes three steps on its own contrastive loss. Then u and I take any size."""
    torch.manual_seed(seed)
    mask = Inhibition(encoder())
    optimiser = torch.optim.Adam(mask.parameters(), lr=lr) if adam else torch.optim.SGD(mask.parameters(), lr=lr, momentum=momentum)
    last, labels = encoder().last_convolution, torch.tensor([0, 0, 1, 1])
    for _ in range(3):
        inputs = torch.rand(4, last.in_channels, 4, 4)
        loss, _ = ciao_loss(mask(torch.relu(last(inputs)).detach(), inputs).flatten(1), labels, 0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (mask.a > 0).all() and (mask.a >= LEAST).all()
    u, inhibition = (torch.tensor(column).reshape(-1, 1, 1, 1).expand(-1, last.out_channels, 1, 1) for column in zip(*values, strict=True))
    assert mask.inhibit_map(u, inhibition).isfinite().all()


@pytest.mark.parametrize("raw", [-1e30, -math.inf, math.inf, math.nan, 0.0])
def test_a_is_positive_whatever_its_parameter_became(raw: float) -> None:
    mask = Inhibition(encoder())
    with torch.no_grad():
        mask.raw.fill_(raw)
    assert (mask.a >= LEAST).all()
    u = torch.full((1, len(mask.raw), 1, 1), LARGEST)
    assert mask.inhibit_map(u, torch.zeros_like(u)).isfinite().all() and mask.inhibit_map(u, u).isfinite().all()


@pytest.mark.parametrize("name", CUT)
def test_it_begins_as_the_last_convolution(name: str) -> None:
    """The output is u / (a + I) with a = .5 and I the ReLU of the last convolution with its normalisation in evaluation mode."""
    network = encoder(name).train()
    for _ in range(2):
        network(torch.randn(8, 1, 32, 32))  # changes the running statistics from their initial values
    network.eval()
    mask = Inhibition(network)
    assert mask.a.tolist() == pytest.approx([START] * len(mask.a))
    with torch.no_grad():
        before = network.compute_trunk(torch.randn(3, 1, 32, 32))
        convolved = network.last_convolution(network.get_last_input(before))
        expected = torch.relu(network.last_normalisation(convolved) if network.last_normalisation else convolved)
        u = network.compute_last_map(before)
        torch.testing.assert_close(mask(u, network.get_last_input(before)), u / (START + expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CUT)
def test_an_encoder_is_its_parts(name: str) -> None:
    """In evaluation mode the encoder is trunk, last map, pooling. The last convolution is the only one after the trunk."""
    network = encoder(name).eval()
    images = torch.randn(4, 1, 32, 32)
    called: list[str] = []
    for layer, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_, layer=layer: called.append(layer))
    with torch.no_grad():
        whole = network(images)
        before = network.compute_trunk(images)
        called.clear()
        maps = network.compute_last_map(before)
    assert len(called) == 1 and network.get_submodule(called[0]) is network.last_convolution
    published = {"pk": nn.Identity(), "vgg_face": nn.MaxPool2d(2)}
    pooled = published[name](maps).flatten(1) if name in published else network.pool_maps(maps)
    torch.testing.assert_close(pooled, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "features", "convolutions"),
    [("vgg_face", 4608, 14_714_688), ("pk", 18_432, 4_306_560 + 64 + 128 + 256 + 512 - 64 - 128 - 256 - 512)],
)
def test_at_96_the_encoders_are_the_texts(name: str, features: int, convolutions: int) -> None:
    """Barros & Sciutti 2022, section III.A: maps of 6x6x512, pooled to 4,608 (VGG) or flattened to 18,432 (PK). PK's count has biases."""
    with torch.device("meta"):
        network = build_encoder(name, channels=3, size=96)
        assert network.compute_last_map(network.compute_trunk(torch.empty(1, 3, 96, 96))).shape == (1, 512, 6, 6)
    assert network.features == features
    assert sum(parameter.numel() for parameter in network.parameters()) == convolutions


@pytest.mark.parametrize(("name", "parameters"), [("vgg_face", 2_360_320), ("pk", 3_277_824)])
def test_the_mask_has_as_many_parameters_as_published(name: str, parameters: int) -> None:
    """As in the authors' published code, the parameters are a convolution with its biases, and a."""
    assert sum(parameter.numel() for parameter in Inhibition(build_encoder(name, channels=3, size=96)).parameters()) == parameters
