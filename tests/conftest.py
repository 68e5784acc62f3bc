"""Threads pinned, so that floating-point sums do not depend on the machine; no deadlines, so that its load does not matter either."""

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.s3 import BUCKET, environment, server

settings.register_profile("ferray", deadline=None)
settings.load_profile("ferray")
torch.set_num_threads(1)

LONG = (
    "tests/cluster/",
    "tests/test_grid.py",
    "tests/test_search.py",
    "tests/faults/test_faults.py",
    "tests/test_s3.py",
    "tests/test_share.py",
)
"""what starts Rays, longest first: begun first, so that the many short ones fill the other core meanwhile"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((place for place, name in enumerate(LONG) if item.nodeid.startswith(name)), len(LONG)))


class ByFile(LoadScopeScheduling):
    """Under pytest-xdist a file's tests share a process, and so do all that use the lab of hosts."""

    def _split_scope(self, nodeid: str) -> str:
        return LONG[0] if nodeid.startswith(LONG[0]) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    config.option.loadscopereorder = False  # the longest first, not those of the most tests
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """What tests decode is not kept in the home of whoever runs them."""
    os.environ["FERRAY_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An S3 server; the environment that points to it."""
    with server(tmp_path_factory.mktemp("s3")) as variables:
        yield variables


@pytest.fixture
def s3(s3_server: dict[str, str]) -> Iterator[str]:
    """An address in an empty corner of a bucket, for this process and those that it starts."""
    with environment(s3_server):
        yield f"s3://{BUCKET}/{uuid.uuid4().hex}"
