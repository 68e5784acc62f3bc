"""`python -m platform.grid` with two checkpoints per second and a short hang limit. It is added to a checkout and run there."""

if __name__ == "__main__":
    from platform.terminal.supervisor import supervise_command

    supervise_command()

import faulthandler
import functools
import os
import signal
from typing import Any

from platform.cli.command import run_command
from platform.grid import run as grid
from platform.grid.__main__ import main

faulthandler.register(signal.SIGUSR1, file=os.dup(2))  # if the process hangs, the signal prints where
run_grid = grid.run_grid


@functools.wraps(run_grid)
def impatient(study: Any, cells: Any, folder: Any, how: dict[str, Any], *more: Any) -> int:
    return run_grid(study, cells, folder, how | {"checkpoint_s": 0.5, "hang_s": float(os.environ["ORDEAL_HANG_S"])}, *more)


grid.run_grid = impatient
run_command(main)
