"""Feature cache: outputs of a network's frozen part, computed once and reused for every step, epoch and cell of this process.

They are kept on the device, under a hash of the part's weights, of the images, and of how the part computes. The least recently used are
dropped for new ones.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from trainables.data.augment import normalise_images

BATCH = 64
"""Images per batch, as in a training step, so that matrix products use the kernel of a step, and with it the same rounding."""
SHARE = 0.25
"""Share of the device's memory that all entries may take: of total memory, not of free memory, because caching affects the last bit."""

_KEPT: OrderedDict[str, tuple[Tensor, ...]] = OrderedDict()


def hash_tensors(tensors: Iterable[Tensor]) -> str:
    """Return a hash of the tensors' shapes, types and bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(tensor.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@torch.no_grad()
def get_or_compute(name: str, pixels: Tensor, part: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...] | None:
    """Return `part` of all images (uint8 [n, ..., c, s, s]) as tensors [n, ...], from the cache if they are there. `name` identifies the
    part.

    `part` maps float images to tensors, each image independently. Returns None if the tensors of all images are too large to keep.
    """
    name = f"{name} {pixels.device} {hash_tensors([pixels])}"
    if name in _KEPT:
        _KEPT.move_to_end(name)
        return _KEPT[name]
    first = part(normalise_images(pixels[:1]))
    if sum(count_bytes(tensor) for tensor in first) * len(pixels) > (limit := SHARE * measure_memory(pixels.device)):
        return None
    outputs = tuple(_allocate_like(len(pixels), tensor) for tensor in first)
    for start in range(0, len(pixels), BATCH):
        for output, chunk in zip(outputs, part(normalise_images(pixels[start : start + BATCH])), strict=True):
            output[start : start + BATCH] = chunk
    _KEPT[name] = outputs
    while sum(count_bytes(tensor) for tensors in _KEPT.values() for tensor in tensors) > limit:
        _KEPT.popitem(last=False)
    return outputs


def _allocate_like(n: int, one: Tensor) -> Tensor:
    """Return an empty tensor for n items like those of `one`. Feature maps get the layout in which convolutions are fast."""
    layout = torch.channels_last if one.ndim == 4 else torch.contiguous_format
    return torch.empty((n, *one.shape[1:]), dtype=one.dtype, device=one.device, memory_format=layout)


def count_bytes(tensor: Tensor) -> int:
    """Return the tensor's size in bytes."""
    return tensor.numel() * tensor.element_size()


def measure_memory(device: torch.device) -> int:
    """Return the device's total memory in bytes."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
