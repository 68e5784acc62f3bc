"""Makes a private folder in the system's temporary folder, for files that cannot be stored in the home folder."""

import errno
import os
import tempfile
from pathlib import Path


def make_private_folder(name: str) -> Path:
    """Return the folder `NAME-USER`, made if it is missing. Raises OSError if it cannot be made or belongs to another user."""
    folder = Path(tempfile.gettempdir(), f"{name}-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "it belongs to another user", str(folder))
    return folder
