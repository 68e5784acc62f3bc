"""Convolutional: an encoder that can be cut at its last convolution, so that the part before it can be frozen, cached or masked."""

from abc import abstractmethod

from torch import Tensor, nn


class Convolutional(nn.Module):
    """trunk -> last -> map. `forward` uses the same parts and returns [n, features], as in every encoder.

    The trunk's output is all that the remaining layers need of an image: a frozen trunk runs once per image, not once per step.
    """

    features: int

    @abstractmethod
    def compute_trunk(self, images: Tensor) -> Tensor:
        """Map float [n, channels, size, size] to the input of the remaining layers, [n, c, h, w]."""

    @abstractmethod
    def compute_last_map(self, before: Tensor) -> Tensor:
        """Map the trunk's output to the last convolution's map after its ReLU, [n, units, h, w]."""

    def pool_maps(self, maps: Tensor) -> Tensor:
        """Last maps [n, units, h, w] as features [n, features]: their means, unless the network says otherwise."""
        return maps.mean(dim=(2, 3))

    def get_last_input(self, before: Tensor) -> Tensor:
        """Return the part of the trunk's output that is the last convolution's input."""
        return before

    @property
    @abstractmethod
    def last_convolution(self) -> nn.Conv2d:
        """The last convolution."""

    @property
    def last_normalisation(self) -> nn.BatchNorm2d | None:
        """The normalisation of the last convolution's output, or None."""
        return None
