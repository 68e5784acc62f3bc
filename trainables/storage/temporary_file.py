"""Files that are written beside their place and then renamed to it."""

import contextlib
import fcntl
import os
import uuid
from typing import BinaryIO


def open_temporary(path: str) -> tuple[BinaryIO, str]:
    """Open a new file beside `path`, and return it with its name. It is locked until it is closed or its writer dies."""
    while True:
        name = f"{path}.{uuid.uuid4().hex[:8]}.aside"
        file = os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb")
        with contextlib.suppress(OSError):  # on a file system without locks `remove_leftovers` removes nothing
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file, name
        file.close()  # `remove_leftovers` removed it between open and lock
