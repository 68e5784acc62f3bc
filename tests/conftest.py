"""Setup of all tests: pinned threads, so that sums do not depend on the machine; no deadlines; markers; one Ray for many grids."""

import os
import sys
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.forking import ForkServer, SharedRay, serve_commands, serve_ray
from tests.s3 import BUCKET, environment, server

if TYPE_CHECKING:
    from trainables.cell import Data

settings.register_profile("ferray", deadline=None)
settings.load_profile("ferray")

FORKING = ("tests/test_grid.py", "tests/test_search.py", "tests/test_s3.py", "tests/test_sharding.py", "tests/faults/test_moved_run.py")
FORKING += ("tests/test_status.py", "tests/test_loop.py", "tests/search/test_search_record.py", "tests/test_until_decided.py")
"""These share the server that forks, and most share a Ray. They run in one pytest-xdist process, because each grid asks for all CPUs."""
LAB = ("tests/cluster/",)
"""These share a lab of hosts."""
KILLS = ("tests/faults/test_kills.py", "tests/faults/test_kills_of_ray.py")
"""These take the longest."""
OWN_RAY = (
    *KILLS,
    "tests/faults/test_faults.py",
    "tests/test_cluster.py",
    "tests/test_name.py",
    "tests/test_from_anywhere.py",
)
"""These start their own Rays."""
COMPILING = ("tests/test_execution.py", "tests/test_autotune.py")
"""These call torch.compile. The first call in a process takes ten seconds longer, so they share one process."""
FIRST = (FORKING, *((file,) for file in KILLS), LAB, *((file,) for file in OWN_RAY), COMPILING)
"""Groups in the order in which they start. They start first, so that the many short tests fill the other core meanwhile."""


def pytest_configure() -> None:
    os.environ.update(RAY_worker_niceness="0")  # Ray's default of 15 gives other tests on the same cores priority over its workers


def find_group(nodeid: str) -> int:
    return next((group for group, files in enumerate(FIRST) if nodeid.startswith(files)), len(FIRST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: find_group(item.nodeid))
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "fork_server" in fixtures:
            assert item.nodeid.startswith(FORKING), f"{item.nodeid} uses fork_server: its file belongs into FORKING"
        if "shared_ray" in fixtures or item.nodeid.startswith(OWN_RAY) or "hosts" in fixtures:
            item.add_marker("ray")
        if "hosts" in fixtures:
            item.add_marker("cluster")
            item.add_marker("slow")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if torch := sys.modules.get("torch"):  # not imported here, because some tests do not need it
        torch.set_num_threads(1)
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU")


class ByFile(LoadScopeScheduling):
    """Under pytest-xdist, the tests of a file share a process, and so do the tests that share a Ray or a lab."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(KILLS[1]) and "test_a_command_that_a_kill_ends" in nodeid:
            return nodeid  # one kind of process each: together they would take as long as everything else
        group = find_group(nodeid)
        return FIRST[group][0] if group < len(FIRST) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    config.option.loadscopereorder = False  # start the longest groups first, not those with the most tests
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the cache of decoded data out of the user's home folder."""
    os.environ["FERRAY_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> "dict[str, Data]":
    """Return the children and the adults of the tiny study, in FER2013's layout."""
    from tests import tiny

    return tiny.data(tiny.files(tmp_path_factory.mktemp("data")))


@pytest.fixture
def quick_autotune(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce the time of measuring an execution configuration to a fifth."""
    from trainables import autotune

    monkeypatch.setattr(autotune, "ROUND_S", 0.01)


@pytest.fixture(scope="session")
def fork_server(cache: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Yield a server that starts Python within a fraction of a second."""
    with serve_commands(tmp_path_factory.mktemp("forks")) as forks:
        yield forks


@pytest.fixture(scope="session")
def shared_ray(fork_server: ForkServer, s3_server: dict[str, str]) -> Iterator[SharedRay]:
    """Yield the Ray of all grids that do not test how a Ray starts, dies or is left."""
    with serve_ray(fork_server, s3_server) as shared:
        yield shared


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start an S3 server; yield the environment variables that point to it."""
    with server(tmp_path_factory.mktemp("s3")) as variables:
        yield variables


@pytest.fixture
def s3(s3_server: dict[str, str]) -> Iterator[str]:
    """Yield an address with an empty prefix in a bucket, for this process and those that it starts."""
    with environment(s3_server):
        yield f"s3://{BUCKET}/{uuid.uuid4().hex}"
