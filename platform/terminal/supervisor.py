"""A command that starts Ray is two processes: the one that the user started, and its child, which does the work.

The child may end without a word: Ray's C++ code ends a process whose raylet died, the kernel ends one that takes too much memory. The
parent stays small, forwards signals, and outlives that: it prints the last line, returns the promised exit code, and ends every process
that is left. When the parent itself is killed, the kernel sends the child SIGTERM, so that it stops as if asked to.
"""

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

GOES_ON = "the same command again goes on"
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ONCE_S = 0.5
"""A signal that arrives again within this time counts once: `timeout` and Slurm send it to the process and to its group."""
STOP_S, LEAVE_S = 60.0, 10.0
"""A child that did not end so long after the first and the second signal is killed."""

_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36  # <linux/prctl.h>
_parent = 0
_pipe = -1


def supervise_command() -> None:
    """Continue in a child process that this one watches. Call it before any large import, while there is one thread.

    The child is its own process group: Ctrl-C on a terminal reaches the parent alone, which forwards it once.
    """
    global _parent, _pipe
    open_descriptors()
    parent, (reader, writer) = os.getpid(), os.pipe()
    _set_process_option(_SET_CHILD_SUBREAPER, 1)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # none is lost between the fork and the parent's handlers
    child = os.fork()
    if child:
        os.close(writer)
        _watch_child(child, reader, blocked)
    os.close(reader)
    _set_process_option(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(130)
    _set_process_option(_SET_CHILD_SUBREAPER, 1)  # agents of a raylet that ended stay among this process's descendants
    os.setpgid(0, 0)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own handler would print a traceback out of the imports
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # or `stty tostop` would stop it at its first line
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    _parent, _pipe = parent, writer


def supervisor_pid() -> int:
    """The process that the user started and that watches this one; 0 where there is none."""
    return _parent


def report_begun() -> None:
    """Tell the parent that from now on the same command continues what is stopped."""
    _tell_parent("begun")


def report_lost(daemon: str) -> None:
    """Tell the parent which of Ray's daemons died: Ray may end this process before it can print that itself."""
    _tell_parent(f"lost {daemon}")


def exit_process(code: int) -> NoReturn:
    """End this process now, without Python's teardown: in it a signal would print a traceback or change the exit code."""
    _tell_parent(f"end {code}")
    os._exit(code)


def ignore_signals() -> None:
    """The work is done: a signal that arrives now must not change the exit code."""
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
    """What the parent knows of its child."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.begun, self.lost = False, ""
        self.ended: int | None = None
        """the exit code that it said it ends with"""
        self.asked: list[float] = []
        """when it was asked to stop"""

    def request_stop(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if self.asked and now - self.asked[-1] < ONCE_S:
            return
        self.asked.append(now)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            os.kill(self.pid, signal.SIGCONT)  # a child that was stopped hears it, too

    def read_messages(self, text: str) -> None:
        for line in text.splitlines():
            word, _, rest = line.partition(" ")
            self.begun |= word == "begun"
            self.lost = rest if word == "lost" else self.lost
            if word == "end":
                self.ended = int(rest)
                self.asked = [time.monotonic()] * 2  # it has LEAVE_S left

    def is_overdue(self) -> bool:
        if not self.asked:
            return False
        return time.monotonic() - self.asked[-1] > (STOP_S if len(self.asked) == 1 else LEAVE_S)


def _watch_child(pid: int, pipe: int, blocked: set[int | signal.Signals]) -> NoReturn:
    """Wait for the child, end what it leaves behind, and exit as it did, or as it would have."""
    child = _Watched(pid)
    waker, wake = os.pipe()
    for end in (waker, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in FORWARDED:
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` and `&` ignore some
            signal.signal(number, child.request_stop)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    status = None
    watched = [pipe, waker]
    while status is None:
        ready = select.select(watched, [], [], 0.5)[0]
        if pipe in ready:
            text = os.read(pipe, 4096).decode(errors="replace")
            child.read_messages(text)
            if not text:
                watched.remove(pipe)
        if waker in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(waker, 4096)
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
    """Collect every process that ended; the child's status if it is among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            status = ended[1] if ended[0] == pid else status
    return status


def _explain_death(child: _Watched, code: int) -> tuple[int, str]:
    """Exit code and last line for a child that ended without any."""
    kept = f"; what was finished is kept: {GOES_ON}" if child.begun else ""
    if child.asked:
        return 130, f"stopped; {GOES_ON} from the last checkpoints" if child.begun else "stopped before anything was started"
    if child.lost:
        return 2, f"Ray's {child.lost} died{kept}"
    if code == -signal.SIGKILL:
        return 2, f"process {child.pid} of this command was killed (by the kernel, if memory is short){kept}"
    if code < 0:
        return 2, f"process {child.pid} of this command died of signal {-code} ({signal.strsignal(-code)}){kept}"
    return 2, f"Ray ended process {child.pid} of this command{kept}"


def end_descendants(patience_s: float = 5.0) -> None:
    """Kill all processes below this one. Orphans among them are its children, for it is their subreaper."""
    until = time.monotonic() + patience_s
    while (left := find_descendants(os.getpid())) and time.monotonic() < until:
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
        _reap_children(0)


def find_descendants(ancestor: int) -> list[int]:
    """The living processes below a process, without zombies; empty where there is no /proc."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            parents[int(folder.name)] = 0 if state == "Z" else int(parent)
    found: set[int] = set()
    below = {ancestor}
    while below:
        below = {pid for pid, parent in parents.items() if parent in below} - found
        found |= below
    return sorted(found)
