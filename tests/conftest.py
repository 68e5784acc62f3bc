"""Threads pinned, so that floating-point sums do not depend on the machine; no deadlines, so that its load does not matter either."""

import torch
from hypothesis import settings

settings.register_profile("ferray", deadline=None)
settings.load_profile("ferray")
torch.set_num_threads(1)
