"""The run lock: a run folder has one driver at a time. The lock of a dead driver is recognised as such and taken over."""

import contextlib
import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

from platform.launch.driver_record import BEAT_S, Driver, describe_driver, describe_self, is_alive, is_ending, read_driver
from platform.terminal.progress import make_printable
from trainables.registry import BadRequest, describe_os_error
from trainables.storage.lock_holder import DRIVER, FolderLost
from trainables.storage.store import RunFolder

ENDING_S = 30.0
"""seconds that a second command waits for a driver that is about to end"""
RESTORED_S = 1.0
"""seconds after which a deleted record is restored. The delay makes it possible to delete the folder, which must be empty for that."""
NAMED_S = 3.0
"""seconds that a second command waits to read which driver holds the folder: a deleted record is restored within this time"""


@contextlib.contextmanager
def lock_run(folder: RunFolder) -> Iterator["RunLock"]:
    """Hold the run folder. Meanwhile the folder verifies the lock before it writes.

    Raises BadRequest, naming the driver, where another driver holds the folder.

    Files that killed writers left half-written are removed at the start and at the end.

    On a disk the kernel drops the lock when the process ends, in whatever way. An object store has no locks. There the lock is a record
    that the driver renews. A record is void if it was not renewed for DEAD_S seconds, or if its process no longer exists on this host.
    """
    lock = RunLock(folder)
    try:
        _wait_for_lock(lock)
        folder.set_owner(lock.id, lock.verify)
        folder.remove_leftovers()
        yield lock
        folder.remove_leftovers()  # a worker may have been killed during the command
    except (FileNotFoundError, NotADirectoryError):
        if folder.owner:
            lock.verify()  # the folder may have been moved or deleted between a check and a write
        raise
    finally:
        folder.set_owner("")
        lock.release()


def _wait_for_lock(lock: "RunLock") -> None:
    began = time.monotonic()
    previous: Driver = {}
    announced: Driver = {}
    while (holder := lock.try_acquire()) is not None:
        waited = time.monotonic() - began
        if is_ending(holder) and waited < ENDING_S:
            if holder == previous != announced:  # only at the second look: another driver may be about to overwrite a dead one's record
                announced = holder
                print(make_printable(f"waiting for process {holder['pid']}, which is ending"), file=sys.stderr, flush=True)
        elif holder or waited > NAMED_S:
            advice = "wait for its end, stop it, or name another folder with --runs"
            raise BadRequest(f"{lock.folder.uri}: another command is running here ({describe_driver(holder)}); {advice}")
        previous = holder
        time.sleep(0.2)


