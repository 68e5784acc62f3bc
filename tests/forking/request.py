"""Request a fork from server.py. Imports only the standard library, because Ray starts this as a process for each worker."""

import json
import os
import socket
from typing import Any

LENGTH = 8


def ask(place: str, request: dict[str, Any], streams: tuple[int, int, int] = (0, 1, 2)) -> socket.socket:
    """Return the connection on which the server sends the fork's PID and later its exit code, one line each. Closing it kills the fork."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(place)
    content = json.dumps(request).encode()
    content = f"{len(content):{LENGTH}}".encode() + content
    sent = socket.send_fds(connection, [content], list(streams))
    connection.sendall(content[sent:])
    return connection


def this_process() -> dict[str, Any]:
    """Return environment and folder of this process, as a part of a request."""
    return {"environment": dict(os.environ), "folder": os.getcwd()}
