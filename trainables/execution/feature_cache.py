"""Frozen: what a network's unmoved part makes of images, computed once and kept for every step, epoch, and cell of this process.

Kept on the device, under a hash of the part's weights, of the images, and of how it computes. The oldest are dropped for new ones.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from trainables.data.augment import normalise_images

BATCH = 64
"""images at once: as a step's, so that a matrix product's kernel, and with it its rounding, is that of a step"""
SHARE = 0.25
"""of the device's memory that may be kept in all; by its size, not by what is free now: what is kept decides the last bit"""

_KEPT: OrderedDict[str, tuple[Tensor, ...]] = OrderedDict()


def hash_tensors(tensors: Iterable[Tensor]) -> str:
    """Of their shapes, types and bytes."""
    found = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        found.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
        found.update(tensor.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


@torch.no_grad()
def get_or_compute(name: str, pixels: Tensor, part: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...] | None:
    """`part` of all images (uint8 [n, ..., c, s, s]): tensors [n, ...]. `name` says which part it is.

    A part maps float images to tensors, an image for itself. None where what it makes of so many images is too large to keep.
    """
    name = f"{name} {pixels.device} {hash_tensors([pixels])}"
    if name in _KEPT:
        _KEPT.move_to_end(name)
        return _KEPT[name]
    first = part(normalise_images(pixels[:1]))
    if sum(count_bytes(each) for each in first) * len(pixels) > (most := SHARE * measure_memory(pixels.device)):
        return None
    made = tuple(_allocate_like(len(pixels), each) for each in first)
    for start in range(0, len(pixels), BATCH):
        for place, each in zip(made, part(normalise_images(pixels[start : start + BATCH])), strict=True):
            place[start : start + BATCH] = each
    _KEPT[name] = made
    while sum(count_bytes(each) for tensors in _KEPT.values() for each in tensors) > most:
        _KEPT.popitem(last=False)
    return made


def _allocate_like(n: int, one: Tensor) -> Tensor:
    """For n like `one`; maps in the layout that convolutions are fast in."""
    layout = torch.channels_last if one.ndim == 4 else torch.contiguous_format
    return torch.empty((n, *one.shape[1:]), dtype=one.dtype, device=one.device, memory_format=layout)


def count_bytes(tensor: Tensor) -> int:
    """Bytes."""
    return tensor.numel() * tensor.element_size()


def measure_memory(device: torch.device) -> int:
    """Bytes of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
