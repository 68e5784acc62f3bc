"""Tests of cluster.yaml: that Ray accepts it, and what Ray does not check: that paths exist, versions agree, and commands parse."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import ray
import yaml
from jsonschema import ValidationError
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "cluster.yaml").read_text()
CONFIG = yaml.safe_load(TEXT)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STARTS = [CONFIG[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker")]


def test_ray_accepts_it_and_keeps_all_workers():
    prepared = prepare_config(CONFIG)
    validate_config(prepared)
    machines = len(CONFIG["provider"]["worker_ips"])
    (node,) = prepared["available_node_types"].values()
    assert (node["min_workers"], node["max_workers"], prepared["max_workers"]) == (machines, machines, machines)


def test_ray_rejects_what_it_does_not_know():
    with pytest.raises(ValidationError, match="initial_workers"):
        validate_config(prepare_config(CONFIG | {"initial_workers": 2}))


def test_everything_a_grid_needs_is_copied_and_exists():
    local = {Path(source).expanduser() for source in CONFIG["file_mounts"].values()}
    token = Path("~/.ray/auth_token").expanduser()  # the lab's own, created once; see the top of cluster.yaml
    assert token in local
    assert not [source for source in local - {token} if not (ROOT / source).exists()]
    assert {Path(name) for name in ("platform", "search_spaces", "trainables", "Makefile", "requirements.txt")} <= local
    assert all(remote in ("~/.ray/auth_token", f"~/ferray/{source}") for remote, source in CONFIG["file_mounts"].items())


def test_ray_is_pinned_to_one_version_everywhere():
    pins = {pin.name: pin for pin in map(Requirement, re.findall(r"^[a-z][^\\\n]*", (ROOT / "requirements.txt").read_text(), re.M))}
    dependencies = {requirement.name: requirement for requirement in map(Requirement, PROJECT["dependencies"])}
    (version,) = (specifier.version for specifier in pins["ray"].specifier)
    assert version in dependencies["ray"].specifier
    assert version == ray.__version__
    for command in CONFIG["head_start_ray_commands"] + CONFIG["worker_start_ray_commands"]:
        assert "~/ferray/.venv/bin/ray " in command  # the pinned Ray, not one on the machine's PATH


def test_the_setup_command_installs_the_requirements():
    *_, command = CONFIG["setup_commands"]
    output = subprocess.run(
        [*command.replace("~/ferray", str(ROOT)).split(), "--dry-run"], capture_output=True, text=True, check=True
    ).stdout
    assert "--require-hashes --requirement requirements.txt" in output and "requirements-dev" not in output
    minor = re.search(r"PYTHON=python(\S+)", command)
    assert minor and minor[1] in SpecifierSet(PROJECT["requires-python"])
    assert minor[0] in output or f"python{minor[1]} -m venv" in output


@pytest.mark.parametrize("start", STARTS)
def test_start_commands_are_shell_and_agree_on_the_token(start):
    subprocess.run([shutil.which("bash") or "bash", "-n", "-c", start], check=True)
    assert "RAY_AUTH_MODE=token" in start
    assert "--disable-usage-stats" in start


@pytest.mark.parametrize("start", STARTS)
def test_a_machine_knows_its_cluster_once_it_belongs_to_it(start):
    """A command without options on the machine then joins the cluster, with its token; see platform/launch/cluster.py."""
    assert re.search(r"&& echo \S+:6379 > ~/ferray/\.cluster$", start)
    assert ".cluster" in (ROOT / ".gitignore").read_text().splitlines(), "it must not be copied from machine to machine"


@pytest.mark.parametrize("start", STARTS)
def test_start_commands_use_options_that_ray_has(start):
    help_text = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for option in re.findall(r"--[a-z][a-z-]+", start.partition("ray start")[2]):
        assert f"{option} " in help_text or f"{option}\n" in help_text
