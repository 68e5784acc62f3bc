"""Ray's token: whoever knows it can run code in the cluster. Ray writes its file so that everybody can read it."""

import contextlib
import os
from pathlib import Path

from trainables.storage.private_folder import OTHERS


def find_token_file(home: Path | None = None) -> Path:
    """Return the file of the token: RAY_AUTH_TOKEN_PATH's, else Ray's default in the home folder."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or (home or Path.home()) / ".ray" / "auth_token")


def is_token_open(file: Path) -> bool:
    """Return whether others than its owner can read or change the file."""
    try:
        return bool(file.stat().st_mode & OTHERS)
    except OSError:
        return False


def close_token() -> None:
    """Close the file to others. It may be missing, or another user's, which `python -m platform.doctor` reports."""
    with contextlib.suppress(OSError, RuntimeError):  # no home folder
        if is_token_open(file := find_token_file()):
            file.chmod(0o600)
