"""Threads pinned, so that floating-point sums do not depend on the machine; no deadlines, so that its load does not matter either."""

import os
import uuid
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

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
    """Under pytest-xdist (`-n 2 --dist loadgroup`) a file's tests share a process, and so do all that use the lab of hosts."""
    place = {item.nodeid: next((k for k, name in enumerate(LONG) if item.nodeid.startswith(name)), len(LONG)) for item in items}
    items.sort(key=lambda item: place[item.nodeid])
    for item in items:
        item.add_marker(pytest.mark.xdist_group("lab" if place[item.nodeid] == 0 else item.nodeid.partition("::")[0]))


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
