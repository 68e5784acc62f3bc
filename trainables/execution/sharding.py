"""Data-parallel training: several workers train one cell, each on its shard of every batch, to the numbers of a single worker.

Features are gathered with their gradient, so a contrastive loss sees the whole batch. Gradients are averaged. Epoch metrics are broadcast
from rank 0. The training equals that of one worker up to rounding, except that batch normalisation and dropout act on each shard by
itself.
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

from trainables.registry import BadRequest

Told = TypeVar("Told")
MEET_S = 60.0
"""Timeout of the rendezvous in seconds. All workers know of each other when they start, so one that is missing by then has died."""


class PeerLost(RuntimeError):
    """Another worker of this cell has died or left."""


@dataclass(frozen=True)
class ShardContext:
    """Shard `index` of `size`. With a single shard every call is free and changes nothing."""

    index: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one shard that writes and reports."""
        return self.index == 0

    def get_part(self, rows: Tensor) -> Tensor:
        """Return this shard's items of a batch. Raises BadRequest if the shards would differ in size."""
        if len(rows) % self.size:
            raise BadRequest(f"devices={self.size}: {len(rows)} items a step cannot be shared evenly")
        return rows[self.index :: self.size] if self.size > 1 else rows

    def average_tensor(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over the shards."""
        if self.size > 1:
            dist.all_reduce(value)
            value = value / self.size
        return value

    def gather_features(self, features: Tensor, labels: Tensor, views: int) -> tuple[Tensor, Tensor]:
        """Return features [views * n, d] (all first views, then the second) and labels [n] of the whole batch, with its items in another
        order.
        """
        if self.size == 1:
            return features, labels
        from torch.distributed.nn.functional import all_gather

        gathered = all_gather(features.contiguous(), group=dist.group.WORLD)  # explicit: the default is the process's first group
        stacked = torch.stack(cast(tuple[Tensor, ...], gathered)).unflatten(1, (views, -1))  # [size, views, n, d]
        all_labels = [torch.empty_like(labels) for _ in range(self.size)]
        dist.all_gather(all_labels, labels.contiguous())
        return stacked.transpose(0, 1).flatten(0, 2), torch.cat(all_labels)

    def average_gradients(self, parameters: Iterable[nn.Parameter], logs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Replace each gradient by its mean over the shards, and return the logs with each scalar averaged in the same way.

        For a loss of the whole batch, or a mean over equal parts, this is the gradient that one worker would have.
        """
        if self.size == 1:
            return logs
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), *(value.detach().flatten().float() for value in logs.values())])
        dist.all_reduce(flat)
        *means, log_means = (flat / self.size).split([*(gradient.numel() for gradient in gradients), len(logs)])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))
        return dict(zip(logs, log_means, strict=True))

    def agree_to_stop(self, stop: bool) -> bool:
        """Return whether any shard wants to stop."""
        if self.size == 1:
            return stop
        flag = torch.tensor([float(stop)], device=_get_device())
        dist.all_reduce(flag)
        return bool(flag.item())

    def broadcast_value(self, what: Told) -> Told:
        """Return the value that the first shard passes, which must be a plain value."""
        if self.size == 1:
            return what
        values = [what]
        dist.broadcast_object_list(values, src=0, device=_get_device())
        return values[0]

    def sync_buffers(self, module: nn.Module) -> None:
        """Replace the running statistics by those of the first shard."""
        for buffer in module.buffers() if self.size > 1 else ():
            dist.broadcast(buffer, src=0)


ALONE = ShardContext()


def _get_device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


@contextlib.contextmanager
def join_shards(index: int, size: int, name: str, own_gpu: bool, patience_s: float, scratch: str = "") -> Iterator[ShardContext]:
    """Join the other shards of this name on this machine. Raises PeerLost if one of them does not come, or leaves.

    `own_gpu` says that no two shards use the same GPU. `patience_s` is the timeout for a shard after the rendezvous, in seconds.
    `scratch` is the folder of the rendezvous file, by default the system's temporary folder. It must be the same for all shards. Killed
    shards leave a small file there.
    """
    shard, rendezvous = ShardContext(index, size), Path(scratch or tempfile.gettempdir(), f"ferray-shard-{name}")
    backend = "nccl" if own_gpu and torch.cuda.is_available() else "gloo"
    if sys.platform == "linux":  # all shards are on one machine, and must not be reachable from the network
        os.environ.update(GLOO_SOCKET_IFNAME="lo", NCCL_SOCKET_IFNAME="lo")
    try:
        dist.init_process_group(backend, init_method=f"file://{rendezvous}", rank=index, world_size=size, timeout=timedelta(seconds=MEET_S))
        dist.set_timeout(timedelta(seconds=patience_s))
    except RuntimeError as error:
        rendezvous.unlink(missing_ok=True)
        raise PeerLost(f"the {size} workers of a training could not connect: {error}".partition("\n")[0][:300]) from None
    try:
        yield shard
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or any(word in str(error) for word in ("gloo", "NCCL")):
            rendezvous.unlink(missing_ok=True)  # otherwise the last shard to leave removes it
            raise PeerLost(f"another worker of its {size} has gone: {error}".partition("\n")[0][:300]) from None
        raise
    finally:
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()
