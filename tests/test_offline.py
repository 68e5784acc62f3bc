"""A command that starts its own Ray asks nothing beyond this machine, leaves no open token, and is swept if it is killed."""

import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform.launch import ray_sessions
from platform.launch.ray_internals import PUBLIC_ONLY
from tests.running import ROOT, Process, start, wait_for

START = """
import time
from pathlib import Path
from platform.launch.cluster import start_ray
with start_ray() as wait_until_up:
    wait_until_up()
    import ray._private.worker
    log = Path(ray._private.worker._global_node.get_session_dir_path(), "logs", "dashboard.log")
    while "Usage reporting is disabled" not in (log.read_text() if log.exists() else ""):  # after it the dashboard's process asks nothing
        time.sleep(0.1)
    print("up")
"""
"""what a command does that starts its own Ray"""
HERE = re.compile(r"sa_family=AF_(UNIX|NETLINK|UNSPEC|PACKET)|inet_addr\(\"(127\.|0\.0\.0\.0\")|inet_pton\(AF_INET6, \"(::1|::ffff:127\.)")
"""addresses of this machine, as strace writes them"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose path is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="o", dir="/tmp", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "r").mkdir()
        yield Path(folder)


def start_ray(place: Path, code: str = START, **more: str) -> Process:
    unset = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
    clean = f"import os\nfor name in {unset!r}: os.environ.pop(name, None)\n"
    return start(["-c", clean + code], {"HOME": str(place), "RAY_TMPDIR": str(place / "r"), "PYTHONPATH": str(ROOT)} | more)


def list_requests(log: Path) -> list[str]:
    """Return the calls that address another machine."""
    calls = [line for line in log.read_text(errors="replace").splitlines() if re.search(r"\b(connect|sendto|sendmsg)\(", line)]
    return [line for line in calls if "sa_family=" in line and not HERE.search(line)]


def trace_start(place: Path, **more: str) -> list[str]:
    """Start and stop a Ray. Return the calls of its processes that address another machine."""
    if not (strace := shutil.which("strace")):
        pytest.skip("needs strace")
    log = place / "log"
    options = ["-f", "--seccomp-bpf", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(log)]
    wrap = f"import sys\nos.execv({strace!r}, ['strace', *{options!r}, sys.executable, '-c', {START!r}])"
    code, output = start_ray(place, wrap, **more).end()
    assert code == 0 and "up" in output, output
    assert "connect(" in log.read_text(errors="replace"), "strace saw nothing"
    return list_requests(log)


def test_a_start_asks_nothing_beyond_this_machine(place: Path) -> None:
    """Ray's dashboard used to ask 169.254.169.254 twice, and DNS for a cloud's metadata server, at each start."""
    assert not trace_start(place)
    assert not (place / ".ray" / "auth_token").exists()


@pytest.mark.slow
def test_without_our_setting_it_asks(place: Path) -> None:
    assert any("169.254.169.254" in call for call in trace_start(place, **{PUBLIC_ONLY: "1"}))


def test_other_machines_are_seen(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        '7 connect(5, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("169.254.169.254")}, 16) = -1\n'
        '7 sendto(5, "q", 1, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.2")}, 16) = 1\n'
        '7 connect(5, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16) = 0\n'
        '7 connect(5, {sa_family=AF_UNIX, sun_path="/run/a"}, 10) = 0\n'
    )
    assert len(list_requests(tmp_path / "log")) == 2


def test_the_session_of_a_command_that_is_killed_while_ray_starts_is_swept(place: Path) -> None:
    """Five of six such folders used to stay for ever, because only a Ray that was up got our mark."""
    sessions = place / "r" / "ray"

    def sweep() -> bool:
        """Sweep as a command does at its start. Daemons that are still dying may write to a folder again."""
        ray_sessions.remove_dead_sessions(sessions, kept=1)
        return len(list(sessions.glob("session_2*"))) == 1

    for _ in range(2):
        before = set(sessions.glob("session_2*"))
        command = start_ray(place)
        (session,) = command.wait_for(lambda before=before: set(sessions.glob("session_2*")) - before)
        command.send(signal.SIGKILL)
        command.end()
        assert not (session / ray_sessions.MARK).exists(), "the kill came too late"
    wait_for(sweep)
    assert not list(sessions.glob(f"{ray_sessions.MARK}.*"))


def test_a_folder_that_is_older_than_the_record_is_not_ours(tmp_path: Path) -> None:
    """Linux gives the number of a dead process to another one."""
    (tmp_path / "session_2026-01-01_00-00-00_000000_4194305").mkdir()
    os.utime(tmp_path / "session_2026-01-01_00-00-00_000000_4194305", (time.time() - 3600,) * 2)
    (tmp_path / f"{ray_sessions.MARK}.4194305").touch()
    (tmp_path / f"session_2026-01-02_00-00-00_000000_{os.getpid()}").mkdir()
    (tmp_path / f"{ray_sessions.MARK}.{os.getpid()}").touch()
    ray_sessions.remove_dead_sessions(tmp_path, kept=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [
            "session_2026-01-01_00-00-00_000000_4194305",
            f"session_2026-01-02_00-00-00_000000_{os.getpid()}",
            f"{ray_sessions.MARK}.{os.getpid()}",
        ]
    )
