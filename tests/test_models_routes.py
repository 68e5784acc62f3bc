"""RonNet's layers against their known values, and GoogLeNet against torchvision's."""

import pytest
import torch
import torchvision
from torch import nn

from trainables.models import build_encoder
from trainables.registry import BadRequest


@pytest.mark.parametrize(
    ("size", "channels", "classes", "millions"), [(48, 1, 8, 5.75), (64, 1, 8, 9.42), (96, 3, 8, 19.9), (224, 3, 8, 103.8)]
)
def test_ronnet_has_three_convolutions_and_as_many_parameters_as_known(size: int, channels: int, classes: int, millions: float) -> None:
    with torch.device("meta"):
        network = build_encoder("ronnet", channels=channels, size=size)
        head = nn.Linear(network.features, classes)
        assert network(torch.empty(2, channels, size, size)).shape == (2, 512)
    kernels = [tuple(module.weight.shape) for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert kernels == [(64, channels, 5, 5), (128, 64, 5, 5), (256, 128, 5, 5)]
    assert [module.p for module in network.modules() if isinstance(module, nn.Dropout)] == [0.25, 0.5]
    count = sum(parameter.numel() for part in (network, head) for parameter in part.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.06)


def test_googlenet_is_torchvisions() -> None:
    reference = torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=True)
    network = build_encoder("googlenet", channels=3, size=64)
    assert network.load_state_dict(reference.state_dict(), strict=False).unexpected_keys == ["fc.weight", "fc.bias"]
    reference.fc = nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(network.eval()(images), reference.eval()(images))


@pytest.mark.parametrize(("name", "size"), [("ronnet", 7), ("googlenet", 31)])
def test_a_size_too_small_is_refused(name: str, size: int) -> None:
    with pytest.raises(BadRequest, match=rf"^{name}: size must be \d+ or more, not {size}$"):
        build_encoder(name, channels=1, size=size)
