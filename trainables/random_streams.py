"""Named random streams. Each use of randomness has its own stream, so an added draw changes no other."""

from zlib import crc32

import numpy as np


def _make_sequence(seed: int, name: tuple[object, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, crc32("/".join(map(str, name)).encode())])


def make_generator(seed: int, *name: object) -> np.random.Generator:
    """Return the generator named `name` under `seed` (0 or more). `make_generator(3, "crop", epoch)` is the same wherever it is called."""
    return np.random.default_rng(_make_sequence(seed, name))


def make_torch_seed(seed: int, *name: object) -> int:
    """Return a seed in [0, 2^63) for `torch.manual_seed` or a `torch.Generator`, derived in the same way."""
    return int(_make_sequence(seed, name).generate_state(1, np.uint64)[0] >> np.uint64(1))
