"""A command that starts its own Ray asks nothing beyond this machine, leaves no open token, and is swept if it is killed."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from platform.launch import ray_sessions
from tests.faults import processes
from tests.running import NO_TOKEN, Process, start, wait_for

GRID = ["-m", "platform.grid", "--only", "method=SL(c)", "--only", "split=.5", "--only", "ratio=1", "--seeds", "1", "--slots", "1"]
GRID += ["--set", "per_class=8", "--set", "precision=fp32", "--set", "epochs=1"]
HERE = re.compile(r"sa_family=AF_(UNIX|NETLINK|UNSPEC|PACKET)|inet_addr\(\"(127\.|0\.0\.0\.0\")|inet_pton\(AF_INET6, \"(::1|::ffff:127\.)")
"""addresses of this machine, as strace writes them"""


def start_grid(place: Path, *before: str, **environment: str) -> Process:
    variables = {name: "" for name in NO_TOKEN} | {"HOME": str(place), "RAY_TMPDIR": str(place / "r")} | environment
    (place / "r").mkdir(exist_ok=True)
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        variables.pop(name, None)
        os.environ.pop(name, None)
    return start([*before, *GRID, "--runs", str(place / "runs")], variables | {"RAY_AUTH_MODE": "token"})


def list_requests(log: Path) -> list[str]:
    """Return the calls that address another machine."""
    calls = [line for line in log.read_text(errors="replace").splitlines() if re.search(r"\b(connect|sendto|sendmsg)\(", line)]
    return [line for line in calls if "sa_family=" in line and not HERE.search(line)]


def test_a_start_asks_nothing_beyond_this_machine(short_place: Path) -> None:
    """Ray's dashboard used to ask 169.254.169.254 twice, and DNS for a cloud's metadata server, at each start."""
    if not (strace := shutil.which("strace")):
        pytest.skip("needs strace")
    log = short_place / "log"
    options = ["-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(log)]
    wrap = f"import os, sys; os.execv({strace!r}, ['strace', *{options!r}, sys.executable, *sys.argv[1:]])"
    code, output = start_grid(short_place, "-c", wrap).end()
    assert code == 0, output
    assert "connect(" in log.read_text(errors="replace"), "strace saw nothing"
    assert not list_requests(log)
    token = short_place / ".ray" / "auth_token"
    assert not token.exists() or token.stat().st_mode & 0o077 == 0


def test_other_machines_are_seen(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        '7 connect(5, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("169.254.169.254")}, 16) = -1\n'
        '7 sendto(5, "q", 1, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.2")}, 16) = 1\n'
        '7 connect(5, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16) = 0\n'
        '7 connect(5, {sa_family=AF_UNIX, sun_path="/run/a"}, 10) = 0\n'
    )
    assert len(list_requests(tmp_path / "log")) == 2


@pytest.fixture
def short_place() -> object:
    """A folder whose path is short enough for Ray's sockets."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="o", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def test_the_session_of_a_command_that_is_killed_while_ray_starts_is_swept(short_place: Path) -> None:
    """Five of six such folders used to stay for ever, because only a Ray that was up got our mark."""
    sessions = short_place / "r" / "ray"
    for _ in range(ray_sessions.KEPT + 2):
        before = set(sessions.glob("session_2*"))
        command = start_grid(short_place)
        command.wait_for(lambda before=before: set(sessions.glob("session_2*")) - before)
        for pid in [command.pid, processes.driver_of(command.pid)]:
            processes.kill(pid, signal.SIGKILL)
        command.end()
    unmarked = [path for path in sessions.glob("session_2*") if not (path / ray_sessions.MARK).exists()]
    assert len(unmarked) == ray_sessions.KEPT + 2, "the kills came too late"
    wait_for(lambda: not any(ray_sessions._is_driver_alive(path.name) for path in unmarked))
    ray_sessions.remove_dead_sessions(sessions)
    assert len(list(sessions.glob("session_2*"))) == ray_sessions.KEPT and not list(sessions.glob(f"{ray_sessions.MARK}.*"))


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
