"""Convolutional: an encoder that can be cut at its last convolution, so that what stands before it may be frozen, kept, or masked."""

from abc import abstractmethod

from torch import Tensor, nn


class Convolutional(nn.Module):
    """trunk -> last -> map. `forward`, as of every encoder, gives [n, features]; it is made from the same parts.

    What `compute_trunk` gives is all that the rest needs of an image: a frozen trunk runs once an image, not once a step.
    """

    features: int

    @abstractmethod
    def compute_trunk(self, images: Tensor) -> Tensor:
        """Float [n, channels, size, size] to what the rest is fed with, [n, c, h, w]."""

    @abstractmethod
    def compute_last_map(self, before: Tensor) -> Tensor:
        """What the trunk gives to the last convolution's map after its ReLU, [n, units, h, w]."""

    def pool_maps(self, maps: Tensor) -> Tensor:
        """Last maps [n, units, h, w] as features [n, features]: their means, unless the network says otherwise."""
        return maps.mean(dim=(2, 3))

    def get_last_input(self, before: Tensor) -> Tensor:
        """Of what the trunk gives, the input of the last convolution."""
        return before

    @property
    @abstractmethod
    def last_convolution(self) -> nn.Conv2d:
        """The last convolution."""

    @property
    def last_normalisation(self) -> nn.BatchNorm2d | None:
        """What normalises it, if anything does."""
        return None
