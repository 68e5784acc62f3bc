"""VGG-16 (Simonyan & Zisserman 2015) with batch normalisation (Florea et al. 2019, section 4)."""

import torch
from torch import Tensor, nn

from trainables.models import encoder
from trainables.registry import BadRequest

_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""channels of the 3x3 convolutions; a 2x2 max-pool ends each block"""
_SIDE = 7


@encoder("vgg16")
class VGG16(nn.Module):
    """Float [n, channels, size, size], size 32 or more, to [n, 4096]; 134 M parameters at 224, 34 M at 48.

    Widths and initialisation are torchvision's vgg16_bn's. The normalisation provides each convolution's bias. Small images give a last
    map smaller than 7x7 (1x1 at 48). It is not enlarged: that would repeat its values at the price of 49 times the weights.
    """

    features = 4096

    def __init__(self, channels: int, size: int, dropout: float = 0.5) -> None:
        if size < 2 ** len(_BLOCKS):
            raise BadRequest(f"vgg16: size must be 32 or more, not {size}")
        super().__init__()
        layers: list[nn.Module] = []
        for block in _BLOCKS:
            for width in block:
                layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        side = min(_SIDE, size // 2 ** len(_BLOCKS))
        self.convolutions = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(side)
        self.connected = nn.Sequential(
            nn.Linear(channels * side**2, self.features),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(self.features, self.features),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.connected(torch.flatten(self.pool(self.convolutions(images)), 1))
        return result
