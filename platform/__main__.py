"""`python -m platform`: print the platform string, as the standard library does, then the commands of this package."""

import contextlib

import platform
from platform.cli.commands import list_commands


def main() -> None:
    try:
        exec(platform._standard_code, {"__name__": "__main__"})
    except SystemExit as stop:
        if stop.code:
            raise
    lines = [f"  ferray {name:10}{summary}" for name, summary in list_commands().items()]
    with contextlib.suppress(BrokenPipeError):  # `python -m platform | head -1` closes the pipe after one line
        print("\n".join(["", "ferray, from any folder (in this one also python -m platform.NAME):", *lines]), flush=True)


if __name__ == "__main__":
    main()
