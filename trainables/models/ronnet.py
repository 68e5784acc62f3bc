"""RonNet: three convolutions and two dense layers (Breuer & Kimmel 2017; Goghberg, Elimelech, Hait 2019)."""

import torch
from torch import Tensor, nn

from trainables.models import encoder
from trainables.registry import BadRequest


@encoder("ronnet")
class RonNet(nn.Module):
    """Float [n, channels, size, size], size 8 or more, to [n, 512]; 5.7 M parameters at 48, 20 M at 96.

    Each convolution is 5x5, keeps the side, and is followed by ReLU and a 2x2 max-pool. The second dense layer is the classifier. The
    last dropout precedes it and so ends this part.
    """

    features = 512

    def __init__(
        self, channels: int, size: int, widths: tuple[int, int, int] = (64, 128, 256), dropout: tuple[float, float] = (0.25, 0.5)
    ) -> None:
        if size < 8:
            raise BadRequest(f"ronnet: size must be 8 or more, not {size}")
        super().__init__()
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Conv2d(channels, width, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            channels = width
        self.convolutions = nn.Sequential(*layers)
        self.connected = nn.Sequential(
            nn.Dropout(dropout[0]),
            nn.Linear(channels * (size // 8) ** 2, self.features),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout[1]),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):  # Keras' initialisation: the paper's network was written in Keras
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.connected(torch.flatten(self.convolutions(images), 1))
        return result
