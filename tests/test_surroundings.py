"""Commands in unfriendly surroundings: an output that is not UTF-8, no home folder, a user whom the system does not know."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ASCII = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
LATIN = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "iso-8859-1"}


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=os.environ | environment, capture_output=True)


@pytest.mark.parametrize("surroundings", [ASCII, LATIN], ids=["ascii", "latin"])
def test_the_check_and_the_doctor_print_in_any_encoding(surroundings: dict[str, str], tmp_path: Path) -> None:
    """An exit of 1 means problems in the data, so an output that lacks a character must not end in a traceback."""
    checked = run("platform.data", "check", "faces:children", **surroundings, FERRAY_CACHE=str(tmp_path))
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.decode("ascii" if surroundings is ASCII else "latin-1").rstrip().endswith("No problem found in this copy.")
    doctor = run("platform.doctor", "--runs", str(tmp_path / "runs"), **surroundings)
    assert doctor.returncode == 0 and b"Traceback" not in doctor.stderr, doctor.stderr
    assert b"  + " in doctor.stdout
    if surroundings is ASCII:
        doctor.stdout.decode("ascii")


UNKNOWN = """
import os, pwd, runpy, sys
def know_nobody(number):
    raise KeyError(number)
pwd.getpwuid = know_nobody
runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("command", [("platform.data", "check", "faces:children"), ("platform.report", "--help")])
def test_a_user_without_a_home_folder_gets_one(command: tuple[str, ...], tmp_path: Path) -> None:
    """As in a container with an arbitrary user number: no HOME, and no entry in the list of users."""
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME", "FERRAY_CACHE")}
    call = [sys.executable, "-c", UNKNOWN.replace("sys.argv[1]", repr(command[0])), *command[1:]]
    done = subprocess.run(call, cwd=ROOT, env=environment | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True)
    home = tmp_path / f"ferray-home-{os.getuid()}"
    assert done.returncode == 0 and home.is_dir() and home.stat().st_mode & 0o777 == 0o700
    assert done.stderr.splitlines()[0] == f"this user has no home folder; {home} is used (set HOME to another one)"
