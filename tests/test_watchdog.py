"""Watchdog: a hanging process is ended, one that faults logs where, others are left alone. Each test uses a new process, as it may die."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.running import PATIENCE_S

ROOT = Path(__file__).resolve().parent.parent


def run(tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    head = "import ctypes, os, sys, time\nfrom trainables.workers.watchdog import Watchdog\n"
    head += "watch, path = Watchdog(float(sys.argv[2])), sys.argv[1]\n"
    script = head + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "words.txt"), "0.6"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )


def words(tmp_path: Path) -> str:
    return (tmp_path / "words.txt").read_text()


def test_what_hangs_is_ended_even_where_python_cannot_run(tmp_path: Path) -> None:
    """The C call holds the interpreter lock (GIL): no Python thread could end the process."""
    result = run(tmp_path, "def stuck():\n    ctypes.PyDLL(None).sleep(3000)\nwatch.start_cell(path)\nstuck()")
    assert result.returncode == 1
    assert words(tmp_path).startswith("Timeout (") and "in stuck" in words(tmp_path)


def test_a_fault_says_where(tmp_path: Path) -> None:
    result = run(tmp_path, "def wild():\n    ctypes.string_at(0)\nwatch.start_cell(path)\nwild()")
    assert result.returncode == -signal.SIGSEGV
    assert words(tmp_path).startswith("Fatal Python error: Segmentation fault") and "in wild" in words(tmp_path)


def test_steps_keep_it_alive_and_an_end_leaves_nothing(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """
        watch.start_cell(path)
        for _ in range(12):
            time.sleep(0.2)
            watch.reset_timer()
        watch.end_cell(path)
        time.sleep(1.5)  # between cells nothing is due
        watch.start_cell(path)
        watch.reset_timer()
        watch.end_cell(path)
        print(os.path.exists(path))
        """,
    )
    assert result.returncode == 0 and result.stdout == "False\n", result.stderr


def test_who_has_no_memory_dies_with_the_error_as_last_words(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """
        import torch
        from trainables.workers.worker import is_out_of_memory
        watch.start_cell(path)
        try:
            torch.empty(1 << 50, dtype=torch.uint8)
        except RuntimeError as error:
            assert is_out_of_memory(error) and is_out_of_memory(MemoryError()) and is_out_of_memory(OSError(12, "fork"))
            assert not is_out_of_memory(OSError(28, "full")) and not is_out_of_memory(RuntimeError("shapes"))
            watch.end_process(error)
        """,
    )
    assert result.returncode == 1, result.stderr
    first, *rest = words(tmp_path).splitlines()
    assert first.startswith("RuntimeError: ") and "can't allocate memory" in first and rest[0].startswith("Traceback")
