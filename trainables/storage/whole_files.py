"""Files of a run folder, on a disk or in an object store: each is complete or absent, says what it is, and is written by the owner alone.

On a disk a file is written to a temporary file that is flushed and renamed. In an object store it is one put.
"""

import contextlib
import errno
import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec

from trainables.registry import BadRequest
from trainables.storage import signed_files
from trainables.storage.lock_holder import DRIVER, FolderLost, require_owner
from trainables.storage.private_folder import OTHERS
from trainables.storage.temporary_file import open_temporary

INDENTED = 1_000_000
"""JSON of more characters is written as one line."""
PRIVATE = ("explain", "tb/explain")
"""Folders of a run folder that hold drawn faces. Only their owner can read them."""
READ_ONLY = ("http", "https")
"""Protocols that fsspec reads and cannot write."""


class WholeFiles:
    """The files below one folder. The folder is made on first use."""

    def __init__(self, uri: str, owner: str = "") -> None:
        """Raises BadRequest for an address that fsspec cannot read, or whose package is missing.

        `owner` is the ID of the command that holds the folder. With it, a write raises FolderLost if another command holds the folder. On
        a disk every write is checked. On an object store, where the check is a request, only results and errors are checked.
        """
        options = {"use_listings_cache": False} if "://" in str(uri) else {}  # others write here, too
        if str(uri).partition("://")[0].lower() in READ_ONLY:
            raise BadRequest(f"{uri}: is the address of a web page, where nothing can be written; name a folder or a bucket (s3://...)")
        try:
            self.files, self.root = fsspec.core.url_to_fs(os.path.expanduser(str(uri)), **options)
        except (ValueError, ImportError) as error:
            raise BadRequest(f"{uri}: {error}") from None
        self.local = "file" in (self.files.protocol if isinstance(self.files.protocol, tuple) else (self.files.protocol,))
        self.uri = self.root if self.local else self.files.unstrip_protocol(self.root)
        self.say: Callable[[str], None] = _print_line
        """prints a line on a file that is not used, or that nothing is known of"""
        self._said: set[str] = set()
        self._private = tuple(self.get_path(place) for place in PRIVATE)
        self.set_owner(owner)

    def set_owner(self, owner: str, verify: Callable[[], None] | None = None) -> None:
        """Set the owner. `verify` is the owner's own check, which replaces reading the folder's record."""
        self.owner = owner
        self._verify = verify

    def verify_owner(self) -> None:
        """Raise FolderLost if the folder no longer belongs to its owner."""
        if self._verify:
            self._verify()
        else:
            require_owner(self)

    def get_path(self, *parts: str) -> str:
        return "/".join((self.root, *parts))

    # whole files
    def put(self, content: bytes | memoryview, *parts: str) -> None:
        """Write a file so that it is complete or absent, whatever process dies."""
        path = self.get_path(*parts)
        if not self.local:
            with self._name_errors(path):
                self.files.pipe_file(path, bytes(content))
            return
        try:
            self._put_on_disk(content, path)
        except (FileNotFoundError, NotADirectoryError):
            self.verify_owner()  # the folder may have disappeared between the check and the write
            raise

    def _put_on_disk(self, content: bytes | memoryview, path: str) -> None:
        folder = self.make_folder(os.path.dirname(path))
        temporary = ""
        try:
            file, temporary = open_temporary(path, 0o600 if self._is_private(path) else 0o666)
            with file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, path)
        except BaseException as error:
            with contextlib.suppress(FileNotFoundError):
                os.remove(temporary)
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, path) from None
            raise
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # the rename itself must survive a power cut
        finally:
            os.close(descriptor)

    def make_folder(self, path: str) -> str:
        """Make a folder of the run on this disk if it is missing, and return its path. A run folder that has an owner is not itself made
        again.
        """
        self.verify_owner()
        if private := next((place for place in self._private if self._is_below(path, place)), ""):
            self._make_private(private, path)
        elif self.owner:
            self._make_below(path)
        else:
            os.makedirs(path, exist_ok=True)
        return path

    def _is_private(self, path: str) -> bool:
        return any(self._is_below(path, place) for place in self._private)

    @staticmethod
    def _is_below(path: str, place: str) -> bool:
        return path == place or path.startswith(f"{place}/")

    def _make_private(self, place: str, path: str) -> None:
        """Make a folder in a place that only its owner can read. One of an earlier version, which others could read, is closed to them."""
        parent = os.path.dirname(place)
        if self.owner:
            self._make_below(parent)
        else:
            os.makedirs(parent, exist_ok=True)
        folder = place
        for part in ("", *path.removeprefix(place).split("/")):
            folder = f"{folder}/{part}" if part else folder
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)
        with contextlib.suppress(PermissionError):  # another user's
            if os.stat(place).st_mode & OTHERS:
                os.chmod(place, 0o700)

    def _make_below(self, path: str) -> None:
        if path == self.root:
            return
        try:
            os.mkdir(path)
        except FileExistsError:
            return
        except FileNotFoundError:
            if os.path.dirname(path) == self.root:
                raise FolderLost(f"{self.uri} was moved or deleted; nothing more is written there") from None
            self._make_below(os.path.dirname(path))
            self._make_below(path)

    def remove_leftovers(self) -> None:
        """Remove temporary files of killed writers. A live writer, even an orphan of a killed driver, holds a lock and keeps its file."""
        for path in Path(self.root).rglob("*.aside") if self.local else ():
            with contextlib.suppress(OSError), path.open("rb") as file:  # locked, already removed, or a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    def get(self, *parts: str) -> bytes | None:
        path = self.get_path(*parts)
        try:
            with self._name_errors(path):
                result: bytes | None = self.files.cat_file(path)
                return result
        except FileNotFoundError:
            return None

    def get_time(self, *parts: str) -> float:
        """Return when a file on a disk was last written, by the clock of its file system; 0 if it is missing or on an object store."""
        try:
            return os.stat(self.get_path(*parts)).st_mtime if self.local else 0.0
        except FileNotFoundError:
            return 0.0

    def remove(self, *parts: str) -> None:
        if self.local:
            self.verify_owner()
        path = self.get_path(*parts)
        with contextlib.suppress(FileNotFoundError), self._name_errors(path):
            if self.files.exists(path):
                self.files.rm_file(path)

    @contextlib.contextmanager
    def _name_errors(self, path: str) -> Iterator[None]:
        """Convert errors of an object store's driver to OSErrors that name the path."""
        try:
            yield
        except OSError as error:
            if self.local or error.filename:
                raise
            number = errno.ENOENT if isinstance(error, FileNotFoundError) else error.errno or errno.EIO
            raise type(error)(number, error.strerror or str(error), self.files.unstrip_protocol(path)) from None
        except Exception as error:
            raise OSError(errno.EIO, f"{type(error).__name__}: {error}", self.files.unstrip_protocol(path)) from None

    # files that say what they are
    def put_json(self, content: Any, *parts: str) -> None:
        """Write JSON. A dict is written with its place and its digest, so that a later change or exchange is detected."""
        text = json.dumps(content)
        if isinstance(content, dict):
            content = signed_files.sign_content(content, "/".join(parts))
        large = len(text) > INDENTED  # indenting ten thousand cells takes seconds and a hundred MB
        self.put((json.dumps(content, indent=None if large else 1) + "\n").encode(), *parts)

    def get_json(self, *parts: str, signed: bool = False, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
        """Read JSON. `hook` is the `object_hook` of json.loads.

        Raises ValueError if the file is not JSON, was changed after it was written, or is another place's, and with `signed` if it has no
        digest.
        """
        if (text := self.get(*parts)) is None:
            return None
        content = signed_files.parse_signed(text, "/".join(parts), signed, hook)
        if isinstance(content, dict) and b'"digest"' not in text and parts != (DRIVER,):  # that record begins empty
            self.say_unsigned(*parts)
        return content

    def get_object(self, *parts: str, signed: bool = False) -> dict[str, Any] | None:
        """Read a dict from JSON. One that is not what was written there is None, and a line says so."""
        try:
            content = self.get_json(*parts, signed=signed)
        except (ValueError, RecursionError) as error:
            self.say_unfit(error, *parts)
            return None
        return content if isinstance(content, dict) else None

    def put_described(self, folder: str, contents: dict[str, Any], replace: bool = False) -> None:
        """Write the bytes of files of other formats than JSON to a folder, in this order. First `files.json` there gets their digests.

        A process that is killed in between leaves files whose earlier digests are there, too. With `replace`, where that does not matter,
        they are not, and other files are no longer described.
        """
        parts = folder.split("/") if folder else []
        known = None
        if not replace:
            with contextlib.suppress(ValueError, RecursionError):
                known = self.get_json(*parts, signed_files.FILES, signed=True)
        self.put_json(signed_files.describe_files(known if isinstance(known, dict) else None, contents), *parts, signed_files.FILES)
        for name, content in contents.items():
            self.put(content, *parts, name)

    def get_described(self, folder: str, name: str) -> tuple[bytes | None, bool]:
        """Return a file's content, and whether `files.json` describes it.

        None if there is no such file, or if it is not what was written there, which a line says. Files of older versions are not described.
        """
        parts = folder.split("/")
        content = self.get(*parts, name)
        if content is None:
            return None, False
        try:
            described = self.get_json(*parts, signed_files.FILES, signed=True)
            if not isinstance(described, dict) or name not in described["files"]:
                return content, False
            signed_files.check_file(described, name, content)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            self.say_unfit(error, *parts, name)
            return None, False
        return content, True

    def is_described_whole(self, folder: str) -> bool:
        """Return whether a folder has all files that its `files.json` describes, as they were written. A line names one that is not."""
        try:
            names = (self.get_json(folder, signed_files.FILES, signed=True) or {})["files"]
            return all(self.get_described(folder, name)[1] for name in names)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return False

    def say_unfit(self, error: Exception | str, *parts: str) -> None:
        """Say once that a file is not used, and why."""
        self._say_once(f"{self.get_path(*parts)}: {' '.join(str(error).split())[:200]}; it is not used", self.get_path(*parts))

    def say_unsigned(self, *parts: str) -> None:
        """Say once for all files of a suffix that one has no digest."""
        text = f"{self.get_path(*parts)} has no digest, because an older version wrote it: it is read as it is, and so are others like it"
        self._say_once(text, parts[-1].rpartition(".")[2])

    def _say_once(self, text: str, subject: str) -> None:
        if subject not in self._said:
            self._said.add(subject)
            self.say(text)


def _print_line(text: str) -> None:
    print("".join(letter if letter.isprintable() else "?" for letter in text), file=sys.stderr, flush=True)
