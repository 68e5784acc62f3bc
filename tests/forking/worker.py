"""What the shared Ray runs in place of its own setup_worker.py: asks the server for a fork, and lives as long as it does."""

import argparse
import json
import os
import sys
import time

sys.path[0] = os.path.dirname(os.path.abspath(__file__))

from request import ask, this_process  # noqa: E402

SERVER = "FERRAY_FORK_SERVER"


def main() -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--serialized-runtime-env-context", default="{}")
    parser.add_argument("--language")
    known, arguments = parser.parse_known_args()
    context = json.loads(known.serialized_runtime_env_context)
    os.environ.update(context.get("env_vars") or {})
    while not os.path.exists(os.environ[SERVER]):
        time.sleep(0.05)
    with ask(os.environ[SERVER], this_process() | {"arguments": arguments}) as connection, connection.makefile() as said:
        pid = said.readline()
        code = said.readline()
    return int(code or 1) if pid else 1


if __name__ == "__main__":
    sys.exit(main())
