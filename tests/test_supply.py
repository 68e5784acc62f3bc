"""What is installed is pinned by content; machines of a cluster get no package of the tests, rented ones no right that they do not need."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from platform.doctor.checks import parse_pins
from tests.running import ROOT

FILES = {name: (ROOT / name).read_text() for name in ("requirements.txt", "requirements-dev.txt")}
TESTS_ONLY = ("pytest", "hypothesis", "moto", "selenium", "flask", "mypy", "ruff", "statsmodels")
ALWAYS = ("s3fs", "h5py", "boto3", "torch", "ray")
READING = ("ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:DescribeImages")


@pytest.mark.parametrize("name", FILES)
def test_every_version_has_hashes_and_no_file_names_a_host(name: str) -> None:
    lines = FILES[name].replace("\\\n", " ").splitlines()
    pins = [line for line in lines if line.strip() and not line.startswith("#")]
    assert len(pins) > 50
    for pin in pins:
        assert re.match(r"[a-z0-9][a-z0-9._-]*==\S+ .*--hash=sha256:[0-9a-f]{64}", pin), pin[:100]
    assert "://" not in FILES[name] and "--index" not in FILES[name]


def test_running_needs_no_package_of_the_tests() -> None:
    running, testing = (set(parse_pins(text)) for text in FILES.values())
    assert not running & set(TESTS_ONLY) and set(ALWAYS) <= running and set(TESTS_ONLY) <= testing


def test_tests_run_with_the_versions_that_run() -> None:
    running, testing = (parse_pins(text) for text in FILES.values())
    assert {name: testing.get(name) for name in running} == running


def test_an_audit_reads_the_hashes() -> None:
    output = subprocess.run(["make", "audit", "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "pip-audit" in output and "--require-hashes" in output and "requirements-dev.txt" in output


def list_statements(kind: str) -> list[dict[str, object]]:
    content = json.loads((ROOT / "clusters" / f"aws-{kind}.json").read_text())
    return content["Statement"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["head", "worker"])
def test_rights_are_named(kind: str) -> None:
    for statement in list_statements(kind):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not [action for action in actions if "*" in action]
        if statement["Resource"] == "*":
            assert set(actions) <= set(READING), "Amazon lets one limit everything else to named resources"


def test_a_worker_may_use_the_bucket_alone_and_the_head_passes_only_its_role() -> None:
    assert {str(action).partition(":")[0] for each in list_statements("worker") for action in each["Action"]} == {"s3"}  # type: ignore[attr-defined]
    (passing,) = (each for each in list_statements("head") if each["Action"] == "iam:PassRole")
    assert str(passing["Resource"]).endswith(":role/ferray-worker")
    (ending,) = (each for each in list_statements("head") if each["Action"] == "ec2:TerminateInstances")
    assert ending["Condition"] == {"StringEquals": {"ec2:ResourceTag/ray-cluster-name": "ferray"}}


def test_no_port_of_a_rented_machine_is_open_to_the_world() -> None:
    """Ray would make a security group with port 22 open to everybody, unless one is named."""
    text = (ROOT / "clusters" / "aws.yaml").read_text()
    for node in yaml.safe_load(text)["available_node_types"].values():
        assert node["node_config"]["SecurityGroupIds"] == ["YOUR-GROUP"]
    assert "--cidr YOUR-ADDRESS/32" in text and "0.0.0.0" not in text and "FullAccess" not in text


def test_security_md_says_what_is_promised() -> None:
    text = Path(ROOT, "SECURITY.md").read_text()
    for word in ("pickle", "same account", "report"):
        assert word in text.lower()
