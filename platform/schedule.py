"""The Tuner: cells in, events out. The only file here that imports ray.tune.

One Train run (its `fit` in a thread) keeps the workers warm, one Tune trial actor a slot posts their cells, a mailbox actor between them.
"""

import contextlib
import math
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable
from typing import Any

from platform.cluster import Fatal  # before Ray, which reads at import what this sets

# isort: split
import ray
import ray.train
from ray import tune
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback

from trainables.cell import Cell
from trainables.loop import Keep
from trainables.mailbox import Mailbox
from trainables.pack import PACK
from trainables.slot import Alone, FixedSize, Obituaries, serve, slot
from trainables.store import RunFolder

Event = dict[str, Any]


class _Trainer(TorchTrainer):
    """A TorchTrainer that starts the workers alone, none of the helpers that a grid has no use for.

    Each would be one more process that imports all of Ray Train before the first cell: a manager of Ray data sets (a grid has none), a
    cleaner of the placement groups of a controller that died (here the job ends with its controller, and takes them along), and the
    coordinator that `FixedSize` does without.
    """

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        needless = DatasetsCallback | PlacementGroupCleanerCallback
        parts["callbacks"] = [callback for callback in parts["callbacks"] if not isinstance(callback, needless)]
        parts["scaling_policy"] = FixedSize(self.scaling_config)
        return super()._initialize_and_run_controller(**parts)


class _Listener(tune.Callback):
    def __init__(self, listen: Callable[[Event], None], over: threading.Event) -> None:
        self.listen, self.over = listen, over

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore that we never do

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self.over.is_set():
            raise Fatal("stopped")  # the way out of Tuner.fit, which would first run every trial that is left

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        for event in result["events"]:
            self.listen(event)


def slots_of(resources: dict[str, float], gpu: float, wanted: int | None) -> int:
    """How many cells train at once: as asked, else one a core, or as many as the GPUs hold at `gpu` each."""
    if gpu and "GPU" not in resources:
        raise Fatal(f"--gpu {gpu}: Ray finds no GPU here; leave the option out to train on the CPU")
    return wanted or max(1, int(resources["GPU"] / gpu) if gpu else int(resources.get("CPU", 1)))


def packs_of(cells: list[Cell], most: int) -> list[list[Cell]]:
    """The cells in packs of at most so many that differ by their seed alone; in the order of each pack's first."""
    alike: dict[str, list[list[Cell]]] = {}
    packs = []
    for cell in cells:
        kind = repr((cell.method, cell.method_settings, cell.task_settings, cell.data, bool(cell.parent)))
        mine = alike.setdefault(kind, [])
        if not mine or len(mine[-1]) == most:
            mine.append([])
            packs.append(mine[-1])
        mine[-1].append(cell)
    return packs


def run(
    todo: list[Cell],
    folder: RunFolder,
    listen: Callable[[Event], None],
    tick: Callable[[], None] = lambda: None,
    slots: int | None = None,
    gpu: float | None = None,
    context: dict[str, Any] | None = None,
    checkpoint_s: float = 20.0,
    pack: int | None = None,
    keep: Keep = "best",
) -> None:
    """Train these cells, in this order, on the Ray that is up, until all have ended. `listen` hears each event once, in Tune's thread.

    `gpu` is each slot's share of a GPU; without it one GPU a slot where there are any. `pack` is how many cells a slot trains side by
    side, cells that differ by their seed alone; without it one on a CPU and PACK on a GPU. `keep` is as for `training`, but parents of
    these cells keep their parameters in any case. KeyboardInterrupt stops the cells at their next step, their checkpoints written, and is
    raised again. Raises Fatal where going on makes no sense.
    """
    resources = ray.cluster_resources()
    share = gpu if gpu is not None else float("GPU" in resources)
    pack = pack or (PACK if share else 1)
    packs = packs_of(todo, pack)
    number = min(slots_of(resources, share, slots), len(packs))
    name = f"mailbox-{uuid.uuid4().hex[:8]}"
    mailbox = ray.remote(num_cpus=0)(Mailbox).options(name=name).remote([cell.key for cell in todo])
    scratch = tempfile.mkdtemp(prefix="ferray-")
    config = {"mailbox": name, "runs": folder.uri, "threads": 1, "checkpoint_s": checkpoint_s, "context": context or {}, "pack": pack}
    config |= {"keep": keep, "parents": [cell.parent for cell in todo if cell.parent], "cells_each": math.ceil(len(todo) / number)}
    fatal: list[str] = []
    over = threading.Event()

    def work() -> None:
        per_worker = {"CPU": min(1.0, resources.get("CPU", 1) / number)} | ({"GPU": share} if share else {})
        trainer = _Trainer(
            serve,
            train_loop_config=config,
            torch_config=Alone(),
            scaling_config=ray.train.ScalingConfig(num_workers=number, use_gpu=bool(share), resources_per_worker=per_worker),
            run_config=ray.train.RunConfig(
                name="workers",
                storage_path=scratch,
                failure_config=ray.train.FailureConfig(max_failures=-1, controller_failure_limit=3),
                callbacks=[Obituaries(name)],
            ),
        )
        try:
            trainer.fit()
        except Exception as error:
            fatal.append(f"the workers cannot go on: {str(error).splitlines()[0]}")

    axes = {cell.key: cell.axes for cell in todo}

    def hear(event: Event) -> None:
        if event.get("fatal"):
            fatal.append(event["reason"])
        try:
            if event.get("killed"):  # nobody else is left to write it down
                folder.put_error(event["key"], {"axes": axes[event["key"]], **event})
            listen(event)
        except OSError as error:
            fatal.append(f"{error.filename or folder.uri}: {error.strerror or error}")

    def tune_all() -> None:
        try:
            tuner = tune.Tuner(
                tune.with_resources(slot(), {"node:__internal_head__": 0.001}),  # its CPU would be taken from the workers
                param_space={"mailbox": name, "cells": tune.grid_search([[cell.to_json() for cell in pack] for pack in packs])},
                tune_config=tune.TuneConfig(max_concurrent_trials=number, reuse_actors=True),
                run_config=tune.RunConfig(
                    name="slots",
                    storage_path=scratch,
                    callbacks=[_Listener(hear, over)],
                    verbose=0,
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # the cells keep their own
                    failure_config=tune.FailureConfig(max_failures=3),
                ),
            )
            tuner.fit()
        except Exception as error:
            if not over.is_set():
                fatal.append(f"the trials cannot go on: {str(error).splitlines()[0]}")

    workers = threading.Thread(target=work, daemon=True)
    trials = threading.Thread(target=tune_all, daemon=True)
    workers.start()
    trials.start()
    try:
        while trials.is_alive() and not fatal:
            trials.join(0.2)
            tick()
        if fatal:
            raise Fatal(fatal[0])
    except BaseException:
        over.set()
        _halt(mailbox)
        trials.join(5)
        raise
    finally:
        mailbox.close.remote()
        workers.join(5)
        shutil.rmtree(scratch, ignore_errors=True)


def _halt(mailbox: Any, patience_s: float = 5.0) -> None:
    """Give cells in flight the time to write their checkpoints; who does not answer loses what came after its last one."""
    with contextlib.suppress(Exception):
        ray.get(mailbox.halt.remote(), timeout=patience_s)
