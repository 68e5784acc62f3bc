"""Commands whose output is not read, and a last line after which nothing is printed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import PATIENCE_S
from tests.test_supervisor import default_signals

ROOT = Path(__file__).resolve().parent.parent
COMMAND = """
import sys, time
from pathlib import Path
from platform.cli.command import run_command
def main(there: Path) -> None:
    for number in range(2000):
        print("a line of progress", number, file=sys.stderr)
        print("a line of output", number)
    there.write_text("done")
    raise SystemExit(1)
run_command(main)
"""


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_reader_that_closes_its_end_changes_nothing(closed: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    other = "stderr" if closed == "stdout" else "stdout"
    streams = {closed: writer, other: subprocess.PIPE}
    command = [sys.executable, "-c", COMMAND, str(tmp_path / "there")]
    done = subprocess.run(command, cwd=ROOT, text=True, timeout=PATIENCE_S, **streams)  # type: ignore[call-overload]
    os.close(writer)
    assert done.returncode == 1 and (tmp_path / "there").read_text() == "done"
    assert len(getattr(done, other).splitlines()) == 2000, "the other stream is whole"


def test_a_reader_that_never_reads_changes_nothing(tmp_path: Path) -> None:
    """Such a reader is `| less` that is left open, or a terminal after Ctrl-S."""
    reader, writer = os.pipe()
    code = "from platform.terminal import console\nconsole.STUCK_S = 1.0\n" + COMMAND
    command = [sys.executable, "-c", code.replace("range(2000)", "range(5000)"), str(tmp_path / "there")]
    done = subprocess.run(command, cwd=ROOT, timeout=PATIENCE_S, stdout=writer, stderr=writer)
    assert done.returncode == 1 and (tmp_path / "there").read_text() == "done"
    os.set_blocking(reader, False)
    assert len(os.read(reader, 1 << 20)) > 50_000, "the pipe was never full"
    os.close(reader)
    os.close(writer)


def test_closed_streams_change_nothing(tmp_path: Path) -> None:
    def close() -> None:
        os.close(1)
        os.close(2)

    done = subprocess.run([sys.executable, "-c", COMMAND, str(tmp_path / "there")], cwd=ROOT, preexec_fn=close, timeout=PATIENCE_S)
    assert done.returncode == 1 and (tmp_path / "there").read_text() == "done"


CHATTER = """
import os, sys, threading, ctypes, time
from platform.terminal import console
from platform.cli import command
write = ctypes.CDLL(None).write
def chatter():
    while True:
        write(2, b"rpc_client.h: Failed to connect\\n", 32)
        time.sleep(0.001)
threading.Thread(target=chatter, daemon=True).start()
time.sleep(0.1)
{end}
"""
ENDS = {
    "at once": 'console.print_last(2, "the last line"); time.sleep(0.2); os._exit(2)',
    "by way of an error": """
def main() -> None:
    with command.exit_on_error("here"):
        raise OSError(5, "the last line")
import atexit
atexit.register(time.sleep, 0.2)
command.run_command(main)
""",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_nothing_stands_behind_the_last_line(end: str) -> None:
    """This includes what C++ code writes directly to the file descriptor."""
    done = subprocess.run(
        [sys.executable, "-c", CHATTER.replace("{end}", end)], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    lines = done.stderr.splitlines()
    assert "rpc_client.h: Failed to connect" in lines, "there was no chatter to silence"
    assert lines[-1].endswith("the last line")


LATE = """
import time, sys
from platform.terminal.supervisor import supervise_command
supervise_command()
import signal
from platform.launch import cluster
from platform.cli.command import exit_on_error, run_command
def main() -> None:
    cluster._handle_signals(sys.stderr)
    with exit_on_error("here", resumable=True):
        pass
    print("report: here", file=sys.stderr)
    time.sleep(1)
run_command(main)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_after_the_last_line_changes_nothing(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LATE],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_signals,
    )
    assert process.stderr and process.stderr.readline() == "report: here\n"
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE_S)[1] == "" and process.returncode == 0
