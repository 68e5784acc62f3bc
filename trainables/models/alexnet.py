"""AlexNet (Krizhevsky 2014) with batch normalisation, which torchvision's lacks (Florea et al. 2019, section 4)."""

import torch
from torch import Tensor, nn

from trainables.models import encoder
from trainables.registry import BadRequest

_LAYERS = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
"""channels, kernel, stride and padding of each convolution"""
_POOLED = (0, 1, 4)
"""indices of the convolutions that a 3x3 max-pool at stride 2 follows"""
_SIDE = 6


@encoder("alexnet")
class AlexNet(nn.Module):
    """Float [n, channels, size, size], size 36 or more, to [n, 4096]; 57 M parameters at 224, 20 M at 48.

    The widths are torchvision's. The normalisation provides each convolution's bias. Only the fully connected part has dropout. Small
    images give a last map smaller than 6x6. It is not enlarged: that would repeat its values at the price of 36 times the weights.
    """

    features = 4096

    def __init__(self, channels: int, size: int, dropout: float = 0.5) -> None:
        if size < 36:
            raise BadRequest(f"alexnet: size must be 36 or more, not {size}")
        super().__init__()
        layers: list[nn.Module] = []
        side = size
        for number, (width, kernel, stride, padding) in enumerate(_LAYERS):
            layers += [nn.Conv2d(channels, width, kernel, stride, padding, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels, side = width, (side + 2 * padding - kernel) // stride + 1
            if number in _POOLED:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))  # at 224 nothing is rounded; at 48 a 2x2 map can still be pooled
                side = max(1, -(-(side - 3) // 2) + 1)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        self.convolutions = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(min(_SIDE, side))
        self.connected = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(channels * min(_SIDE, side) ** 2, self.features),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(self.features, self.features),
            nn.ReLU(inplace=True),
        )

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.connected(torch.flatten(self.pool(self.convolutions(images)), 1))
        return result
