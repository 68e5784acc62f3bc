"""What a command must not stumble over: an output that is not UTF-8, and a user without a home folder."""

import codecs
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

PLAIN = {"✓": "+", "✗": "x", "·": "-", "×": "x", "±": "+/-", "…": "...", "–": "-", "—": "-", "→": "->", "≤": "<=", "≥": ">="}


def prepare_surroundings() -> None:
    """Let standard output and error take any character, and give a home folder to a user who has none.

    A character that the output's encoding lacks is spelt in ASCII. Ray and PyTorch keep files in the home folder, and fail where neither
    HOME nor the system's list of users names one, as in a container with an arbitrary user number.
    """
    codecs.register_error("plain", _spell_plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")
    if os.path.expanduser("~") == "~":
        home = Path(tempfile.gettempdir(), f"ferray-home-{os.getuid()}")
        try:
            home.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            fail(f"this user has no home folder, and {home} cannot be made ({error.strerror}); set HOME to a folder of your own")
        if home.stat().st_uid != os.getuid():
            fail(f"{home}: belongs to another user; set HOME to a folder of your own")
        os.environ.update(HOME=str(home), LOGNAME=os.environ.get("LOGNAME", str(os.getuid())))
        print(f"this user has no home folder; {home} is used (set HOME to another one)", file=sys.stderr)


def fail(line: str) -> NoReturn:
    print(line, file=sys.stderr)
    raise SystemExit(2)


def _spell_plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in letters), error.end
