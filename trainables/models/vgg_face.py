"""VGG-16 as face recognition uses it (Parkhi et al. 2015), cut at conv5_3 (Barros & Sciutti 2022, section III.A)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from trainables.models import encoder
from trainables.models.convolutional import Convolutional
from trainables.registry import BadRequest

_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


@encoder("vgg_face")
class VGGFace(Convolutional):
    """Float [n, channels, size, size], size 32 or more, to the pooled last map; 14.7 M parameters, 4,608 features at 96.

    Convolutions have biases and no normalisation; a 2x2 max-pool stands between blocks. `features` are the last map, max-pooled 2x2 and
    flattened: 512 x 3 x 3 at 96. `width` multiplies the published channels, for smaller scales.
    """

    def __init__(self, channels: int, size: int, width: float = 1.0) -> None:
        if size < 32:
            raise BadRequest(f"vgg_face: size must be 32 or more, not {size}")
        if not 1 / 64 <= width <= 1:
            raise BadRequest(f"vgg_face: width must lie between 1/64 and 1, not {width}")
        super().__init__()
        widths = [channels, *(round(units * width) for block in _BLOCKS for units in block)]
        ends = {sum(len(block) for block in _BLOCKS[: k + 1]) for k in range(len(_BLOCKS) - 1)}
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(pairwise(widths), 1):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            if number in ends:
                layers.append(nn.MaxPool2d(2))
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.layers = nn.Sequential(*layers)
        self.pool = nn.MaxPool2d(2)
        self.features = widths[-1] * (size // 32) ** 2

    def compute_trunk(self, images: Tensor) -> Tensor:
        result: Tensor = self.layers[:-2](images)
        return result

    def compute_last_map(self, before: Tensor) -> Tensor:
        return torch.relu(self.last_convolution(before))

    @property
    def last_convolution(self) -> nn.Conv2d:
        return self.layers[-2]  # type: ignore[return-value]

    def pool_maps(self, maps: Tensor) -> Tensor:
        result: Tensor = self.pool(maps).flatten(1)
        return result

    def forward(self, images: Tensor) -> Tensor:
        return self.pool_maps(self.layers(images))
