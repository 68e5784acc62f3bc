"""`python -m platform.grid`, with checkpoints twice a second and little patience with a step: added to a checkout, run there."""

if __name__ == "__main__":
    from platform.supervisor import supervise_command

    supervise_command()

import faulthandler
import functools
import os
import signal
from typing import Any

from platform import grid
from platform.command import run_command

faulthandler.register(signal.SIGUSR1, file=os.dup(2))  # where it hangs, should it
carry_out = grid.run_grid


@functools.wraps(carry_out)
def impatient(study: Any, cells: Any, folder: Any, how: dict[str, Any]) -> int:
    return carry_out(study, cells, folder, how | {"checkpoint_s": 0.5, "hang_s": float(os.environ["ORDEAL_HANG_S"])})


grid.run_grid = impatient
run_command(grid.main)
