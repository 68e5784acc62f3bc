"""Networks, one file each, found by discovery. Encoders are registered and built only here."""

import inspect
from typing import Any

from torch import nn

from trainables.registry import Registry, make_unknown_error

ENCODERS: Registry[type[nn.Module]] = Registry("encoder", "trainables.models")

encoder = ENCODERS.register
"""Register a class as the encoder of a name.

The class is built with `channels` (1 or 3), `size` (pixels) and its own settings, which are keywords with defaults. It has an attribute
`features` and maps float [n, channels, size, size] to [n, features].
"""
encoders = ENCODERS.import_all


def build_encoder(name: str, *, channels: int, size: int, **settings: Any) -> nn.Module:
    """Return a freshly initialised encoder, drawn from torch's global generator (seed it). BadRequest lists the known names."""
    encoder_class = ENCODERS.find(name)
    own_settings = [setting for setting in inspect.signature(encoder_class).parameters if setting not in ("channels", "size")]
    for setting in settings:
        if setting not in own_settings:
            raise make_unknown_error(f"setting of {name}", setting, own_settings)
    return encoder_class(channels=channels, size=size, **settings)
