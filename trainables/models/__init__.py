"""Networks: one file each, discovered; the one place where encoders register and are built."""

import inspect
from typing import Any

from torch import nn

from trainables.registry import Registry, make_unknown_error

ENCODERS: Registry[type[nn.Module]] = Registry("encoder", "trainables.models")

encoder = ENCODERS.register
"""Register a class as the encoder of a name.

It is built with `channels` (1 or 3), `size` (pixels) and its own settings, each a keyword with a default; it has an attribute
`features` and maps float [n, channels, size, size] to [n, features].
"""
encoders = ENCODERS.import_all


def build_encoder(name: str, *, channels: int, size: int, **settings: Any) -> nn.Module:
    """A freshly initialised encoder (torch's global generator decides: seed it). BadRequest names what is known."""
    make = ENCODERS.find(name)
    own = [setting for setting in inspect.signature(make).parameters if setting not in ("channels", "size")]
    for setting in settings:
        if setting not in own:
            raise make_unknown_error(f"setting of {name}", setting, own)
    return make(channels=channels, size=size, **settings)
