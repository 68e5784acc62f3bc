"""`ferray` from folders that are not the checkout, and what stands there in its place where the environment is missing."""

import os
import re
import resource
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from platform.cli.commands import COMMANDS, list_commands
from tests.running import ROOT, run

LAUNCHER = str(ROOT / "platform" / "cli" / "launcher.py")
ELSEWHERE = Path("/")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}


def ferray(*words: str, cwd: Path = ELSEWHERE, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, LAUNCHER, *words]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT | {"COLUMNS": "100"} | environment, capture_output=True, text=True)


def cpu_seconds(*command: str) -> float:
    """Return the processor time of a process, which must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ELSEWHERE, env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_every_package_that_can_be_run_is_a_command() -> None:
    packages = {file.parent.name for file in (ROOT / "platform").glob("*/__main__.py")}
    assert packages <= set(COMMANDS), "add it to platform/cli/commands.py"
    assert list(list_commands()) == [name for name in COMMANDS if name in packages] and "status" in packages


def test_alone_it_lists_each_command_on_one_line() -> None:
    done = ferray()
    assert done.returncode == 0 and not done.stderr
    for name, summary in list_commands().items():
        (line,) = [line for line in done.stdout.splitlines() if re.match(rf"│ {name} ", line)]
        assert summary in line and len(summary) <= 68, f"{name}: too long for a terminal of 80 columns"


def test_the_version_is_that_of_pyproject() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert ferray("--version").stdout == f"ferray {version} ({ROOT})\n"


@pytest.mark.parametrize("name", list(list_commands()))
def test_help_says_how_it_was_started(name: str) -> None:
    done = ferray(name, "--help")
    assert done.returncode == 0 and f"Usage: ferray {name} " in done.stdout, done.stderr


@pytest.mark.parametrize(("words", "line"), [(["gird"], "No such command 'gird'. Did you mean 'grid'?"), (["--verison"], "--version")])
def test_a_wrong_word_is_one_line(words: list[str], line: str) -> None:
    done = ferray(*words)
    assert done.returncode == 2 and line in done.stderr and done.stderr.count("\n") == 1 and not done.stdout


@pytest.mark.parametrize(
    "typed", ["grid", "grid ci", "grid --dry", "search --help", "report --metr", "data ch", "explain --cl", "status --w"]
)
def test_the_shell_completes_commands_and_options(typed: str) -> None:
    wanted = {"grid": "grid", "grid ci": "ciao", "grid --dry": "--dry-run"}
    wanted |= {"search --help": "--help", "report --metr": "--metric", "data ch": "check"}
    wanted |= {"explain --cl": "--class", "status --w": "--watch"}
    line = f"ferray {typed}"
    completed = ferray(_FERRAY_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(line.split()) - 1)).stdout.split()
    assert wanted[typed] in completed


@pytest.mark.parametrize("words", [[], ["grid", "--help"], ["grid", "ciao", "--help"], ["search", "--help"], ["status", "--help"]])
def test_help_does_not_wait_for_torch(words: list[str]) -> None:
    """It takes .2 to .8 s of processor time on an idle machine; with torch, 2 s more."""
    assert min(cpu_seconds(sys.executable, LAUNCHER, *words) for _ in range(3)) < 2


def test_a_folder_with_another_trainables_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trainables").mkdir()
    done = ferray("grid", "--dry-run", cwd=tmp_path)
    assert done.returncode == 2 and "has a folder trainables of its own" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["grid", "search", "report", "explain", "data", "doctor", "status"])
def test_a_python_without_the_packages_is_one_line_that_says_what_to_type(command: str) -> None:
    """With -S, Python finds the standard library alone, as a system's Python does."""
    code, said = run(["-S", "-m", f"platform.{command}", "--help"])
    assert code == 2 and said.count("\n") == 1, said
    assert "has no typer" in said and f"ferray {command} --help" in said


@pytest.mark.parametrize("version", ["3.8", "3.9"])
def test_an_old_python_gets_the_same_line(version: str) -> None:
    python = next(map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python")), None) or shutil.which(f"python{version}")
    if python is None:
        pytest.skip(f"no Python {version} here")
    done = subprocess.run([python, "-m", "platform.grid"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 2 and "has no typer" in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_without_an_environment_the_script_says_what_to_type(tmp_path: Path) -> None:
    script = shutil.copy(ROOT / "ferray", tmp_path / "ferray")
    link = tmp_path / "link"
    link.symlink_to(script)
    done = subprocess.run([link, "grid"], cwd=ELSEWHERE, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == f"ferray has no environment yet: type make -C '{tmp_path}' venv\n"


def test_the_script_starts_the_checkout_through_a_link(tmp_path: Path) -> None:
    """`make venv` links it into .venv/bin."""
    if not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.skip("the checkout has no environment of its own")
    link = tmp_path / "ferray"
    link.symlink_to(ROOT / "ferray")
    done = subprocess.run([link, "--version"], cwd=ELSEWHERE, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith(f"({ROOT})\n"), done.stderr
