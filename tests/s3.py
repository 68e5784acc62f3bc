"""A real S3 server, moto's, as a process of its own on this machine; its buckets are empty and its keys are not checked."""

import contextlib
import os
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.running import start

BUCKET = "studies"
LISTED = 50
"""objects that one answer lists; S3's own number is 1,000"""


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(folder: Path, host: str = "127.0.0.1") -> Iterator[dict[str, str]]:
    """The environment in which `s3://` means this server, and in which EC2 does, too. `folder` is where it runs."""
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
