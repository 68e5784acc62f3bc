"""Prepares a command for an output that is not UTF-8, and for a user without a home folder."""

import codecs
import io
import os
import sys

from trainables.storage.private_folder import make_private_folder

PLAIN = {"✓": "+", "✗": "x", "·": "-", "×": "x", "±": "+/-", "…": "...", "–": "-", "—": "-", "→": "->", "≤": "<=", "≥": ">="}


def prepare_surroundings() -> None:
    """Set an error handler for standard output and standard error, and set HOME if the user has no home folder.

    A character that the output's encoding lacks is spelt in ASCII. Ray and PyTorch keep files in the home folder, and fail where neither
    HOME nor the system's list of users names one, as in a container with an arbitrary user number.
    """
    codecs.register_error("plain", _spell_plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")
    if os.path.expanduser("~") == "~":
        try:
            home = make_private_folder("ferray-home")
        except OSError as error:
            print(f"{error.filename}: {error.strerror}; this user has no home folder, so set HOME to a folder of your own", file=sys.stderr)
            raise SystemExit(2) from None
        os.environ.update(HOME=str(home), LOGNAME=os.environ.get("LOGNAME", str(os.getuid())))
        print(f"this user has no home folder; {home} is used (set HOME to another one)", file=sys.stderr)


def _spell_plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in letters), error.end
