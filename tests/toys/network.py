"""A network of two convolutions and a mean over the last map."""

import torch
from torch import Tensor, nn

from trainables.models import encoder
from trainables.models.convolutional import Convolutional


@encoder("toy_network")
class ToyNetwork(Convolutional):
    """Map float images [n, channels, size, size] to features [n, 16]."""

    features = 16

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 8, 5, stride=4, padding=2)
        self.last = nn.Conv2d(8, self.features, 3, padding=1)

    def compute_trunk(self, images: Tensor) -> Tensor:
        return torch.relu(self.first(images))

    def compute_last_map(self, before: Tensor) -> Tensor:
        return torch.relu(self.last(before))

    @property
    def last_convolution(self) -> nn.Conv2d:
        return self.last

    def forward(self, images: Tensor) -> Tensor:
        return self.pool_maps(self.compute_last_map(self.compute_trunk(images)))
