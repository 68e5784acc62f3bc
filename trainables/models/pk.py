"""PK: the prior-knowledge encoder, four strided convolutions (Barros, Parisi, Wermter 2019; Barros & Sciutti 2022, section III.A)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from trainables.models import encoder
from trainables.models.convolutional import Convolutional
from trainables.registry import BadRequest

_WIDTHS = (64, 128, 256, 512)


@encoder("pk")
class PK(Convolutional):
    """Float [n, channels, size, size] to the flattened last map: 18,432 features at 96; 4.3 M parameters.

    5x5 convolutions at stride 2 with ReLUs, 64-128-256-512. `width` multiplies the published channels, for smaller scales.
    """

    def __init__(self, channels: int, size: int, width: float = 1.0) -> None:
        if size < 2 ** len(_WIDTHS):
            raise BadRequest(f"pk: size must be 16 or more, not {size}")
        if not 1 / 64 <= width <= 1:
            raise BadRequest(f"pk: width must lie between 1/64 and 1, not {width}")
        super().__init__()
        widths = [channels, *(round(units * width) for units in _WIDTHS)]
        self.convolutions = nn.ModuleList(nn.Conv2d(*pair, 5, stride=2, padding=2) for pair in pairwise(widths))
        for layer in self.convolutions:
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        side = -(-size // 2 ** len(_WIDTHS))
        self.features = widths[-1] * side**2

    def compute_trunk(self, images: Tensor) -> Tensor:
        for convolution in self.convolutions[:-1]:
            images = torch.relu(convolution(images))
        return images

    def compute_last_map(self, before: Tensor) -> Tensor:
        return torch.relu(self.last_convolution(before))

    @property
    def last_convolution(self) -> nn.Conv2d:
        return self.convolutions[-1]  # type: ignore[return-value]

    def pool_maps(self, maps: Tensor) -> Tensor:
        return maps.flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.pool_maps(self.compute_last_map(self.compute_trunk(images)))
