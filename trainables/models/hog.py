"""The HOG network: histograms of oriented gradients, which are fixed, then two learned convolutions. It learns from few images."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.models import encoder
from trainables.models.convolutional import Convolutional
from trainables.registry import BadRequest

ORIENTATIONS = 8
CELL = 4
"""pixels a side of a cell"""
NOISE = 0.05
"""the gradient, in units of [-1, 1] a pixel, below which a cell is flat"""
CHUNK = 32
"""images at a time: what lies between the pixels and the cells then fits a core's cache"""


class OrientedGradients(nn.Module):
    """Float [n, channels, size, size] to histograms float32 [n, 8, cells, cells] (Dalal & Triggs 2005), without parameters.

    A gradient counts in the two signed orientations next to its own. A cell's histogram is the mean over its pixels, divided by the
    root mean square of the histograms in the 3 x 3 cells around it. Lighting and skin tone go, edges stay.
    """

    cells: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        cells = size // CELL
        of_pixel = torch.arange(size) * cells // size
        members = nn.functional.one_hot(of_pixel, cells).float().T
        self.register_buffer("cells", members / members.sum(1, keepdim=True), persistent=False)

    def extra_repr(self) -> str:
        cells, size = self.cells.shape
        return f"size={size}, cells={cells}, orientations={ORIENTATIONS}, noise={NOISE}"

    def forward(self, images: Tensor) -> Tensor:
        if torch.compiler.is_exporting():  # a graph for any number of images has no chunks
            return self._compute_histograms(images)
        with torch.autocast(images.device.type, enabled=False):
            parts = [self._compute_histograms(chunk) for chunk in images.float().split(CHUNK)]
            return torch.cat(parts).contiguous(memory_format=torch.channels_last)

    def _compute_histograms(self, images: Tensor) -> Tensor:
        grey = images.mean(1) if images.shape[1] > 1 else images[:, 0]
        padded = functional.pad(grey[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
        right, down = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2], padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
        # a flat region gives 0, where sqrt has no gradient for saliency maps
        least = -math.cos(2 * math.pi / ORIENTATIONS) * (right.square() + down.square()).clamp_(min=1e-12).sqrt_()
        histograms = []
        for turn in range(ORIENTATIONS):
            angle = 2 * math.pi * turn / ORIENTATIONS
            along = least.add(right, alpha=math.cos(angle)).add_(down, alpha=math.sin(angle)).relu_()
            histograms.append(self.cells @ (along @ self.cells.T))
        cells = torch.stack(histograms, dim=1)
        energy = functional.avg_pool2d(cells.square().sum(1, keepdim=True), 3, 1, 1, count_include_pad=False)
        return cells / (energy.clamp(min=1e-12).sqrt() + NOISE)


class _Learned(nn.Module):
    """Two convolutions with batch normalisation: of windows of 6 x 6 cells, 3 apart, and of 3 x 3 windows. The last map is flattened."""

    def __init__(self, widths: tuple[int, int]) -> None:
        super().__init__()
        self.first = _make_convolution(ORIENTATIONS, widths[0], 6, stride=3, padding=2)
        self.last = _make_convolution(widths[0], widths[1], 3, stride=1, padding=0)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.last(torch.relu(self.first(maps)))).flatten(1)


def _make_convolution(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


@encoder("hog")
class HOG(Convolutional):
    """Float [n, channels, size, size], size 32 or more, to [n, features]: 64 channels of 2 x 2 at size 48, so 256 features.

    28 thousand parameters. The fixed layer is computed once for each image of a fixed pool (see fixed_layers.py).
    """

    def __init__(self, channels: int, size: int, first: int = 32, last: int = 64) -> None:
        if size < 32:
            raise BadRequest(f"hog: size must be 32 or more, not {size}")
        super().__init__()
        self.fixed = OrientedGradients(size)
        self.learned = _Learned((first, last))
        side = (size // CELL - 2) // 3 - 1
        self.features = last * side * side

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.learned(self.fixed(images))
        return result

    def compute_trunk(self, images: Tensor) -> Tensor:
        return torch.relu(self.learned.first(self.fixed(images)))

    def compute_last_map(self, before: Tensor) -> Tensor:
        return torch.relu(self.learned.last(before))

    def pool_maps(self, maps: Tensor) -> Tensor:
        return maps.flatten(1)

    @property
    def last_convolution(self) -> nn.Conv2d:
        return self.learned.last[0]  # type: ignore[return-value]

    @property
    def last_normalisation(self) -> nn.BatchNorm2d:
        return self.learned.last[1]  # type: ignore[return-value]
