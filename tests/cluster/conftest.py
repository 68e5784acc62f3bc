"""Three hosts: a laptop, a head and a worker machine. The last two form a cluster, started with the committed cluster.yaml."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.cluster.hosts import CHECKOUT, SHARED, Host, furnish, lab, missing
from tests.running import wait_for

COUNT = (
    "import ray; from ray._raylet import GcsClient; "
    'print(sum(info.state == 0 for info in GcsClient("127.0.0.1:6379").get_all_node_info().values()))'
)


@dataclass
class Cluster:
    """The hosts, and methods that run commands on the laptop."""

    laptop: Host
    head: Host
    worker: Host

    def typed(self, command: str, timeout: float = 300) -> tuple[int, str]:
        """Run a line of the README in the checkout, whose `.venv` is the one that runs these tests. Return exit code and output."""
        return self.laptop.run(f"export TMPDIR=/tmp/ray; cd {CHECKOUT} && {command.replace('cluster.yaml', '~/cluster.yaml')}", timeout)

    def must(self, command: str, timeout: float = 300) -> str:
        code, output = self.typed(command, timeout)
        assert code == 0, f"{command}: exit {code}\n{output}"
        return output


def configuration(head: str, workers: list[str]) -> str:
    """Return the committed cluster.yaml with only the addresses changed."""
    text = (CHECKOUT / "cluster.yaml").read_text()
    provider = yaml.safe_load(text)["provider"]
    worker_list = f"[{', '.join(provider['worker_ips'])}]"
    assert text.count(provider["head_ip"]) == text.count(worker_list) == 1
    return text.replace(provider["head_ip"], head).replace(worker_list, f"[{', '.join(workers)}]")


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield three machines with only Python, make and the packages of an earlier installation. The laptop has their ssh key."""
    if reason := missing():
        pytest.skip(reason)
    with lab(tmp_path_factory.mktemp("lab"), "laptop", "head", "worker") as (laptop, head, worker):
        for host in (head, worker):
            furnish(host)
        (laptop.home / "cluster.yaml").write_text(configuration(head.address, [worker.address]))
        yield Cluster(laptop, head, worker)


@pytest.fixture(scope="session")
def cluster(hosts: Cluster) -> Iterator[Cluster]:
    """Yield the cluster once both machines are in it: `ray up` returns when the head is up, and sets up the worker meanwhile."""
    hosts.must("(umask 077; .venv/bin/ray get-auth-token --generate)")
    hosts.must(".venv/bin/ray up -y cluster.yaml")
    count = f"cd ~/ferray && RAY_AUTH_MODE=token .venv/bin/python -c '{COUNT}'"
    monitor = "tail -n 50 /tmp/ray/session_latest/logs/monitor.*"
    wait_for(lambda: hosts.head.run(count)[1].strip().endswith("2"), lambda: hosts.head.run(monitor)[1])
    yield hosts


def shared(host: Host) -> Path:
    """Return the folder that the hosts see as SHARED."""
    return host.folder.parent / Path(SHARED).name
