"""The parts of an adversarial autoencoder besides its encoder: code, decoder, discriminators (Barros, Parisi, Wermter 2019)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

CODE = 50
"""units of the code, as in the published source code"""


class Code(nn.Module):
    """Features [n, features] to a code [n, 50] in [-1, 1]."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(features, CODE)

    def forward(self, features: Tensor) -> Tensor:
        return torch.tanh(self.layer(features))


class Decoder(nn.Module):
    """A code [n, 50] to images [n, channels, size, size] in [-1, 1]: a dense layer, then 5x5 transposed convolutions that double the side.

    The units are 1024-512-256-128-64, multiplied by `width`. The smallest map has a sixteenth of the side.
    """

    def __init__(self, channels: int, size: int, width: float = 1.0) -> None:
        super().__init__()
        self.side, self.size = -(-size // 16), size
        widths = [max(4, round(units * width)) for units in (1024, 512, 256, 128, 64)]
        self.units = widths[0]
        self.dense = nn.Linear(CODE, self.units * self.side**2)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1)]
        self.layers = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(widths[-1], channels, 5, padding=2))

    def forward(self, code: Tensor) -> Tensor:
        images = self.layers(self.dense(code).unflatten(1, (self.units, self.side, self.side)))
        return torch.tanh(images[..., : self.size, : self.size])


class CodeDiscriminator(nn.Sequential):
    """Codes [n, 50] to [n, outputs], by dense layers of `widths` units."""

    def __init__(self, outputs: int, *widths: int) -> None:
        layers: list[nn.Module] = []
        for inputs, units in pairwise((CODE, *widths)):
            layers += [nn.Linear(inputs, units), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Linear(widths[-1], outputs))


class ImageDiscriminator(nn.Module):
    """Images [n, channels, size, size] to [n, outputs]: four 5x5 convolutions at stride 2 of 16 to 128 units, then a dense layer."""

    def __init__(self, channels: int, outputs: int, width: float = 1.0) -> None:
        super().__init__()
        widths = [channels, *(max(4, round(units * width)) for units in (16, 32, 64, 128))]
        layers: list[nn.Module] = []
        for inputs, units in pairwise(widths):
            layers += [nn.Conv2d(inputs, units, 5, stride=2, padding=2), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.answer = nn.Linear(widths[-1], outputs)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.answer(self.layers(images).mean(dim=(2, 3)))
        return result
