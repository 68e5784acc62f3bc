"""Fixed first layers: an encoder may begin with layers that never change. What they make of a fixed pool of images is computed once.

Such an encoder has two attributes: `fixed`, a module without parameters that maps float images to maps, each image independently and
always in fp32, and whose `repr` tells its settings; and `learned`, the module behind it. Its `forward` is `learned(fixed(images))`.
"""

import torch
from torch import Tensor, nn

from trainables.data.augment import normalise_images
from trainables.execution import feature_cache


def get_fixed_layers(encoder: nn.Module) -> nn.Module | None:
    fixed = getattr(encoder, "fixed", None)
    return fixed if isinstance(fixed, nn.Module) else None


def get_learned_layers(encoder: nn.Module) -> nn.Module:
    """Return what is trained of an encoder: the layers behind its fixed ones, or the encoder itself."""
    learned = getattr(encoder, "learned", None)
    return learned if get_fixed_layers(encoder) is not None and isinstance(learned, nn.Module) else encoder


def pass_fixed_layers(encoder: nn.Module, inputs: Tensor) -> Tensor:
    """Return what the learned layers take: of images uint8 [n, c, s, s] the normalised images, or what fixed layers make of them.

    Other inputs have already passed and are returned unchanged.
    """
    if inputs.dtype != torch.uint8:
        return inputs
    images, fixed = normalise_images(inputs), get_fixed_layers(encoder)
    return images if fixed is None else fixed(images)


def keep_fixed_maps(encoder: nn.Module, parts: list[Tensor]) -> list[Tensor]:
    """Return what `fixed` makes of images (uint8 [n, c, s, s] each), kept in this process; the images if nothing is fixed or it is too
    large.
    """
    if (fixed := get_fixed_layers(encoder)) is None:
        return parts
    kept = [feature_cache.get_or_compute(repr(fixed), pixels, lambda images: (fixed(images),)) for pixels in parts]
    return parts if None in kept else [tensors[0] for tensors in kept if tensors is not None]
