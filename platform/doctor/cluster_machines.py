"""Check the machines of a cluster.yaml over ssh, on the routes that Ray uses: the head from here, the workers through the head.

Ray's own validator checks only the file. Here every machine is queried at the same time. A fault of one machine, or a difference between
two, is a finding of one line.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from platform.doctor.finding import GIB, DoctorFinding
from platform.launch.ray_token import find_token_file, is_token_open
from trainables.registry import BadRequest, describe_os_error, join_lines

ANSWER_S = 40
"""seconds that a machine may take to answer all questions"""
CLOCK_S = 5.0
"""seconds; larger differences between clocks make claims and times in results wrong"""

ASK = r"""
say() { echo "ferray:$1=$2"; }
say time "$(date +%s.%N)"
say name "$(hostname)"
say python "$({python} -c 'import sys, venv, ensurepip; print("%d.%d.%d" % sys.version_info[:3])' 2>&1 | tail -n 1)"
say ray "$(~/ferray/.venv/bin/python -c 'from importlib.metadata import version; print(version("ray"))' 2>&1 | tail -n 1)"
say set_up "$(ls ~/ferray/.venv/bin/python 2>/dev/null)"
for tool in rsync make; do command -v $tool > /dev/null || say lacks $tool; done
say token "$(sha256sum < ~/.ray/auth_token | cut -d ' ' -f 1)"
say token_mode "$(stat -c %a ~/.ray/auth_token)"
say home "$(df -Pk ~ | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4)"
say tmp "$(df -Pk /tmp | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4,5)"
say gpu "$(nvidia-smi --query-gpu=driver_version,name --format=csv,noheader 2>/dev/null | sort | uniq -c | tr -s ' ' | paste -sd ';')"
say driver "$(ls /proc/driver/nvidia/version 2>/dev/null)"
for path in {data}; do [ -r "$path" ] || say missing "$path"; done
mkdir -p {runs} && echo {mark} > {runs}/.doctor-{mark}-{address} && say wrote yes
say end yes
"""
SEEN = r"""
sleep 1
for file in {runs}/.doctor-{mark}-*; do echo "ferray:seen=$(basename $file)"; done
"""
REMOVE = "rm -f {runs}/.doctor-{mark}-*\n"
BUCKET = r"""
cd ~/ferray && .venv/bin/python - <<'END' 2>&1 | tail -n 1
from trainables.storage.store import RunFolder
folder = RunFolder("{runs}")
folder.put(b"", ".doctor-{mark}-{address}")
folder.remove(".doctor-{mark}-{address}")
print("ferray:bucket=yes")
END
"""


@dataclass
class Machine:
    """One machine and its answers."""

    address: str
    kind: str
    """head or worker"""
    said: dict[str, list[str]] = field(default_factory=dict)
    error: str = ""
    clock: tuple[float, float] = (0.0, 0.0)
    """seconds by which its clock is ahead of ours, and the uncertainty of that in seconds"""

    def __str__(self) -> str:
        return f"{self.kind} {self.address}"

    def get_answer(self, name: str) -> str:
        return (self.said.get(name) or [""])[-1].strip()


def read_cluster_file(file: str) -> dict[str, Any]:
    """Return a cluster.yaml of on-premises machines that Ray would accept. Raises BadRequest with a message of one line."""
    try:
        config = yaml.safe_load(Path(file).read_text())
    except OSError as error:
        raise BadRequest(f"{file}: {describe_os_error(error)}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadRequest(f"{file}: cannot be read as YAML ({join_lines(error)})") from None
    if not isinstance(config, dict) or (config.get("provider") or {}).get("type") != "local":
        raise BadRequest(f"{file}: names no machines (provider: type: local); the machines of a cloud cluster exist only after ray up")
    from platform.launch.ray_internals import find_config_error

    if reason := find_config_error(config):
        raise BadRequest(f"{file}: Ray does not accept it: {reason}")
    return config


def check_machines(file: str, runs: str, data: Iterable[str]) -> Iterator[tuple[str, list[DoctorFinding]]]:
    """Yield the findings section by section: this machine, each machine, all together. `data` are paths that every machine must have."""
    config = read_cluster_file(file)
    yield "Here", list(check_this_machine(config))
    provider = config["provider"]
    head = Machine(provider["head_ip"], "head")
    machines = [head, *(Machine(address, "worker") for address in provider["worker_ips"])]
    python = re.search(r"PYTHON=(\S+)", " ".join(config.get("setup_commands", [])))
    bucket, mark = "://" in runs, uuid.uuid4().hex[:8]

    def fill(script: str, machine: Machine) -> str:
        values = {
            "python": python[1] if python else "python3",
            "data": " ".join(map(shlex.quote, data)),
            "runs": "~/.ray" if bucket and script is ASK else runs if bucket else shlex.quote(runs),
            "mark": mark,
            "address": machine.address,
        }
        return re.sub(r"\{(python|data|runs|mark|address)\}", lambda match: values[match[1]], script)

    def ask(machine: Machine, script: str) -> None:
        via = None if machine is head else head
        if via and via.error:
            machine.error = "not asked, because it is reached through the head, which does not answer"
        else:
            run_remote(machine, fill(script, machine), config["auth"], via)

    ask(head, ASK)
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda machine: ask(machine, ASK), machines[1:]))
        answering = [machine for machine in machines if not machine.error]
        list(pool.map(lambda machine: ask(machine, BUCKET if bucket else SEEN), answering))
        for machine in [] if bucket else answering:
            ask(machine, REMOVE)
    for machine in machines:
        yield str(machine), list(check_machine(machine, runs, bucket))
    answering = [machine for machine in machines if not machine.error]
    yield "Together", list(compare_machines(answering, runs, bucket, mark))


def run_remote(machine: Machine, script: str, auth: dict[str, Any], via: Machine | None) -> None:
    """Run a script on a machine in an interactive login shell, as Ray does, and store its answers."""
    command = _build_ssh_command(auth)
    if via:
        command += ["-o", f"ProxyCommand={shlex.join([*_build_ssh_command(auth), '-W', '%h:%p'])} {auth['ssh_user']}@{via.address}"]
    command += [f"{auth['ssh_user']}@{machine.address}", "bash --login -i -s 2> /dev/null"]
    before = time.time()
    try:
        result = subprocess.run(command, input=f". ~/.bashrc\n{script}", capture_output=True, text=True, timeout=ANSWER_S)
    except subprocess.TimeoutExpired:
        machine.error = f"does not answer within {ANSWER_S} s"
        return
    after = time.time()
    for name, value in re.findall(r"^ferray:(\w+)=(.*)$", result.stdout, re.M):
        machine.said.setdefault(name, []).append(value)
    if not machine.get_answer("name"):
        lines = [line for line in result.stderr.splitlines() if line.strip() and not line.startswith("Warning:")]
        machine.error = lines[-1].strip() if lines else f"ssh ended with {result.returncode}"
    elif machine.clock == (0.0, 0.0):
        machine.clock = float(machine.get_answer("time")) - (before + after) / 2, (after - before) / 2


def _build_ssh_command(auth: dict[str, Any]) -> list[str]:
    known = os.path.expanduser("~/.ssh/known_hosts")  # a machine's key is noted at the first call, and a changed one is refused
    options = (
        "StrictHostKeyChecking=accept-new",
        f"UserKnownHostsFile={known}",
        "ConnectTimeout=10",
        "BatchMode=yes",
        "IdentitiesOnly=yes",
    )
    key = os.path.expanduser(auth.get("ssh_private_key", "~/.ssh/id_rsa"))
    return ["ssh", "-i", key, *(part for option in options for part in ("-o", option))]


def check_this_machine(config: dict[str, Any]) -> Iterator[DoctorFinding]:
    """Check what `ray up` needs on the machine where it is run."""
    for tool in ("ssh", "rsync"):
        if not shutil.which(tool):
            yield DoctorFinding(f"no {tool} here", f"install {tool}: ray up copies and commands with it", bad=True)
    key = Path(os.path.expanduser(config["auth"].get("ssh_private_key", "~/.ssh/id_rsa")))
    if not os.access(key, os.R_OK):
        yield DoctorFinding(f"the key {key} is not there, or cannot be read", "name another under auth: ssh_private_key", bad=True)
    elif b"ENCRYPTED" in key.read_bytes():
        yield DoctorFinding(f"the key {key} has a passphrase, which Ray cannot type", "make one without: ssh-keygen -N ''", bad=True)
    else:
        yield DoctorFinding(f"key {key}")
    token = find_token_file()
    if is_token_open(token):
        yield DoctorFinding(f"others can read {token}", f"chmod 600 {token}", bad=True)
    for source in (config.get("file_mounts") or {}).values():
        if not Path(source).expanduser().exists():
            mend = "(umask 077; .venv/bin/ray get-auth-token --generate)" if "auth_token" in source else "run this in the checkout's folder"
            yield DoctorFinding(f"{source} is to be copied to every machine and is not here", mend, bad=True)


def check_machine(machine: Machine, runs: str, bucket: bool) -> Iterator[DoctorFinding]:
    """Report the faults of one machine by itself."""
    if machine.error:
        mend = {
            "Host key verification failed": f"its ssh key has changed; if you know why: ssh-keygen -R {machine.address}",
            "Permission denied": "its user has no such key: ssh-copy-id, or another ssh_user or ssh_private_key",
            "not asked": "see the head",
        }
        default = "is it on, is its address right, does an ssh server run, does a firewall stand between?"
        yield DoctorFinding(machine.error, next((text for sign, text in mend.items() if sign in machine.error), default), bad=True)
        return
    yield DoctorFinding(f"answers as {machine.get_answer('name')}")
    for tool in machine.said.get("lacks", []):
        yield DoctorFinding(f"no {tool}", f"install {tool} there", bad=True)
    python = machine.get_answer("python")
    if not re.fullmatch(r"[\d.]+", python):
        yield DoctorFinding(f"no suitable Python: {python}", "install the one that setup_commands names, with venv", bad=True)
    if not machine.get_answer("set_up"):
        yield DoctorFinding("not set up yet", "ray up cluster.yaml does it")
    elif hash_own_token() and machine.get_answer("token") != hash_own_token():
        yield DoctorFinding("has another token than this machine, or none", "ray up cluster.yaml copies this one", bad=True)
    elif machine.get_answer("token_mode") not in ("600", "400"):
        yield DoctorFinding(
            f"others can read its token (mode {machine.get_answer('token_mode')})", "chmod 600 ~/.ray/auth_token, here and there", bad=True
        )
    room = float(machine.get_answer("home") or 0) * 1024 / GIB
    needed = 2.0 if machine.get_answer("set_up") else 12.0
    too_little = room < needed
    yield DoctorFinding(
        f"{room:.0f} GiB free at home", f"set-up and runs take {needed:.0f} GiB: make room" if too_little else "", too_little
    )
    tmp, used = [*machine.get_answer("tmp").split(), "0", "0%"][:2]
    full = int(used.rstrip("%") or 0) >= 95
    yield DoctorFinding(
        f"{float(tmp) * 1024 / GIB:.0f} GiB free in /tmp", "Ray stops on a disk that is 95 % full: make room" if full else "", full
    )
    if machine.get_answer("driver") and not machine.get_answer("gpu"):
        yield DoctorFinding("a GPU driver is there, but nvidia-smi finds no GPU", "run nvidia-smi there; a reboot often helps", bad=True)
    else:
        yield DoctorFinding(f"GPUs: {machine.get_answer('gpu') or 'none'}")
    for path in machine.said.get("missing", []):
        yield DoctorFinding(f"{path} is missing or cannot be read", "data must lie under the same path on every machine", bad=True)
    if bucket and machine.get_answer("set_up") and not machine.get_answer("bucket"):
        yield DoctorFinding(
            f"cannot write to {runs}", "credentials for it must be on every machine (~/.aws, or the machine's role)", bad=True
        )
    elif not bucket and not machine.get_answer("wrote"):
        yield DoctorFinding(f"cannot write to {runs}", "mount it there, for this user", bad=True)


def compare_machines(machines: list[Machine], runs: str, bucket: bool, mark: str) -> Iterator[DoctorFinding]:
    """Report differences between machines that must agree. Each finding names the machines with each value."""
    if len(machines) < 2:
        yield DoctorFinding("fewer than two machines answer, so they cannot be compared", "" if machines else "see above")
        return
    for subject, answers, mend in (
        (
            "Python",
            {str(m): ".".join(m.get_answer("python").split(".")[:2]) for m in machines},
            "install the same minor version everywhere",
        ),
        (
            "Ray",
            {str(m): m.get_answer("ray") for m in machines if m.get_answer("set_up")},
            "ray up cluster.yaml installs the pinned one everywhere",
        ),
        (
            "GPU driver",
            {str(m): versions[0] for m in machines if (versions := re.findall(r"\d[\d.]+(?=,)", m.get_answer("gpu")))},
            "install the same driver version everywhere",
        ),
    ):
        kinds = {value: [name for name, other in answers.items() if other == value] for value in answers.values()}
        if len(kinds) > 1:
            description = "; ".join(f"{value or 'none'} on {', '.join(names)}" for value, names in kinds.items())
            yield DoctorFinding(f"different {subject}: {description}", mend, bad=subject != "GPU driver")
        elif kinds:
            yield DoctorFinding(f"{subject} {next(iter(kinds))} everywhere")
    wrong_clocks = [(m, m.clock[0]) for m in machines if abs(m.clock[0]) - m.clock[1] > CLOCK_S]
    for machine, seconds in wrong_clocks:
        direction = "ahead" if seconds > 0 else "behind"
        yield DoctorFinding(f"the clock of {machine} is {abs(seconds):.0f} s {direction}", "let chrony or ntpd set it", bad=True)
    if not wrong_clocks:
        yield DoctorFinding("clocks agree")
    if bucket:
        return
    names = {f".doctor-{mark}-{machine.address}" for machine in machines if machine.get_answer("wrote")}
    separate = [machine for machine in machines if not names <= set(machine.said.get("seen", []))]
    if separate:
        separate_names = ", ".join(map(str, separate))
        yield DoctorFinding(
            f"{runs} is not one folder: {separate_names} does not see what the others write",
            "mount one NFS there, or use a bucket",
            bad=True,
        )
    else:
        yield DoctorFinding(f"{runs} is one folder for all")


def hash_own_token() -> str:
    file = Path(os.path.expanduser("~/.ray/auth_token"))
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""
