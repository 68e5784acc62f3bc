"""Inhibition: CIAO's mask on the last convolution of a convolutional encoder (Barros & Sciutti 2022, equation 1)."""

import math

import torch
from torch import Tensor, nn

from trainables.models.convolutional import Convolutional

START = 0.5
"""initial value of a, as in the published code"""
LEAST = 1e-3
"""lower bound of a"""


class Inhibition(nn.Module):
    """M = u / (a + I), where I is a convolution beside the last one, and a has one value per unit (channel).

    I starts as the last convolution with its normalisation folded in, so M starts as u / (a + u) if u is that convolution's ReLU. a is
    `LEAST` + softplus(raw). No step of any length brings a to 0: softplus is never negative, and NaN in raw counts as the initial
    value. So a + I > 0 for every I = ReLU(...). M is clamped to the range of float32: a tiny a under a huge u gives no infinity.
    """

    def __init__(self, encoder: Convolutional) -> None:
        super().__init__()
        last, norm = encoder.last_convolution, encoder.last_normalisation
        self.convolution = nn.Conv2d(
            last.in_channels, last.out_channels, last.kernel_size, last.stride, last.padding  # type: ignore[arg-type]
        )  # fmt: skip
        self.raw = nn.Parameter(torch.full((last.out_channels,), math.log(math.expm1(START - LEAST))))
        self.copy_(last, norm)

    @torch.no_grad()
    def copy_(self, last: nn.Conv2d, norm: nn.BatchNorm2d | None) -> None:
        """Take over the weights of a convolution, with its normalisation folded in as in evaluation mode."""
        weight, bias = last.weight.clone(), torch.zeros(last.out_channels, device=last.weight.device)
        if last.bias is not None:
            bias += last.bias
        if norm is not None:
            assert norm.running_var is not None and norm.running_mean is not None
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            weight *= scale[:, None, None, None]
            bias = (bias - norm.running_mean) * scale + norm.bias
        self.convolution.weight.copy_(weight)
        assert self.convolution.bias is not None
        self.convolution.bias.copy_(bias)

    @property
    def a(self) -> Tensor:
        """Return a, float32 [units], each at least `LEAST`."""
        initial = math.log(math.expm1(START - LEAST))
        return LEAST + nn.functional.softplus(torch.nan_to_num(self.raw, nan=initial))

    def inhibit_map(self, u: Tensor, inhibition: Tensor) -> Tensor:
        """Return the masked map of u and I >= 0, both [n, units, h, w]."""
        limit = torch.finfo(torch.float32).max
        return (u.float() / (self.a[:, None, None] + inhibition.float())).clamp(-limit, limit)

    def forward(self, u: Tensor, fed: Tensor) -> Tensor:
        """Return the masked map [n, units, h, w] of the last convolution's map u and of its input `fed`."""
        return self.inhibit_map(u, torch.relu(self.convolution(fed)))
