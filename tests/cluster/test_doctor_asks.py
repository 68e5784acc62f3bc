"""The doctor's findings on a cluster's machines, before test_lab disconnects one: each fault is one line, and all take under a minute."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from platform.cli.application import make_application
from platform.doctor import __main__ as doctor
from tests.cluster.conftest import Cluster, configuration
from tests.cluster.hosts import CHECKOUT

DOCTOR = ".venv/bin/python -m platform.doctor --cluster cluster.yaml"
BREAK = """
mkdir -p ~/broken
printf '#!/bin/sh\\necho 3.12.1\\n' > ~/broken/python3.11
printf '#!/bin/sh\\ncase "$1" in +*) exec /bin/date -d "600 seconds" "$@" ;; *) exec /bin/date "$@" ;; esac\\n' > ~/broken/date
chmod +x ~/broken/*
echo 'export PATH=~/broken:$PATH' >> ~/.bashrc
cp ~/.ray/auth_token ~/kept && echo other > ~/.ray/auth_token
cd ~/ferray/.venv/lib/python*/site-packages/ray-*.dist-info && sed -i.kept 's/^Version: .*/Version: 2.59.0/' METADATA
"""
MEND = """
sed -i '/broken/d' ~/.bashrc
mv ~/kept ~/.ray/auth_token
cd ~/ferray/.venv/lib/python*/site-packages/ray-*.dist-info && mv METADATA.kept METADATA
"""


def test_a_healthy_cluster(cluster: Cluster) -> None:
    code, output = cluster.typed(f"{DOCTOR} --runs /srv/shared/runs")
    assert code == 0, output
    for line in (
        "answers as head",
        "answers as worker",
        "Python 3.11 everywhere",
        "clocks agree",
        "/srv/shared/runs is one folder for all",
    ):
        assert line in output
    assert "✗" not in output and "!" not in output, output


def test_every_fault_of_a_machine_is_a_line(cluster: Cluster) -> None:
    cluster.head.must("mkdir -p /srv/data && touch /srv/data/fer2013.csv")
    cluster.worker.must(BREAK)
    try:
        code, output = cluster.typed(f"{DOCTOR} --runs /srv/own/runs --data children=fer2013:/srv/data/fer2013.csv")
    finally:
        cluster.worker.must(MEND)
    worker = f"worker {cluster.worker.address}"
    assert code == 1, output
    sections = dict(re.findall(r"^(\S+ \S+)\n((?:  .*\n)+)", output, re.M))
    assert "✗" not in sections[f"head {cluster.head.address}"]
    assert "✗ has another token than this machine" in sections[worker]
    assert "✗ /srv/data/fer2013.csv is missing" in sections[worker]
    for line in (
        f"✗ different Python: 3.11 on head {cluster.head.address}; 3.12 on {worker}",
        f"✗ different Ray: 2.60.0 on head {cluster.head.address}; 2.59.0 on {worker}",
        "✗ /srv/own/runs is not one folder",
    ):
        assert line in output, output
    assert re.search(rf"✗ the clock of {worker} is (59[0-9]|60[0-9]) s ahead", output), output


def test_machines_that_do_not_answer(hosts: Cluster) -> None:
    unused_address = hosts.head.address.rpartition(".")[0] + ".99"
    (hosts.laptop.home / "other.yaml").write_text(configuration(hosts.head.address, [unused_address, hosts.worker.address]))
    code, output = hosts.laptop.run(f"cd {CHECKOUT} && .venv/bin/python -m platform.doctor --cluster ~/other.yaml --runs /srv/shared/runs")
    assert code == 1
    assert re.search(rf"worker {unused_address}\n  ✗ .*(timed out|No route|does not answer|UNKNOWN)", output), output
    assert "answers as worker" in output
    text = configuration(unused_address, [hosts.worker.address])
    (hosts.laptop.home / "other.yaml").write_text(text)
    code, output = hosts.laptop.run(f"cd {CHECKOUT} && .venv/bin/python -m platform.doctor --cluster ~/other.yaml --runs /srv/shared/runs")
    assert code == 1 and f"worker {hosts.worker.address}\n  ✗ not asked" in output, output


def test_a_key_that_opens_nothing(hosts: Cluster) -> None:
    hosts.laptop.must("ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/other")
    text = configuration(hosts.head.address, [hosts.worker.address]).replace("~/.ssh/id_ed25519", "~/.ssh/other")
    (hosts.laptop.home / "other.yaml").write_text(text)
    code, output = hosts.laptop.run(f"cd {CHECKOUT} && .venv/bin/python -m platform.doctor --cluster ~/other.yaml")
    assert code == 1 and re.search(rf"head {hosts.head.address}\n  ✗ .*Permission denied", output), output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("provider: [", "cannot be read as YAML"),
        ("provider: {type: aws, region: eu-central-1}", "names no machines"),
        ("provider: {type: local, head_ip: a, worker_ips: []}\nclustername: x", "Ray does not accept it"),
    ],
)
def test_a_file_that_is_none(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(content)
    result = CliRunner().invoke(make_application(doctor.main), ["--cluster", str(tmp_path / "cluster.yaml")])
    assert result.exit_code == 1 and len([line for line in result.stdout.splitlines() if "✗" in line]) == 1 and said in result.stdout
