"""Check clusters/aws.yaml as Ray reads it, and `ray up` against moto's EC2. Moto provides only the API: no ssh server answers."""

import contextlib
import copy
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_NODE_NAME, TAG_RAY_USER_NODE_TYPE

from tests.cluster.hosts import CHECKOUT
from tests.running import start
from tests.s3 import environment, server

FILE = CHECKOUT / "clusters" / "aws.yaml"
CONFIG = yaml.safe_load(FILE.read_text())
LAB = yaml.safe_load((CHECKOUT / "cluster.yaml").read_text())
REGION = CONFIG["provider"]["region"]
HERE = "198.51.100.7/32"
"""the one address from which ssh is admitted"""


def test_ray_accepts_it() -> None:
    prepared = prepare_config(copy.deepcopy(CONFIG))
    validate_config(prepared)
    types = prepared["available_node_types"]
    assert (types["head"]["max_workers"], types["gpu"]["min_workers"], types["gpu"]["max_workers"]) == (0, 0, 8)
    assert prepared["max_workers"] == 8 and "GPU" not in types["head"]["resources"]


def test_it_starts_ray_as_the_lab_does() -> None:
    for name in ("file_mounts", "rsync_exclude", "worker_start_ray_commands", "cluster_name"):
        assert CONFIG[name] == LAB[name]
    assert [line.replace(" RAY_enable_autoscaler_v2=0", "") for line in LAB["head_start_ray_commands"]] == CONFIG["head_start_ray_commands"]
    assert CONFIG["setup_commands"][-3:] == LAB["setup_commands"]


@pytest.fixture
def ec2(tmp_path: Path) -> Iterator[Any]:
    """Return the EC2 client of a new account that is set up as the comment at the top of the file says."""
    with server(tmp_path) as variables, environment(variables):
        iam, ec2 = (boto3.client(service, region_name=REGION) for service in ("iam", "ec2"))
        for name in ("ferray-head", "ferray-worker"):
            policy = (FILE.parent / f"{name.replace('ferray', 'aws')}.json").read_text()
            iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
            iam.put_role_policy(RoleName=name, PolicyName="ferray", PolicyDocument=policy.replace("YOUR-ACCOUNT", "123456789012"))
            iam.create_instance_profile(InstanceProfileName=name)
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        group = ec2.create_security_group(GroupName="ferray", Description="ferray")["GroupId"]
        ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": HERE}]}
        own = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh, own])
        yield ec2


def fill_in(ec2: Any, folder: Path) -> Path:
    """Return a copy of the file with the id of the security group."""
    (group,) = ec2.describe_security_groups(GroupNames=["ferray"])["SecurityGroups"]
    (folder / "aws.yaml").write_text(FILE.read_text().replace("YOUR-GROUP", group["GroupId"]))
    return folder / "aws.yaml"


def test_ray_up_launches_what_it_describes(ec2: Any, tmp_path: Path) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    ray = ["-m", "ray.scripts.scripts", "up", "-y", str(fill_in(ec2, tmp_path))]
    up = start(ray, {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}, start_new_session=True)
    try:
        (head,) = up.wait_for(lambda: [each for each in instances(ec2) if "IamInstanceProfile" in each])  # moto adds it a moment later
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(up.pid, signal.SIGKILL)
        up.end()
    tags = {tag["Key"]: tag["Value"] for tag in head["Tags"]}
    assert head["InstanceType"] == "m7i.xlarge" and tags[TAG_RAY_NODE_KIND] == "head" and tags[TAG_RAY_USER_NODE_TYPE] == "head"
    assert head["IamInstanceProfile"]["Arn"].endswith("/ferray-head") and tags["Name"] == "ray-ferray-head"
    (pair,) = ec2.describe_key_pairs()["KeyPairs"]
    key = tmp_path / ".ssh" / f"{pair['KeyName']}.pem"
    assert head["KeyName"] == pair["KeyName"] and key.stat().st_mode & 0o777 == 0o600
    (group,) = ec2.describe_security_groups(GroupIds=[entry["GroupId"] for entry in head["SecurityGroups"]])["SecurityGroups"]
    opened = {(rule.get("FromPort"), each["CidrIp"]) for rule in group["IpPermissions"] for each in rule["IpRanges"]}
    assert group["GroupName"] == "ferray" and opened == {(22, HERE)}, "nothing is open to the world, and ssh to one address"


def test_a_worker_is_a_spot_machine_with_a_gpu(ec2: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is requested as the autoscaler on the head requests it."""
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    monkeypatch.setenv("HOME", str(tmp_path))
    config = bootstrap_aws(prepare_config(yaml.safe_load(fill_in(ec2, tmp_path).read_text())))
    provider = AWSNodeProvider(config["provider"], "ferray")
    tags = {TAG_RAY_NODE_NAME: "ray-ferray-worker", TAG_RAY_NODE_KIND: "worker", TAG_RAY_USER_NODE_TYPE: "gpu"}
    provider.create_node(config["available_node_types"]["gpu"]["node_config"], tags, 1)
    workers = [instance for instance in instances(ec2) if instance["InstanceType"] == "g6.xlarge"]
    assert [instance.get("InstanceLifecycle") for instance in workers] == ["spot"]
    assert workers[0]["IamInstanceProfile"]["Arn"].endswith("/ferray-worker")


def instances(ec2: Any) -> list[dict[str, Any]]:
    return [instance for reservation in ec2.describe_instances()["Reservations"] for instance in reservation["Instances"]]
