"""ResNet-18 (He et al. 2016) for small faces: torchvision's network with a selectable stem and no classifier."""

from typing import cast

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from trainables.models import encoder
from trainables.models.convolutional import Convolutional
from trainables.registry import BadRequest


@encoder("resnet18")
class ResNet18(ResNet, Convolutional):
    """Float [n, channels, size, size] to [n, 512]; 11.2 M parameters, with torchvision's names.

    `stem`: "cifar" is a 3x3 convolution at stride 1 without pooling, as contrastive recipes use for small images. "imagenet" is
    torchvision's 7x7 at stride 2 and a max-pool, about 13 times cheaper at 48x48.
    """

    features = 512
    conv1: nn.Conv2d
    bn1: nn.BatchNorm2d
    maxpool: nn.Module
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, channels: int, size: int, stem: str = "cifar") -> None:
        if stem not in ("cifar", "imagenet"):
            raise BadRequest(f"resnet18: stem must be cifar or imagenet, not {stem!r}")
        super().__init__(BasicBlock, [2, 2, 2, 2])
        if stem == "cifar":
            self.conv1 = nn.Conv2d(channels, 64, 3, stride=1, padding=1, bias=False)
            self.maxpool = nn.Identity()
        else:
            self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.fc = nn.Identity()

    def compute_trunk(self, images: Tensor) -> Tensor:
        """Return the last convolution's input and, concatenated by channel, its block's input, which is added to its output."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(images))))
        block_input = self.layer4[0](self.layer3(self.layer2(self.layer1(x))))
        return torch.cat((torch.relu(self._end.bn1(self._end.conv1(block_input))), block_input), dim=1)

    def compute_last_map(self, before: Tensor) -> Tensor:
        last_input, block_input = before.chunk(2, dim=1)
        return torch.relu(self._end.bn2(self._end.conv2(last_input)) + block_input)

    def get_last_input(self, before: Tensor) -> Tensor:
        return before.chunk(2, dim=1)[0]

    @property
    def last_convolution(self) -> nn.Conv2d:
        result: nn.Conv2d = self._end.conv2
        return result

    @property
    def last_normalisation(self) -> nn.BatchNorm2d:
        return cast(nn.BatchNorm2d, self._end.bn2)

    @property
    def _end(self) -> BasicBlock:
        return cast(BasicBlock, self.layer4[1])
