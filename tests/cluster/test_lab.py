"""The README's steps from laptop to cluster. Every command runs on the laptop of a lab with two machines. The tests run in order."""

import shlex
import subprocess
import threading

from tests.cluster.conftest import Cluster, shared
from tests.cluster.hosts import CHECKOUT, SHARED
from tests.running import wait_for
from trainables.storage.store import RunFolder

GRID = (
    'python -m platform.grid --only "method=SL(c),SC(c<-a)" --only split=.5 --seeds 2 '
    "--set per_class=8 --set probe_epochs=5 --set precision=fp32 --slots 2"
)
"""8 cells"""
WAITING = ("0 failed", "starting the workers")
"""endings of progress lines that report no change"""
ALONE = """
import ray
from platform.launch import cluster
with cluster.start_ray() as ready:
    ready()
    print("Ray would join", ray._private.services.find_bootstrap_address(None))
    print("mine" if not ray.get_runtime_context().gcs_address.endswith(":6379") else "a stranger's")
"""


def test_the_token_is_for_its_owner_alone_and_without_it_nobody_gets_in(cluster: Cluster) -> None:
    for host in (cluster.laptop, cluster.head, cluster.worker):
        assert host.must("stat -c %a ~/.ray/auth_token").strip() == "600"
    code, output = cluster.laptop.run(
        f"cd {CHECKOUT} && RAY_AUTH_MODE=token RAY_AUTH_TOKEN={'0' * 64} .venv/bin/ray status --address {cluster.head.address}:6379"
    )
    assert code != 0 and "oken" in output


def test_a_laptop_never_joins_a_strangers_ray(cluster: Cluster) -> None:
    """Ray by default joins the cluster that was started last. It reads that cluster's address from a file of its own."""
    laptop = cluster.laptop
    current = "/tmp/ray/ray_current_cluster"
    laptop.must(f"mkdir -p /tmp/ray; echo {cluster.head.address}:6379 > {current}")
    output = laptop.must(f"cd {CHECKOUT} && RAY_AUTH_MODE=token .venv/bin/python -c {shlex.quote(ALONE)}; rm {current}")
    assert f"Ray would join {cluster.head.address}:6379" in output
    assert "mine" in output.splitlines()[-1] and "joined" not in output, output


def test_a_job_from_the_laptop(cluster: Cluster) -> None:
    line = "export TMPDIR=/tmp/ray; " + f"cd {CHECKOUT} && .venv/bin/ray dashboard ~/cluster.yaml"
    forward = subprocess.Popen(cluster.laptop.command(line), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: cluster.typed("curl -s -o /dev/null http://localhost:8265")[0] == 0)
        submit = "RAY_AUTH_MODE=token .venv/bin/ray job submit --address http://localhost:8265 --working-dir . --"
        output = cluster.must(f"{submit} {GRID} --only ratio=1 --set epochs=2 --runs {SHARED}/jobs")
    finally:
        forward.kill()
        forward.wait()
    assert "4/4 trainings done, 0 failed" in output and f"joined the Ray cluster at {cluster.head.address}:6379: 2 machines" in output
    assert hosts_of(RunFolder(str(shared(cluster.head) / "jobs" / "adults_as_augmentation-pocket"))) <= {"head", "worker"}


def test_a_grid_on_both_machines_survives_a_pulled_plug(cluster: Cluster) -> None:
    result: list[str] = []

    def grid() -> None:
        line = f"cd ~/ferray && .venv/bin/{GRID} --seeds 4 --set epochs=200 --runs {SHARED}/runs"
        result.extend(map(str, cluster.typed(f".venv/bin/ray exec cluster.yaml '{line}'")))

    thread = threading.Thread(target=grid)
    thread.start()
    folder = RunFolder(str(shared(cluster.head) / "runs" / "adults_as_augmentation-pocket"))
    wait_for(lambda: not thread.is_alive() or hosts_of(folder) == {"head", "worker"})
    assert thread.is_alive(), result[1][-3000:]
    cluster.worker.pull_plug()
    done = len(folder.list_done())
    thread.join()
    code, output = result
    output = "\n".join(line for line in output.splitlines() if "a cell," not in line and not line.endswith(WAITING))
    print(output)
    assert code == "0", output[-9000:]
    assert done < 16, "the plug was pulled too late to test anything"
    assert len(folder.list_done()) == 16 and "16/16 trainings done, 0 failed" in output
    assert f"joined the Ray cluster at {cluster.head.address}:6379: 2 machines" in output
    assert "worker is lost: its trainings go to other machines" in output


def test_down(cluster: Cluster) -> None:
    """`ray down` also works when one machine does not answer."""
    cluster.must(".venv/bin/ray down -y cluster.yaml")
    running = "pgrep -a raylet || pgrep -a gcs_server"
    wait_for(lambda: cluster.head.run(running)[0] != 0, lambda: cluster.head.run(running)[1])


def hosts_of(folder: RunFolder) -> set[str]:
    """Return the hosts on which the finished cells were trained."""
    return {result["provenance"]["host"] for key in folder.list_done() if (result := folder.get_result(key))}
