"""GoogLeNet (Szegedy et al. 2015): torchvision's, with batch normalisation, without auxiliary classifiers and last layer."""

from torch import nn
from torchvision.models.googlenet import BasicConv2d
from torchvision.models.googlenet import GoogLeNet as Network

from trainables.models import encoder
from trainables.registry import BadRequest


@encoder("googlenet")
class GoogLeNet(Network):
    """Float [n, channels, size, size], size 32 or more, to [n, 1024]; 5.6 M parameters, with torchvision's names."""

    features = 1024

    def __init__(self, channels: int, size: int, dropout: float = 0.2) -> None:
        if size < 32:
            raise BadRequest(f"googlenet: size must be 32 or more, not {size}")
        super().__init__(aux_logits=False, init_weights=True, dropout=dropout)
        if channels != 3:
            self.conv1 = BasicConv2d(channels, 64, kernel_size=7, stride=2, padding=3)
            nn.init.trunc_normal_(self.conv1.conv.weight, std=0.01, a=-2, b=2)
        self.fc = nn.Identity()
