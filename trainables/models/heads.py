"""Heads on an encoder. A linear classifier is a plain `torch.nn.Linear(encoder.features, classes)`."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from trainables.registry import BadRequest


class Projection(nn.Module):
    """The contrastive head (Chen et al. 2020, section 2.1): [n, features] to [n, out], one hidden layer; the losses normalise."""

    def __init__(self, features: int, hidden: int = 512, out: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out))

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.layers(features)
        return result


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "elu": nn.ELU, "tanh": nn.Tanh}
COPIES = 4
"""copies of a weight in a training: the weight, its gradient, the optimiser's two moments"""


@dataclass(frozen=True)
class Decision:
    """The description of a decision layer, as searches choose it; the default is the one published for FER2013 and VGG."""

    pool: bool = True
    """max-pool the map 2x2 before it is flattened"""
    layers: int = 1
    """number of dense layers; 0: linear on the map"""
    units: int | tuple[int, ...] = 64
    """units of each dense layer, or a list with those of each; a search calls them units.1, units.2 ..."""
    dropout: float = 0.5
    """dropout after each dense layer"""
    activation: Literal["relu", "elu", "tanh"] = "relu"

    def build_head(self, shape: tuple[int, int, int], outputs: int) -> nn.Sequential:
        """Return a freshly initialised head: [n, channels, height, width] of that `shape` to [n, outputs].

        BadRequest for an invalid description, and for weights that need more memory than is free.
        """
        units_by_layer = (self.units,) * self.layers if isinstance(self.units, int) else self.units
        if len(units_by_layer) != max(self.layers, 0):
            raise BadRequest(f"head: {self}: {len(units_by_layer)} units for {self.layers} layers; give one number, or one for each layer")
        if self.layers < 0 or min(units_by_layer, default=1) < 1 or not 0 <= self.dropout < 1 or self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise BadRequest(f"head: {self}: layers must be 0 or more, units 1 or more, dropout in [0, 1), activation one of {known}")
        channels, height, width = shape
        pooled = self.pool and min(height, width) > 1
        features = channels * (height // 2) * (width // 2) if pooled else channels * height * width
        widths = (features, *units_by_layer, outputs)
        weights = sum(inputs * units for inputs, units in pairwise(widths))
        if (need := COPIES * 4 * weights) > (free := free_memory()):
            sizes = " - ".join(f"{units:,}" for units in widths)
            raise BadRequest(f"head: layers of {sizes} units train in {need / 2**30:,.0f} GB, and {free / 2**30:,.1f} GB are free")
        modules: list[nn.Module] = [nn.MaxPool2d(2)] if pooled else []
        modules.append(nn.Flatten())
        for inputs, units in pairwise(widths[:-1]):
            modules += [nn.Linear(inputs, units), ACTIVATIONS[self.activation](), nn.Dropout(self.dropout)]
        return nn.Sequential(*modules, nn.Linear(widths[-2], outputs))


def free_memory() -> int:
    """Return free bytes: the GPU's if there is one, otherwise the machine's, including what the kernel would reclaim."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    info = Path("/proc/meminfo")
    match = re.search(r"MemAvailable:\s+(\d+) kB", info.read_text()) if info.exists() else None
    return int(match[1]) * 1024 if match else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