class RunLock:
    """The lock of one run folder: the id of its command, and on a disk the file locks of the folder itself and of the record in it.

    The folder's lock holds even where the record is deleted. Some file systems cannot lock folders, or cannot lock at all, and a network
    file system keeps locks of folders to one machine.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.me = folder, describe_self()
        self.id: str = self.me["claim"]
        self._directory: int | None = None
        self._directory_locked = False
        self._file: BinaryIO | None = None
        self._beat: threading.Thread | None = None
        self._over = threading.Event()
        self._restoring = threading.Lock()
        self._missing_since: float | None = None

    def try_acquire(self) -> Driver | None:
        """Try to take the lock. Return None where it is now held, else the record of the driver that holds it, empty if unreadable."""
        if not self.folder.local:
            return self._try_record()
        try:
            os.makedirs(self.folder.root, exist_ok=True)
        except OSError as error:
            raise BadRequest(f"cannot create {self.folder.root} ({describe_os_error(error)}); nothing was started") from None
        self._directory = os.open(self.folder.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._directory_locked = _try_flock(self._directory)
            self._file = self._open_record()
            if not _try_flock(self._file.fileno()) and not self._directory_locked:
                self._file.close()
                self._file = None
                holder = self._try_record()
            elif not self._is_same_folder() or not self._is_same_record():  # moved or deleted before the lock was held
                holder = {}
            else:
                self._write_record()
                return None
        except BlockingIOError:
            holder = read_driver(self.folder)
        if holder is not None:
            self.release()
        return holder

    def verify(self) -> None:
        """Raise FolderLost where the folder at the path is no longer the one that is held. A deleted record is written again."""
        uri = self.folder.uri
        if self._directory is not None and not self._is_same_folder():
            raise FolderLost(
                f"{uri} was moved or deleted while this command ran; nothing more is written there. What was finished is where the folder "
                "is now: move it back, or name its new place with --runs, and run the same command again to resume"
            )
        try:
            driver = read_driver(self.folder)
        except OSError:
            if self.folder.local:
                raise
            return  # a store that does not answer gives no information on the folder
        if driver.get("claim") == self.id:
            self._missing_since = None
            return
        if driver.get("claim"):
            raise FolderLost(
                f"{uri} was taken over by another command while this one ran ({describe_driver(driver)}); "
                "this one writes nothing more there. After it has ended, run the same command again to resume"
            )
        if not self._directory_locked:
            raise FolderLost(
                f"{uri}/{DRIVER} was deleted while this command ran: another command may take the folder, and nothing more is "
                "written there; run the same command again to resume"
            )
        self._restore_record()

    def release(self) -> None:
        self._over.set()
        if self._beat:
            self._beat.join()
            with contextlib.suppress(OSError):
                if read_driver(self.folder).get("claim") == self.id:
                    self.folder.remove(DRIVER)
        if self._file:
            self._file.close()
        if self._directory is not None:
            os.close(self._directory)
        self._file = self._directory = None
        self._directory_locked = False

    # on a disk
    def _is_same_folder(self) -> bool:
        assert self._directory is not None
        try:
            return os.path.samestat(os.stat(self.folder.root), os.fstat(self._directory))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _is_same_record(self) -> bool:
        assert self._file
        try:
            return os.path.samestat(os.stat(DRIVER, dir_fd=self._directory), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False

    def _open_record(self) -> BinaryIO:
        """Open the record through the folder's descriptor, so that a different folder that now has the path gets no record."""
        try:
            descriptor = os.open(DRIVER, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666, dir_fd=self._directory)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.folder.get_path(DRIVER)) from None
        return os.fdopen(descriptor, "a+b")

    def _write_record(self) -> None:
        assert self._file
        self._file.truncate(0)
        self._file.write(json.dumps(self.me).encode())
        self._file.flush()
        os.fsync(self._file.fileno())  # workers on other machines that share the folder read it

    def _restore_record(self) -> None:
        with self._restoring:  # Tune's thread writes too
            now = time.monotonic()
            self._missing_since = self._missing_since or now
            if now - self._missing_since < RESTORED_S:
                return
            if not self._is_same_record():
                assert self._file
                file = self._open_record()
                try:
                    _try_flock(file.fileno())
                except BlockingIOError:  # held by another machine's command: a network file system does not show it the folder's lock
                    file.close()
                    return
                self._file.close()
                self._file = file
            self._write_record()
            self._missing_since = None

    # on a store or file system without locks
    def _try_record(self) -> Driver | None:
        record = read_driver(self.folder)
        if record and is_alive(record):
            return record
        self.folder.put_json(self.me, DRIVER)
        time.sleep(0.5)  # of two simultaneous commands the later writer gets the folder
        if (record := read_driver(self.folder)).get("claim") != self.id:
            return record
        self._over.clear()
        self._beat = threading.Thread(target=self._renew_record, daemon=True)
        self._beat.start()
        return None

    def _renew_record(self) -> None:
        """Renew the record only while it is still this command's. `verify` reports what happened to it otherwise."""
        folder = RunFolder(self.folder.uri, self.id)
        while not self._over.wait(BEAT_S):
            with contextlib.suppress(OSError, FolderLost):
                if read_driver(folder).get("claim") == self.id:
                    folder.put_json(self.me | {"beat": time.time()}, DRIVER)


def _try_flock(descriptor: int) -> bool:
    """Return whether the descriptor is now locked; False where the file system has no such locks.

    Raises BlockingIOError where another process holds the lock.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True
