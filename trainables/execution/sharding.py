"""Share: several workers train one cell, each on its shard of every batch, to the numbers of one worker (data parallel).

Features are gathered with their gradient, so a contrastive loss sees the whole batch; gradients are averaged; what the first says of an
epoch all hold to. Equal to one worker's training up to rounding, but for batch normalisation: each normalises its own part by itself.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist

Told = TypeVar("Told")
MEET_S = 60.0
"""they all know of one another when they begin: who is not there by then has died"""


class PeerLost(RuntimeError):
    """Another worker of this cell's has died or left."""


@dataclass(frozen=True)
class ShardContext:
    """The `index`-th of `size` parts. Alone, every call is free and changes nothing."""

    index: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Of all shards this one writes and reports."""
        return self.index == 0

    def get_part(self, rows: Tensor) -> Tensor:
        """This shard's items of a batch's."""
        return rows[self.index :: self.size] if self.size > 1 else rows

    def gather_features(self, features: Tensor, labels: Tensor, views: int) -> tuple[Tensor, Tensor]:
        """Features [views * n, d] (all first views, then the second) and labels [n] of the whole batch, its items in another order."""
        if self.size == 1:
            return features, labels
        from torch.distributed.nn.functional import all_gather

        found = all_gather(features.contiguous(), group=dist.group.WORLD)  # named: by default it is the first that this process ever had
        every = torch.stack(cast(tuple[Tensor, ...], found)).unflatten(1, (views, -1))  # [size, views, n, d]
        names = [torch.empty_like(labels) for _ in range(self.size)]
        dist.all_gather(names, labels.contiguous())
        return every.transpose(0, 1).flatten(0, 2), torch.cat(names)

    def average_gradients(self, parameters: Iterable[nn.Parameter], logs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Each gradient, and each scalar of the logs, becomes its mean over the shards.

        Of a loss of the whole batch, or of a mean over equal parts, that is the gradient that one worker would have.
        """
        if self.size == 1:
            return logs
        found = [each.grad for each in parameters if each.grad is not None]
        flat = torch.cat([*(each.flatten() for each in found), *(value.detach().flatten().float() for value in logs.values())])
        dist.all_reduce(flat)
        *means, said = (flat / self.size).split([*(each.numel() for each in found), len(logs)])
        for each, mean in zip(found, means, strict=True):
            each.copy_(mean.view_as(each))
        return dict(zip(logs, said, strict=True))

    def agree_to_stop(self, stop: bool) -> bool:
        """Whether any shard says so."""
        if self.size == 1:
            return stop
        flag = torch.tensor([float(stop)], device=_get_device())
        dist.all_reduce(flag)
        return bool(flag.item())

    def broadcast_value(self, what: Told) -> Told:
        """What the first shard says, a plain value."""
        if self.size == 1:
            return what
        box = [what]
        dist.broadcast_object_list(box, src=0, device=_get_device())
        return box[0]

    def sync_buffers(self, module: nn.Module) -> None:
        """Running statistics become the first shard's."""
        for buffer in module.buffers() if self.size > 1 else ():
            dist.broadcast(buffer, src=0)


ALONE = ShardContext()


def _get_device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


@contextlib.contextmanager
def join_shards(index: int, size: int, name: str, own_gpu: bool, patience_s: float, scratch: str = "") -> Iterator[ShardContext]:
    """Meet the other shards of this name, on this machine; `own_gpu`: no two shard one. Raises Parted where they do not come, or go.

    `patience_s`: so long a shard may be waited for afterwards. `scratch` is the folder where they meet, in which those that are killed
    leave a small file; the same for all, by default the system's.
    """
    shard, place = ShardContext(index, size), Path(scratch or tempfile.gettempdir(), f"ferray-shard-{name}")
    backend = "nccl" if own_gpu and torch.cuda.is_available() else "gloo"
    if sys.platform == "linux":  # they are on one machine, and nobody else in the network is to reach them
        os.environ.update(GLOO_SOCKET_IFNAME="lo", NCCL_SOCKET_IFNAME="lo")
    try:
        dist.init_process_group(backend, init_method=f"file://{place}", rank=index, world_size=size, timeout=timedelta(seconds=MEET_S))
        dist.set_timeout(timedelta(seconds=patience_s))
    except RuntimeError as error:
        place.unlink(missing_ok=True)
        raise PeerLost(f"the {size} workers of a cell did not meet: {error}".partition("\n")[0][:300]) from None
    try:
        yield shard
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or any(word in str(error) for word in ("gloo", "NCCL")):
            place.unlink(missing_ok=True)  # else whoever leaves last removes it
            raise PeerLost(f"another worker of its {size} has gone: {error}".partition("\n")[0][:300]) from None
        raise
    finally:
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()
