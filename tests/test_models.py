"""Networks: the registry, the contract of every encoder, and ResNet-18 against torchvision's."""

import pytest
import torch
import torchvision
from torch import nn

from trainables import models
from trainables.models import build_encoder, encoders
from trainables.models.heads import Projection


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", encoders())
@pytest.mark.parametrize(("channels", "size"), [(1, 48), (3, 64)])
def test_contract(name: str, channels: int, size: int) -> None:
    """The shape is as promised, every parameter learns, evaluation treats each image alone, and the state dict restores the network."""
    torch.manual_seed(0)
    network = build_encoder(name, channels=channels, size=size)
    images = torch.randn(4, channels, size, size)
    features = network(images)
    assert features.shape == (4, network.features) and features.dtype == torch.float32 and features.isfinite().all()
    features.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())

    network.eval()
    with torch.no_grad():
        together, alone = network(images), torch.cat([network(image[None]) for image in images])
        torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)
        last = network(images.to(memory_format=torch.channels_last))
        torch.testing.assert_close(together, last, rtol=1e-3, atol=1e-4)
        torch.manual_seed(0)
        again = build_encoder(name, channels=channels, size=size).eval()
        again.load_state_dict(network.state_dict())
        assert torch.equal(again(images), together)


@pytest.mark.parametrize("name", encoders())
def test_flat_pixels_have_finite_gradients(name: str) -> None:
    """Saliency maps are gradients of the pixels. A rendered background or an overexposed cheek has many equal pixels."""
    network = build_encoder(name, channels=1, size=48).eval()
    images = torch.randn(2, 1, 48, 48)
    images[0, :, :24], images[1] = 1.0, -1.0
    images.requires_grad_()
    network(images).sum().backward()
    assert images.grad is not None and images.grad.isfinite().all() and images.grad[0].any()


@pytest.mark.parametrize("name", encoders())
def test_a_seed_gives_the_weights(name: str) -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return nn.utils.parameters_to_vector(build_encoder(name, channels=1, size=48).parameters())

    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))


def test_resnet18_with_the_imagenet_stem_is_torchvisions() -> None:
    reference = torchvision.models.resnet18(weights=None)
    network = build_encoder("resnet18", channels=3, size=64, stem="imagenet")
    assert network.load_state_dict(reference.state_dict(), strict=False).unexpected_keys == ["fc.weight", "fc.bias"]
    reference.fc = nn.Identity()
    images = torch.randn(3, 3, 64, 64)
    assert torch.equal(network(images), reference(images))  # in training mode, so with batch statistics
    assert torch.equal(network.eval()(images), reference.eval()(images))


@pytest.mark.parametrize(("channels", "stem", "first"), [(1, "cifar", 9), (3, "cifar", 27), (1, "imagenet", 49), (3, "imagenet", 147)])
def test_resnet18_differs_from_torchvisions_by_stem_and_classifier_only(channels: int, stem: str, first: int) -> None:
    reference = parameters(torchvision.models.resnet18(weights=None))
    assert parameters(build_encoder("resnet18", channels=channels, size=48, stem=stem)) == reference - 513 * 1000 - 147 * 64 + first * 64


@pytest.mark.parametrize(("stem", "side"), [("cifar", 6), ("imagenet", 2)])
def test_resnet18_stems_keep_the_resolution_they_promise(stem: str, side: int) -> None:
    network = build_encoder("resnet18", channels=1, size=48, stem=stem)
    sides = []
    network.get_submodule("layer4").register_forward_hook(lambda module, inputs, output: sides.append(tuple(output.shape[2:])))
    network(torch.randn(2, 1, 48, 48))
    assert sides == [(side, side)]


def test_resnet18_stem_is_initialised_as_torchvision_does() -> None:
    """The weights are normal with variance 2 / fan-out. nn.Conv2d alone would draw uniformly, with the fan-in as scale."""
    weight = build_encoder("resnet18", channels=1, size=48).get_parameter("conv1.weight")
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.15)
    assert weight.abs().max() > 2.2 * weight.std()


@pytest.mark.parametrize("size", [32, 33, 48, 64, 96])
def test_pocket_takes_any_size_from_32(size: int) -> None:
    network = build_encoder("pocket", channels=1, size=size)
    assert network(torch.randn(2, 1, size, size)).shape == (2, network.features)
    assert parameters(network) < 500_000


def test_projection_is_the_texts() -> None:
    projection = Projection(512)
    assert projection(torch.randn(5, 512)).shape == (5, 128)
    assert parameters(projection) == 513 * 512 + 513 * 128


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet81", {}, r"unknown encoder 'resnet81'; did you mean resnet18\? \(known: .*pocket.*resnet18"),
        ("nothing like it", {}, r"unknown encoder 'nothing like it' \(known: "),
        ("resnet18", {"stm": "cifar"}, r"unknown setting of resnet18 'stm'; did you mean stem\? \(known: stem\)"),
        ("resnet18", {"stem": "vgg"}, "stem must be cifar or imagenet, not 'vgg'"),
    ],
)
def test_what_is_unknown_is_named_in_one_line(name: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build_encoder(name, channels=1, size=48, **settings)
    assert "\n" not in str(caught.value)


def test_pocket_refuses_a_size_too_small() -> None:
    with pytest.raises(ValueError, match="pocket: size must be 32 or more, not 16"):
        build_encoder("pocket", channels=1, size=16)


def test_a_name_is_taken_once() -> None:
    encoders()
    with pytest.raises(ValueError, match="two encoders are called pocket"):
        models.encoder("pocket")(nn.Identity)
