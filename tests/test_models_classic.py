"""AlexNet and VGG-16 against torchvision's: the same widths, batch-normalised, with a connected part no larger than small faces need."""

import pytest
import torch
import torchvision
from torch import nn

from trainables.models import build_encoder
from trainables.registry import BadRequest

REFERENCES = {"alexnet": torchvision.models.alexnet, "vgg16": torchvision.models.vgg16_bn}


def on_paper(name: str, channels: int, size: int) -> nn.Module:
    """Return the network on the meta device: shapes only, no memory."""
    with torch.device("meta"):
        return build_encoder(name, channels=channels, size=size)


@pytest.mark.parametrize("name", REFERENCES)
def test_at_224_its_weights_are_torchvisions_but_for_the_last_layer(name: str) -> None:
    with torch.device("meta"):
        reference = REFERENCES[name](num_classes=7)
    kinds = nn.Conv2d | nn.Linear
    expected = [tuple(module.weight.shape) for module in reference.modules() if isinstance(module, kinds)][:-1]
    network = on_paper(name, 3, 224)
    assert [tuple(module.weight.shape) for module in network.modules() if isinstance(module, kinds)] == expected
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len([module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]) == len(convolutions)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize(("size", "channels"), [(36, 1), (37, 3), (48, 1), (64, 3), (96, 1), (224, 3), (256, 1)])
def test_small_and_odd_sizes_will_do(name: str, size: int, channels: int) -> None:
    network = on_paper(name, channels, size)
    assert network(torch.empty(2, channels, size, size, device="meta")).shape == (2, 4096) and network.features == 4096


@pytest.mark.parametrize("name", REFERENCES)
def test_the_last_map_is_not_stretched(name: str) -> None:
    shapes = []
    network = on_paper(name, 1, 48)
    network.pool.register_forward_hook(lambda module, inputs, output: shapes.append((inputs[0].shape, output.shape)))
    network(torch.empty(2, 1, 48, 48, device="meta"))
    assert shapes[0][0] == shapes[0][1]


@pytest.mark.parametrize("name", REFERENCES)
def test_dropout_is_in_the_connected_part_only(name: str) -> None:
    network = on_paper(name, 1, 48)
    assert sum(isinstance(module, nn.Dropout) for module in network.connected) == 2
    assert not any(isinstance(module, nn.Dropout) for module in network.convolutions)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_size_too_small_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match=f"^{name}: size must be 3. or more, not 16$"):
        on_paper(name, 1, 16)
