"""Slot: a Tune trial actor, and the loop of the Ray Train workers that serve it. This is the only file here that imports Ray.

One Ray Train run per machine serves the machine's slots. Each of its workers is a replica group of its own, so Ray Train replaces a
worker that died and does not interrupt the others. A worker keeps its process, its data sets and its CUDA context from cell to cell.
"""

import json
import os
import threading
from collections import deque
from typing import Any

import ray
import ray.train
from ray.train.v2.api.callback import UserCallback

from trainables.workers.worker_messages import ENDS, Event


def build_trial_class() -> type:
    """Return the class of the trial actors. It is a function because importing ray.tune takes a second, for which no worker should wait."""
    from ray import tune

    class Slot(tune.Trainable):
        """Posts a trial's cells to the dispatcher and forwards the resulting events. `reset_config` gives it the next trial's cells.

        With `in_turn` it posts a cell when the one before has ended, and Tune's scheduler, which has seen the end, lets the trial go on.
        """

        def setup(self, config: dict[str, Any]) -> None:
            self.dispatcher = ray.get_actor(config["dispatcher"])
            self._begin_trial(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.cleanup()
            self._begin_trial(new_config)
            return True

        def _begin_trial(self, config: dict[str, Any]) -> None:
            packs: list[list[dict[str, Any]]] = json.loads(config["packs"])
            self.turns = deque([[cell]] for pack in packs for cell in pack) if config["in_turn"] else deque([packs])
            self.number = 0
            self._post_turn()

        def _post_turn(self) -> None:
            self.posted, self.number = f"{self.trial_id}.{self.number}" if self.number else self.trial_id, self.number + 1
            packs = self.turns.popleft()
            cells = [cell for pack in packs for cell in pack]
            self.left = {cell["key"] for cell in cells}
            ray.get(self.dispatcher.post_trial.remote(self.posted, cells, os.getpid(), [len(pack) for pack in packs]))

        def step(self) -> dict[str, Any]:
            """Return one Tune result per poll, not per epoch. `events` holds everything since the last poll."""
            if not self.left:
                self.cleanup()
                self._post_turn()
            events: list[Event] = ray.get(self.dispatcher.poll_events.remote(self.posted, slot_pid=os.getpid()))
            self.left -= {event["key"] for event in events if event["kind"] in ENDS}
            if any(event["kind"] == "failed" for event in events):
                self.turns.clear()  # the suggestion has failed, whatever its other seeds would do
            latest: dict[str, Any] = next((event["row"] for event in reversed(events) if event["kind"] == "row"), {})
            numbers = {name: value for name, value in latest.items() if isinstance(value, int | float)}
            return numbers | {"events": events, tune.result.DONE: not self.left and not self.turns}

        def cleanup(self) -> None:
            ray.get(self.dispatcher.leave_trial.remote(self.posted, os.getpid()))

    return Slot


def run_worker(config: dict[str, Any]) -> None:
    """Serve as a worker: take as many cells as fit, train them, take the next, until the dispatcher closes."""
    import torch

    from trainables.execution.interleave import train_together
    from trainables.workers.host_check import check_host
    from trainables.workers.worker import Worker

    torch.set_num_threads(config["threads"])
    dispatcher = ray.get_actor(config["dispatcher"])
    machine, train_context = ray.get_runtime_context(), ray.train.get_context()
    rank = config["first"] + train_context.get_world_rank()  # among the workers of all machines
    if reason := check_host(config["runs"], config["dispatcher"], config["paths"]):
        ray.get(dispatcher.refuse_work.remote(rank, reason))
        return
    halted = threading.Event()

    def listen() -> None:
        ray.get(dispatcher.wait_for_halt.remote())
        halted.set()

    threading.Thread(target=listen, daemon=True).start()
    context = config["context"] | {"rank": train_context.get_world_rank(), "world_size": train_context.get_world_size()}
    worker = Worker(
        config["runs"],
        context,
        report=lambda key, event: ray.get(dispatcher.report_event.remote(rank, key, event)),
        ask=lambda device: ray.get(dispatcher.get_choice.remote(rank, device)),
        answer=lambda device, choice: ray.get(dispatcher.set_choice.remote(device, choice)),
        halt=halted.is_set,
        checkpoint_s=config["checkpoint_s"],
        cells=config["cells_each"],
        keep=config["keep"],
        parents=frozenset(config["parents"]),
        hang_s=config["hang_s"],
        own_gpu=config["own_gpu"],
        row_s=config["row_s"],
        scratch=os.path.join(machine.get_temp_dir(), machine.get_session_name()),
        owner=config["owner"],
    )
    most = config["pack"]
    while jobs := ray.get(dispatcher.take_cell.remote(rank, most, config["first"], config["size"])):
        most = train_together(jobs, worker.start_job, worker.end_job, most, worker.send_note)


class WorkerDeathCallback(UserCallback):
    """Tells the dispatcher which worker died, and why. It is called in the Ray Train controller."""

    def __init__(self, dispatcher: str, first: int) -> None:
        self.dispatcher, self.first = dispatcher, first

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        dispatcher = ray.get_actor(self.dispatcher)
        for lost in (False, True):
            errors = {rank: error for rank, error in worker_exceptions.items() if died_with_machine(error) is lost}
            reasons = {self.first + rank: (str(error) or type(error).__name__).splitlines()[0] for rank, error in errors.items()}
            ray.get(dispatcher.report_deaths.remote(reasons, lost))


def died_with_machine(error: Exception) -> bool:
    """Return whether a worker died because its whole machine did."""
    return getattr(error, "preempted", False) or "its node has died" in str(error)
