"""moto's S3 server as a separate process on this machine. It starts with one empty bucket and does not check keys."""

import contextlib
import os
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.running import start

BUCKET = "studies"
LISTED = 50
"""objects that one listing response holds; 1,000 in S3"""


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(folder: Path, host: str = "127.0.0.1") -> Iterator[dict[str, str]]:
    """Start the server in `folder` and return the environment in which `s3://` and EC2 refer to it."""
    url = f"http://{host}:{free_port(host)}"
    command = ["-m", "moto.server", "--host", host, "--port", url.rpartition(":")[2]]
    process = start(command, {"MOTO_S3_DEFAULT_MAX_KEYS": str(LISTED)}, folder)
    try:
        process.wait_for(lambda: _answers(f"{url}/moto-api/"))
        keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
        environment = keys | {"AWS_ENDPOINT_URL": url}
        urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT"), timeout=60).close()
        yield environment
    finally:
        process.kill()


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError):
        urllib.request.urlopen(url, timeout=60).close()
        return True
    return False


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
