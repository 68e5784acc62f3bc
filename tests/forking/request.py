"""How a fork of server.py is asked for. Standard library alone, for Ray starts this as a process for each of its workers."""

import json
import os
import socket
from typing import Any

LENGTH = 8


def ask(place: str, request: dict[str, Any], streams: tuple[int, int, int] = (0, 1, 2)) -> socket.socket:
    """The connection over which the server tells the fork's number, and then its exit code, a line each; closed, the fork is killed."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(place)
    content = json.dumps(request).encode()
    content = f"{len(content):{LENGTH}}".encode() + content
    sent = socket.send_fds(connection, [content], list(streams))
    connection.sendall(content[sent:])
    return connection


def this_process() -> dict[str, Any]:
    """Environment and folder of this process, as part of a request."""
    return {"environment": dict(os.environ), "folder": os.getcwd()}
