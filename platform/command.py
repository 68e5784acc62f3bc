"""What the commands share: an application of one function, and an end that is a line and an exit code."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

import typer

from platform.cluster import GOES_ON, Fatal, abandon, beyond_stopping
from platform.progress import printable
from trainables.registry import BadRequest


def application(main: Callable[..., None]) -> typer.Typer:
    """The command that has this function's parameters."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    return app


@contextlib.contextmanager
def ending(where: str, resumable: bool = False) -> Iterator[None]:
    """What goes wrong for a user within ends the command with one line: 2 for a bad request, a file or a Ray that fails, 130 for Ctrl-C.

    `where` is named for a file that does not say its name. `resumable`: what was finished is kept, and the line says so.
    """
    kept = f"; what was finished is kept: {GOES_ON}" if resumable else ""
    try:
        yield
    except BadRequest as error:
        raise stop(2, str(error)) from None
    except KeyboardInterrupt:
        raise stop(130, f"stopped; {GOES_ON} from here" if resumable else "stopped before anything was started") from None
    except Fatal as error:
        raise stop(2, f"{error}{kept}") from None
    except OSError as error:
        raise stop(2, f"{error.filename or where}: {error.strerror or error}{kept}") from None


def stop(code: int, line: str) -> typer.Exit:
    """An exit with one line on standard error."""
    print(printable(line), file=sys.stderr, flush=True)
    if beyond_stopping():  # what is left of Ray in this process would end it, a minute later and with another exit code
        abandon()
        os._exit(code)
    return typer.Exit(code)
