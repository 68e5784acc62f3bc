"""A lab on one machine: hosts with their own network, processes, mounts and host name, each with a real ssh server, on one switch.

A host has its own home (`/home/lab`, user `lab`), /tmp/ray, /dev/shm and /srv, and sees the rest of this machine. All hosts see the same
folder under /srv/shared, as over NFS. `pull_plug` removes a host's network link and then kills it, so that its peers get no closing
message. No host ever outlives the process that started it. Needs root, iproute2 and openssh-server.
"""

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.running import PATIENCE_S, wait_for

CHECKOUT = Path(__file__).resolve().parents[2]
HOME = "/home/lab"
SHARED = "/srv/shared"
NEEDED = {"ip": "iproute2", "sshd": "openssh-server", "ssh": "openssh-client", "rsync": "rsync", "unshare": "util-linux", "make": "make"}

INIT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run && mkdir /run/sshd
mount -t tmpfs tmpfs /srv && mkdir /srv/shared
mount -t tmpfs tmpfs /home && mkdir /home/lab
mkdir -p /tmp/ray
mount --bind "$folder/home" /home/lab
mount --bind "$folder/tmp" /tmp/ray
mount --bind "$shared" /srv/shared
mount --bind "$folder/passwd" /etc/passwd
hostname "$name"
ip link set lo up
until ip link show eth0 > /dev/null 2>&1; do sleep 0.05; done
ip addr add "$address/24" dev eth0
ip link set eth0 up
ip route add default via "$gateway"
exec "$sshd" -D -e -f /dev/null -h "$folder/host_key" -o PermitRootLogin=yes -o StrictModes=no -o PidFile=none -o UsePAM=no \\
    -o PasswordAuthentication=no -o MaxStartups=100 -o ListenAddress="$address"
"""


def missing() -> str:
    """Return what this machine lacks to run a lab; empty if it lacks nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux, for network namespaces"
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if packages := [package for program, package in NEEDED.items() if not shutil.which(program, path=path)]:
        return f"needs {', '.join(packages)}"
    result = subprocess.run(["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "true"], capture_output=True, text=True)
    return f"no namespaces here: {result.stderr.strip()}" if result.returncode else ""


@dataclass
class Host:
    """One host of the lab."""

    name: str
    address: str
    folder: Path
    key: Path
    cable: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """The home folder of its user, as a path outside the host."""
        return self.folder / "home"

    def command(self, script: str) -> list[str]:
        """Return the command that runs a script on the host, in a login shell of its user."""
        quiet = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5", "BatchMode=yes")
        options = [f"-o{option}" for option in quiet]
        return ["ssh", "-i", str(self.key), *options, f"lab@{self.address}", f"bash --login -c {shlex.quote(f'. ~/.bashrc; {script}')}"]

    def run(self, script: str, timeout: float = PATIENCE_S) -> tuple[int, str]:
        """Run a script; return its exit code and the output of both streams."""
        done = subprocess.run(
            self.command(script), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout
        )
        return done.returncode, done.stdout

    def must(self, script: str, timeout: float = PATIENCE_S) -> str:
        code, output = self.run(script, timeout)
        assert code == 0, f"{self.name}: {script}: exit {code}\n{output}"
        return output

    def pull_plug(self) -> None:
        """Remove the network link, then kill the host."""
        if self.process and self.process.poll() is None:
            subprocess.run(["ip", "link", "delete", self.cable], check=False, capture_output=True)
            os.killpg(self.process.pid, signal.SIGKILL)  # kills unshare and, by --kill-child, every process in its namespaces
            self.process.wait()


@contextlib.contextmanager
def lab(folder: Path, *names: str) -> Iterator[list[Host]]:
    """Yield hosts with these names. They accept each other's key and answer over ssh."""
    number = secrets.token_hex(3)
    switch, net = f"fer{number}", f"10.{64 + int(number[:2], 16) % 64}.{int(number[2:4], 16)}"
    (folder / "shared").mkdir()
    key = folder / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    hosts = [Host(name, f"{net}.{10 + index}", folder / name, key, f"{switch}{index}") for index, name in enumerate(names)]
    subprocess.run(["ip", "link", "add", switch, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", f"{net}.1/24", "dev", switch], check=True)
        subprocess.run(["ip", "link", "set", switch, "up"], check=True)
        for host in hosts:
            _boot(host, switch, f"{net}.1", folder / "shared")
        for host in hosts:
            _await(host)
        yield hosts
    finally:
        for host in hosts:
            host.pull_plug()
        subprocess.run(["ip", "link", "delete", switch], check=False, capture_output=True)


def _boot(host: Host, switch: str, gateway: str, shared: Path) -> None:
    for part in ("home/.ssh", "tmp"):
        (host.folder / part).mkdir(parents=True)
    for name in ("authorized_keys", "id_ed25519"):
        source = host.key if name == "id_ed25519" else host.key.with_suffix(".pub")
        shutil.copyfile(source, host.home / ".ssh" / name)
        (host.home / ".ssh" / name).chmod(0o600)
    python = Path(sys.base_prefix, "bin")
    (host.home / ".bashrc").write_text(f"export PATH={python}:$PATH\n")
    users = Path("/etc/passwd").read_text()
    (host.folder / "passwd").write_text(f"lab:x:0:0:lab:{HOME}:/bin/bash\n{users}")  # the first entry of a user id gives its name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host.folder / "host_key"], check=True)
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    variables = {"folder": host.folder, "shared": shared, "name": host.name, "address": host.address, "gateway": gateway, "sshd": sshd}
    environment = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"} | {name: str(value) for name, value in variables.items()}
    namespaces = ["--net", "--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child=KILL", "--mount-proc"]
    with open(host.folder / "log", "wb") as log:
        host.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, "bash", "-c", INIT],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    pid = _child(host.process.pid)
    subprocess.run(["ip", "link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", str(pid)], check=True)
    subprocess.run(["ip", "link", "set", host.cable, "master", switch, "up"], check=True)


def _child(pid: int) -> int:
    """Return the first process in the namespaces that `unshare` makes: its only child."""
    return int(wait_for(lambda: Path(f"/proc/{pid}/task/{pid}/children").read_text().split())[0])


def _await(host: Host) -> None:
    wait_for(lambda: host.run("true")[0] == 0, (host.folder / "log").read_text)


def furnish(host: Host) -> None:
    """Give a host the packages of this interpreter, as an earlier `ray up` would have left them. This saves installing gigabytes."""
    source, target = Path(sys.prefix), host.home / "ferray" / ".venv"
    copied = {"pyvenv.cfg", "bin"}  # `make venv` writes into these
    shutil.copytree(source, target, symlinks=True, copy_function=_link, ignore=lambda at, _: copied if at == str(source) else ())
    shutil.copytree(source / "bin", target / "bin", symlinks=True)
    shutil.copyfile(source / "pyvenv.cfg", target / "pyvenv.cfg")


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)  # a hard link is safe, because nothing writes into an installed file
    except OSError:
        shutil.copy2(source, target)
