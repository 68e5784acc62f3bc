"""Threads pinned, so that floating-point sums do not depend on the machine; no deadlines, so that its load does not matter either."""

import os

import pytest
import torch
from hypothesis import settings

settings.register_profile("ferray", deadline=None)
settings.load_profile("ferray")
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """What tests decode is not kept in the home of whoever runs them."""
    os.environ["FERRAY_CACHE"] = str(tmp_path_factory.mktemp("cache"))
