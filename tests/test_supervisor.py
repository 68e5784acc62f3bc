"""The process that a user starts survives whatever ends its child, reports how the child ended, and leaves no process behind."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.processes import gone, members
from tests.running import PATIENCE_S

ROOT = Path(__file__).resolve().parent.parent
MARK = "ORDEAL_MARK"
BEGIN = """
import contextlib, os, signal, subprocess, sys, time
from platform.terminal import supervisor
supervisor.supervise_command()
stopped = 0
def count(number, frame):
    global stopped
    stopped += 1
    with contextlib.suppress(OSError):  # the terminal is closed
        print("heard", signal.Signals(number).name, flush=True)
"""
ORPHAN = 'subprocess.Popen(["sleep", "600"], start_new_session=True)\n'
WAIT = 'print("ready", flush=True)\nwhile not stopped: time.sleep(0.01)\n'
RESUMABLE = "; what was finished is kept: run the same command again to resume"


def start(code: str, before: Callable[[], None] | None = None, **options: object) -> subprocess.Popen[str]:
    """Run code in the child of a supervisor."""
    popen_options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    environment = os.environ | {MARK: f"{os.getpid()}-{time.monotonic_ns()}"}
    process = subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, "-c", BEGIN + code], cwd=ROOT, env=environment, text=True, preexec_fn=before, **popen_options
    )
    process.mark = environment[MARK]
    return process


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, error = process.communicate(timeout=PATIENCE_S)
    error = error or ""
    assert not gone(process.mark, 60), members(process.mark)  # type: ignore[attr-defined]
    return process.returncode, out, error.strip()


def child_of(process: subprocess.Popen[str]) -> int:
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


def read_until(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout
    while (output := process.stdout.readline()) != f"{line}\n":
        assert output, process.communicate()


def hear(signals: str) -> str:
    return "".join(f"signal.signal(signal.{name}, count)\n" for name in signals.split())


def test_input_output_and_exit_code_are_the_childs() -> None:
    code = "print(os.getpid() != supervisor.supervisor_pid(), sys.stdin.read(), file=sys.stderr)\nsupervisor.exit_process(7)\n"
    process = start(code, stdin=subprocess.PIPE)
    _, error = process.communicate("from the user", timeout=PATIENCE_S)
    assert (process.returncode, error) == (7, "True from the user\n")


@pytest.mark.parametrize(
    ("end", "code", "line"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", 2, "process {child} of this command was killed (by the kernel, if memory is short)"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 2, "process {child} of this command died of signal 11 (Segmentation fault)"),
        ("os._exit(1)", 2, "Ray ended process {child} of this command"),
        ('supervisor.report_lost("raylet"); os._exit(1)', 2, "Ray's raylet died"),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_a_child_that_ends_without_a_word(end: str, code: int, line: str, begun: bool) -> None:
    process = start(ORPHAN + ("supervisor.report_begun()\n" if begun else "") + f"print(os.getpid(), flush=True)\n{end}\n")
    exit_code, out, error = finish(process)
    assert exit_code == code and error == line.format(child=out.strip()) + (RESUMABLE if begun else ""), error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_child_once(number: signal.Signals) -> None:
    process = start(hear(number.name) + WAIT + "time.sleep(1)\nsupervisor.exit_process(130)\n", default_signals)
    read_until(process, "ready")
    for _ in range(3):  # `timeout` signals the process and its group
        process.send_signal(number)
    assert finish(process) == (130, f"heard {number.name}\n", "")


def default_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run in the background, where SIGINT is ignored
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_stopped_child_hears_a_signal() -> None:
    process = start(hear("SIGTERM") + WAIT + "supervisor.exit_process(130)\n", default_signals)
    read_until(process, "ready")
    os.kill(child_of(process), signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    assert finish(process) == (130, "heard SIGTERM\n", "")


def test_a_full_pipe_does_not_keep_it_from_ending() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(512))
    os.set_blocking(writer, True)
    process = start("os.kill(os.getpid(), signal.SIGKILL)\n", stderr=writer)
    assert finish(process)[0] == 2
    os.close(reader)
    os.close(writer)


def test_what_nohup_ignores_is_ignored() -> None:
    process = start(
        hear("SIGTERM") + WAIT + "supervisor.exit_process(130)\n", lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN) and None
    )
    read_until(process, "ready")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert finish(process) == (130, "heard SIGTERM\n", "")


@pytest.mark.parametrize(("begun", "line"), [(False, "before anything was started"), (True, "to resume from the last checkpoints")])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_child_that_dies_of_the_signal_was_stopped(number: signal.Signals, begun: bool, line: str) -> None:
    """The child has no signal handler, as during the seconds of its imports."""
    process = start(ORPHAN + ("supervisor.report_begun()\n" if begun else "") + WAIT, default_signals)
    read_until(process, "ready")
    process.send_signal(number)
    code, _, error = finish(process)
    assert code == 130 and error.startswith("stopped") and error.endswith(line) and len(error.splitlines()) == 1, error


def test_a_killed_supervisor_stops_its_child() -> None:
    """The child receives SIGTERM. What the child does not end itself is left to the next test of a real grid."""
    process = start(hear("SIGTERM") + WAIT + "supervisor.end_descendants()\n" + "os._exit(0)\n", start_new_session=True)
    read_until(process, "ready")
    process.kill()
    code, out, _ = finish(process)
    assert code == -signal.SIGKILL and out == "heard SIGTERM\n"


def test_a_signal_after_the_work_is_done_changes_nothing() -> None:
    process = start(
        hear("SIGINT SIGTERM SIGHUP")
        + 'supervisor.ignore_signals()\nprint("ready", flush=True)\ntime.sleep(1)\nsupervisor.exit_process(0)\n'
    )
    read_until(process, "ready")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(number)
    assert finish(process) == (0, "", "")


def test_closed_descriptors_are_not_taken_by_files(tmp_path: Path) -> None:
    def close() -> None:
        for descriptor in range(3):
            os.close(descriptor)

    look = 'all(os.readlink(f"/proc/self/fd/{n}") == os.devnull for n in range(3))'
    code = f'print({look}, file=open(sys.argv[1], "w"))\nsupervisor.exit_process(0)\n'
    file = tmp_path / "said"
    process = subprocess.Popen([sys.executable, "-c", BEGIN + code, str(file)], cwd=ROOT, preexec_fn=close)
    assert process.wait(600) == 0 and file.read_text() == "True\n"


def test_ctrl_c_on_a_terminal_is_heard_once_and_a_closed_terminal_too(tmp_path: Path) -> None:
    for press, name in ((b"\x03", "SIGINT"), (None, "SIGHUP")):
        pid, terminal = pty.fork()
        if not pid:
            default_signals()
            code = BEGIN + hear("SIGINT SIGHUP") + WAIT + 'time.sleep(1)\nopen(sys.argv[1], "w").write(str(stopped))\n'
            os.chdir(ROOT)
            os.execv(sys.executable, [sys.executable, "-c", code + "supervisor.exit_process(130)\n", str(tmp_path / name)])
        output = b""
        while b"ready\r\n" not in output:
            output += os.read(terminal, 1000)
        if press:
            os.write(terminal, press)
        else:
            os.close(terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
        if press:
            os.close(terminal)
        assert (tmp_path / name).read_text() == "1", name
