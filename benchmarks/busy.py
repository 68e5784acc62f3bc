"""Keep the machine busy while a command runs: python benchmarks/busy.py 12 -- make test-all. Exit with the command's exit code."""

import signal
import subprocess
import sys
import time

BUSY = "while True: pass"


def main(arguments: list[str]) -> int:
    number, dashes, *command = arguments if len(arguments) > 2 else ("", "", "")
    if not number.isdigit() or dashes != "--":
        sys.exit("python benchmarks/busy.py PROCESSES -- COMMAND ...")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # SystemExit runs the `finally` block
    busy = [subprocess.Popen([sys.executable, "-S", "-c", BUSY]) for _ in range(int(number))]
    began = time.monotonic()
    try:
        code = subprocess.run(command).returncode
    finally:
        for process in busy:
            process.kill()
            process.wait()
    print(f"beside {number} busy processes: exit {code} after {time.monotonic() - began:.0f} s", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
