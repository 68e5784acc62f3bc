"""What sits on an encoder. A linear classifier is `torch.nn.Linear(encoder.features, classes)` as it comes."""

from torch import Tensor, nn


class Projection(nn.Module):
    """The contrastive head (Chen et al. 2020, section 2.1): [n, features] to [n, out], one hidden layer; the losses normalise."""

    def __init__(self, features: int, hidden: int = 512, out: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)
