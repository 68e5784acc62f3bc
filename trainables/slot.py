"""Slot: a Tune trial actor, and the loop of the warm Ray Train workers that serve it. The only file here that imports Ray.

One Train run serves all slots: each of its workers is a replica group of its own, so Ray Train replaces a worker that died and leaves
the others at their cells. Started once, a worker keeps its process, its data sets and its CUDA context from cell to cell.
"""

import os
import threading
import time
import traceback
from contextlib import nullcontext
from typing import Any

import ray
import ray.train
from ray.train.backend import Backend, BackendConfig
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2.api.callback import UserCallback

from trainables.mailbox import ENDS


def slot() -> type:
    """The class of the trial actors. A function, for ray.tune takes a second to import, which no worker should wait for."""
    from ray import tune

    class Slot(tune.Trainable):
        """Posts a trial's cells to the mailbox and passes on what comes back. `reset_config` hands over the next trial's."""

        def setup(self, config: dict[str, Any]) -> None:
            self.mailbox = ray.get_actor(config["mailbox"])
            self._post(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.cleanup()
            self._post(new_config)
            return True

        def _post(self, config: dict[str, Any]) -> None:
            self.posted = self.trial_id
            self.left = {cell["key"] for cell in config["cells"]}
            ray.get(self.mailbox.post.remote(self.posted, config["cells"], os.getpid()))

        def step(self) -> dict[str, Any]:
            """One Tune result a poll, not one an epoch: `events` are all that came since the last."""
            events = ray.get(self.mailbox.events.remote(self.posted))
            self.left -= {event["key"] for event in events if event["kind"] in ENDS}
            latest: dict[str, Any] = next((event["row"] for event in reversed(events) if event["kind"] == "row"), {})
            numbers = {name: value for name, value in latest.items() if isinstance(value, int | float)}
            return numbers | {"events": events, tune.result.DONE: not self.left}

        def cleanup(self) -> None:
            ray.get(self.mailbox.leave.remote(self.posted))

    return Slot


def serve(config: dict[str, Any]) -> None:
    """A worker's life: take a cell, train it, take the next, until the mailbox closes."""
    import torch

    from trainables.cell import Cell
    from trainables.loop import Diverged, Stopped, train
    from trainables.registry import BadRequest
    from trainables.store import RunFolder

    torch.set_num_threads(config["threads"])
    mailbox = ray.get_actor(config["mailbox"])
    world = ray.train.get_context()
    rank, folder = world.get_world_rank(), RunFolder(config["runs"])
    halted = threading.Event()

    def listen() -> None:
        ray.get(mailbox.halted.remote())
        halted.set()

    threading.Thread(target=listen, daemon=True).start()
    while job := ray.get(mailbox.take.remote(rank)):
        cell = Cell.from_json(job["cell"])
        context = config["context"] | {name: job[name] for name in ("trial", "slot_pid", "deaths")}
        context |= {"rank": rank, "world_size": world.get_world_size()}

        def report(row: dict[str, Any]) -> bool:
            return ray.get(mailbox.report.remote(rank, {"kind": "row", "row": row, "pid": os.getpid()}))

        try:
            if cell.parent and folder.result(cell.parent) is None:
                raise BadRequest(f"its parent {cell.parent} failed: {(folder.error(cell.parent) or {}).get('reason', 'no result')}")
            if folder.result(cell.key) is None:  # an orphan of a killed driver may have finished it since
                train(cell, folder, report, context, config["checkpoint_s"], halted.is_set)
            event: dict[str, Any] = {"kind": "done"}
        except Stopped:
            event = {"kind": "failed", "stopped": True, "reason": "stopped"}
        except OSError as error:
            where = error.filename or folder.path("cells", cell.key)
            event = {"kind": "failed", "fatal": True, "reason": f"{where}: {error.strerror or error}"}
        except Exception as error:
            known = isinstance(error, BadRequest | Diverged)
            event = {"kind": "failed", "reason": str(error) if known else f"{type(error).__name__}: {error}"}
            epoch = {"epoch": error.epoch} if isinstance(error, Diverged) else {}
            folder.put_error(cell.key, {"key": cell.key, "axes": cell.axes, "traceback": traceback.format_exc()} | event | epoch)
        ray.get(mailbox.report.remote(rank, event | {"time": time.time()}))


class Obituaries(UserCallback):
    """Tells the mailbox which worker died, and of what; called in the Train controller."""

    def __init__(self, mailbox: str) -> None:
        self.mailbox = mailbox

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        reasons = {rank: str(error).splitlines()[0] for rank, error in worker_exceptions.items()}
        ray.get(ray.get_actor(self.mailbox).died.remote(reasons))


class FixedSize(FixedScalingPolicy):
    """As many workers as asked for, and no request to the coordinator that shares a cluster with Ray Data.

    The controller would wait for that actor to start. An autoscaler learns from the placement group what is wanted.
    """

    def after_controller_start(self, train_run_context: Any) -> None:
        pass

    def _maybe_send_resource_request(self) -> None:
        pass


class _Alone(Backend):
    has_replica_groups = True


class Alone(BackendConfig):
    """Workers that train cells of their own need no process group: none is set up, and each is replaced alone when it dies."""

    backend = "alone"

    @property
    def backend_cls(self) -> type[Backend]:
        return _Alone

    @property
    def train_func_context(self) -> Any:
        return nullcontext
