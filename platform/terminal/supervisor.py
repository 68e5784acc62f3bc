"""A command that starts Ray has two processes: the one that the user started, and its child, which does the work.

The child may end without a message: Ray's C++ code ends a process whose raylet died, and the kernel ends one that uses too much memory.
The parent stays small, forwards signals, and survives that. It prints the last line, returns the documented exit code, and ends every
process that is left. When the parent itself is killed, the kernel sends the child SIGTERM, so that the child stops as if asked to.
"""

from __future__ import annotations  # so that an older Python gets as far as the line of `require_environment`

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from platform.terminal.console import LAST_S, open_descriptors, write_within
from platform.terminal.environment import require_environment

GOES_ON = "run the same command again to resume"
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ONCE_S = 0.5
"""seconds within which a repeated signal counts once: `timeout` and Slurm send it to the process and to its group"""
STOP_S, LEAVE_S = 60.0, 10.0
"""seconds after the first and after the second signal when a child that has not ended is killed"""

_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36  # <linux/prctl.h>
_parent = 0
_pipe = -1


def supervise_command() -> None:
    """Continue in a child process, which this process watches. Call it before any large import, while there is one thread.

    The child is its own process group: Ctrl-C on a terminal reaches only the parent, which forwards it once.
    """
    global _parent, _pipe
    open_descriptors()
    require_environment()
    parent, (reader, writer) = os.getpid(), os.pipe()
    _set_process_option(_SET_CHILD_SUBREAPER, 1)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # no signal is lost between the fork and the parent's handlers
    child = os.fork()
    if child:
        os.close(writer)
        _watch_child(child, reader, blocked)
    os.close(reader)
    _set_process_option(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(130)
    _set_process_option(_SET_CHILD_SUBREAPER, 1)  # agents of a dead raylet remain descendants of this process
    os.setpgid(0, 0)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own handler would print a traceback of the imports
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # otherwise `stty tostop` would stop this process at its first line
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    _parent, _pipe = parent, writer


def supervisor_pid() -> int:
    """Return the pid of the process that the user started and that watches this one; 0 where there is none."""
    return _parent


def report_begun() -> None:
    """Tell the parent that from now on the same command continues a stopped run."""
    _tell_parent("begun")


def report_lost(daemon: str) -> None:
    """Tell the parent which of Ray's daemons died: Ray may end this process before it can print that itself."""
    _tell_parent(f"lost {daemon}")


def exit_process(code: int) -> NoReturn:
    """End this process now, without Python's teardown, during which a signal would print a traceback or change the exit code."""
    _tell_parent(f"end {code}")
    os._exit(code)


def ignore_signals() -> None:
    """Ignore signals in a supervised process: its work is done, and a signal must not change the exit code."""
    if _parent:
        for number in FORWARDED:
            signal.signal(number, signal.SIG_IGN)


def _tell_parent(message: str) -> None:
    if _pipe >= 0:
        with contextlib.suppress(OSError):  # the parent was killed
            os.write(_pipe, f"{message}\n".encode())


def _set_process_option(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


class _Watched:
    """The parent's record of its child."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.begun, self.lost = False, ""
        self.ended: int | None = None
        """the exit code that the child announced"""
        self.asked: list[float] = []
        """times at which the child was asked to stop"""

    def request_stop(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if self.asked and now - self.asked[-1] < ONCE_S:
            return
        self.asked.append(now)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            os.kill(self.pid, signal.SIGCONT)  # so that a suspended child receives the signal

    def read_messages(self, text: str) -> None:
        for line in text.splitlines():
            word, _, rest = line.partition(" ")
            self.begun |= word == "begun"
            self.lost = rest if word == "lost" else self.lost
            if word == "end":
                self.ended = int(rest)
                self.asked = [time.monotonic()] * 2  # the child has LEAVE_S left

    def is_overdue(self) -> bool:
        if not self.asked:
            return False
        return time.monotonic() - self.asked[-1] > (STOP_S if len(self.asked) == 1 else LEAVE_S)


def _watch_child(pid: int, pipe: int, blocked: set[int | signal.Signals]) -> NoReturn:
    """Wait for the child, end the processes that it leaves behind, and exit with its exit code.

    A child that announced no exit code gets the code and the last line of `_explain_death`.
    """
    child = _Watched(pid)
    wake_reader, wake_writer = os.pipe()
    for descriptor in (wake_reader, wake_writer):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in FORWARDED:
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` and `&` make a command ignore some
            signal.signal(number, child.request_stop)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    status = None
    watched = [pipe, wake_reader]
    while status is None:
        ready = select.select(watched, [], [], 0.5)[0]
        if pipe in ready:
            text = os.read(pipe, 4096).decode(errors="replace")
            child.read_messages(text)
            if not text:
                watched.remove(pipe)
        if wake_reader in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_reader, 4096)
        if child.is_overdue():
            os.kill(pid, signal.SIGKILL)
        status = _reap_children(pid)
    if pipe in watched:
        os.set_blocking(pipe, False)
        with contextlib.suppress(BlockingIOError):
            child.read_messages(os.read(pipe, 4096).decode(errors="replace"))
    for number in FORWARDED:
        signal.signal(number, signal.SIG_IGN)
    end_descendants()
    if child.ended is not None:
        os._exit(child.ended)
    code, line = _explain_death(child, os.waitstatus_to_exitcode(status))
    with contextlib.suppress(OSError):
        write_within(2, f"\n{line}\n".encode(), LAST_S)
    os._exit(code)


def _reap_children(pid: int) -> int | None:
    """Reap every child process that ended. Return the status of `pid` if it is among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            status = ended[1] if ended[0] == pid else status
    return status


def _explain_death(child: _Watched, code: int) -> tuple[int, str]:
    """Return the exit code and the last line for a child that ended without announcing an exit code."""
    hint = f"; what was finished is kept: {GOES_ON}" if child.begun else ""
    if child.asked:
        return 130, f"stopped; {GOES_ON} from the last checkpoints" if child.begun else "stopped before anything was started"
    if child.lost:
        return 2, f"Ray's {child.lost} died{hint}"
    if code == -signal.SIGKILL:
        return 2, f"process {child.pid} of this command was killed (by the kernel, if memory is short){hint}"
    if code < 0:
        return 2, f"process {child.pid} of this command died of signal {-code} ({signal.strsignal(-code)}){hint}"
    return 2, f"Ray ended process {child.pid} of this command{hint}"


def end_descendants(patience_s: float = 5.0) -> None:
    """Kill all descendants of this process. Orphans among them are its children, because it is their subreaper."""
    deadline = time.monotonic() + patience_s
    while (remaining := find_descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in remaining:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
        _reap_children(0)


def find_descendants(ancestor: int) -> list[int]:
    """Return the pids of the living descendants of a process, without zombies; empty where there is no /proc."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            parents[int(folder.name)] = 0 if state == "Z" else int(parent)
    descendants: set[int] = set()
    below = {ancestor}
    while below:
        below = {pid for pid, parent in parents.items() if parent in below} - descendants
        descendants |= below
    return sorted(descendants)
