"""From laptop to cluster, as the README has it: every line is typed on a laptop of a lab of two machines. One after the other."""

import threading
import time

import pytest

from tests.cluster.conftest import Cluster, shared
from tests.cluster.hosts import CHECKOUT, SHARED
from trainables.store import RunFolder

pytestmark = pytest.mark.timeout(580)
GRID = (
    "python -m platform.grid --only method=SL'(c)',SC'(c<-a)' --only split=.5 --seeds 2 "
    "--set per_class=8 --set probe_epochs=5 --set precision=fp32 --slots 2"
)
"""8 cells"""
COUNT = (
    "import ray; from ray._raylet import GcsClient; "
    'print(sum(info.state == 0 for info in GcsClient("127.0.0.1:6379").get_all_node_info().values()))'
)


def test_both_machines_join(cluster: Cluster) -> None:
    until = time.monotonic() + 150
    while (joined := cluster.head.run(f"cd ~/ferray && RAY_AUTH_MODE=token .venv/bin/python -c '{COUNT}'")[1].strip()[-1:]) != "2":
        assert time.monotonic() < until, (joined, cluster.head.run("tail -n 50 /tmp/ray/session_latest/logs/monitor.*")[1])
        time.sleep(1)


def test_the_token_is_for_its_owner_alone_and_without_it_nobody_gets_in(cluster: Cluster) -> None:
    for host in (cluster.laptop, cluster.head, cluster.worker):
        assert host.must("stat -c %a ~/.ray/auth_token").strip() == "600"
    code, said = cluster.laptop.run(
        f"cd {CHECKOUT} && RAY_AUTH_MODE=token RAY_AUTH_TOKEN={'0' * 64} .venv/bin/ray status --address {cluster.head.address}:6379"
    )
    assert code != 0 and "oken" in said


def test_a_grid_on_both_machines_survives_a_pulled_plug(cluster: Cluster) -> None:
    said: list[str] = []

    def grid() -> None:
        line = f"cd ~/ferray && .venv/bin/{GRID} --set epochs=150 --runs {SHARED}/runs"
        said.extend(map(str, cluster.typed(f'.venv/bin/ray exec cluster.yaml "{line}"', timeout=500)))

    thread = threading.Thread(target=grid)
    thread.start()
    folder = RunFolder(str(shared(cluster.head) / "runs" / "adults_as_augmentation-pocket"))
    until = time.monotonic() + 240
    while thread.is_alive() and hosts_of(folder) != {"head", "worker"}:
        assert time.monotonic() < until, "the grid makes no progress"
        time.sleep(0.3)
    assert thread.is_alive(), said
    cluster.worker.pull_plug()
    done = len(folder.done())
    thread.join()
    code, output = said
    assert code == "0", output
    assert done < 8, "the plug was pulled too late to test anything"
    assert len(folder.done()) == 8 and "8/8 cells done, 0 failed" in output
    assert f"joined the Ray cluster at {cluster.head.address}:6379: 2 machines" in output
    assert "worker is gone: its cells go to other machines" in output


def hosts_of(folder: RunFolder) -> set[str]:
    """Where the cells that are done were trained."""
    return {result["provenance"]["host"] for key in folder.done() if (result := folder.result(key))}
