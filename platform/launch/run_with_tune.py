"""Run cells with Ray Tune: take cells, give events. The only file here that imports ray.tune.

Ray Train workers stay warm on every machine. Tune's trial actors post their cells to a dispatcher actor, and any worker takes cells of any
trial from it. The trial actors and the dispatcher live on the head, which is the one machine that a grid cannot lose.
"""

import contextlib
import math
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from platform.launch.cluster import Fatal, list_dead_daemons, stuck  # before Ray: it sets variables that Ray reads at import
from platform.launch.ray_sessions import get_own_session

# isort: split
import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from platform.launch import ray_internals
from platform.launch.trials import ACTORS, BLOCK_TRIALS, BlockQueue, Trial, encode_trial, group_packs, group_trials
from platform.launch.worker_pool import WorkerPool, count_slots
from trainables.cell import Cell
from trainables.execution.interleave import PACK
from trainables.loop import Keep
from trainables.registry import join_lines
from trainables.storage.lock_holder import FolderLost
from trainables.storage.store import RunFolder
from trainables.workers.dispatcher import Dispatcher, count_devices
from trainables.workers.trial_actor import build_trial_class
from trainables.workers.watchdog import HANG_S
from trainables.workers.worker import ROW_S
from trainables.workers.worker_messages import ENDS, Event

Listen = Callable[[Event], None]
Ask = Callable[[str], list[Cell] | None]
Announce = Callable[[list[str]], None]
Judge = Callable[[str, Event], bool]

HEAD = {"node:__internal_head__": 0.001}
"""resource that an actor requests if it must not die with a worker's machine; the head's CPUs are left to the workers"""
VERIFY_S = 1.0
"""seconds between the driver's checks that the run folder is still its own"""
VERIFY_STORE_S = 20.0
"""the same on an object store, where a check is a request"""


class _TrialCallback(tune.Callback):
    def __init__(self, listen: Listen, over: threading.Event) -> None:
        self.listen, self.over = listen, over

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore, which never happens

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self.over.is_set():
            raise Fatal("stopped")  # leaves Tuner.fit, which would otherwise run every remaining trial first

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        for event in result["events"]:
            self.listen(event)


class SuggestionSearcher(Searcher):
    """Tune's view of trials that are not known from the start: the suggestions of a search, or the trials of a block.

    Nothing is ever restored from Tune's own files: suggestions and their results are recorded elsewhere.
    """

    def __init__(self, ask: Callable[[str], Trial | None], tell: Callable[[str], None]) -> None:
        """`ask` returns the next trial, an empty one if there is none yet, or None at the end."""
        super().__init__()  # without a metric: `tell` looks up a suggestion's score itself
        self.ask, self.tell = ask, tell

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as in _TrialCallback

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        trial = self.ask(trial_id)
        if trial is None:
            return str(Searcher.FINISHED)
        return {"packs": encode_trial(trial)} if trial else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.tell(trial_id)

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass


class JudgeScheduler(FIFOScheduler):
    """Tune's view of a scheduler that is asked once for each event of a trial, though a result of Tune may hold several."""

    def __init__(self, judge: Judge) -> None:
        """`judge(trial, event)` returns whether the trial has to stop."""
        super().__init__()
        self.judge = judge

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as in _TrialCallback

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        stops = any(self.judge(trial.trial_id, event) for event in result["events"])
        return str(self.STOP if stops else self.CONTINUE)


class _TunePlan(NamedTuple):
    """Tune's work: trials of some cells each.

    The trials are known from the start and given in a search space, or they are requested one by one from a search algorithm.
    """

    known: list[Cell]
    """the cells that may be trained, as far as they are known"""
    list_handed: Callable[[], list[str]]
    """returns the keys of those that trials have by now"""
    space: dict[str, Any]
    algorithm: Searcher | None
    trials: int
    at_once: int
    judge: Judge | None = None
    """stops trials; their cells are then trained one after another"""


Plan = Callable[[int, int, Announce], _TunePlan]
"""(slots, packs to have ready for each slot, function that announces keys of cells to the dispatcher) -> the work"""


def run_cells(todo: list[Cell], folder: RunFolder, listen: Listen, pack: int | None = None, **how: Any) -> None:
    """Train these cells, in this order, until all have ended. `how` holds further parameters of `_serve_cells`.

    `pack` is the number of cells that a slot trains side by side; they differ only in their seed. The default is one on a CPU and PACK
    on a GPU.
    """

    def plan(most: int) -> tuple[int, Plan]:
        packs = group_packs(todo, most)
        keys = [cell.key for cell in todo]

        def work(slots: int, spare: int, announce: Announce) -> _TunePlan:
            trials, at_once = group_trials(packs, slots, spare)
            space = {"packs": tune.grid_search([encode_trial(trial) for trial in trials])}
            return _TunePlan(todo, lambda: keys, space, None, len(trials), at_once)

        return sum(count_devices(pack[0].method_settings) for pack in packs), work

    _serve_cells(plan, len(todo), folder, listen, pack, **how)


def run_suggestions(
    ask: Ask, tell: Callable[[str], None], judge: Judge | None, trials: int, each: int, folder: RunFolder, listen: Listen, **how: Any
) -> None:
    """Train the cells of suggestions. `how` holds further parameters of `_serve_cells`.

    `ask(trial)` returns the `each` cells of a suggestion, or None when there are no more suggestions. `tell(trial)` is called when the
    cells have ended. There are at most `trials` suggestions. Their cells' parents, if any, are trained already. With `judge`, a
    suggestion's cells are trained one after another, and `judge(trial, event)` returns whether the suggestion has to stop.
    """

    def ask_trial(trial: str) -> Trial | None:
        cells = ask(trial)
        return None if cells is None else [cells]

    def work(slots: int, spare: int, announce: Announce) -> _TunePlan:
        at_once = math.ceil(slots / each) + 1  # one trial more keeps the slots busy while a suggestion ends
        if judge:
            at_once = slots + 1 if slots > 1 else 1  # on one slot the order of the decisions is always the same
        return _TunePlan([], list, {}, SuggestionSearcher(ask_trial, tell), trials, at_once, judge)

    _serve_cells(lambda most: (trials * each, work), trials * each, folder, listen, **how)


def run_blocks(
    ask: Callable[[], list[Cell] | None], known: list[Cell], folder: RunFolder, listen: Listen, pack: int | None = None, **how: Any
) -> None:
    """Train the cells of blocks, one block after another. `how` holds further parameters of `_serve_cells`.

    `ask()` returns the next block when every cell of the one before has ended, and None when there are no more. Its cells are among
    `known` and stand after their parents, which are trained already or in the same block. Ray and the workers stay from block to block.
    Raises Fatal if Tune ends before `ask` does.
    """
    queues: list[BlockQueue] = []

    def plan(most: int) -> tuple[int, Plan]:
        def work(slots: int, spare: int, announce: Announce) -> _TunePlan:
            at_once = min(slots, ACTORS)

            def group(cells: list[Cell]) -> list[Trial]:
                return group_trials(group_packs(cells, most), slots, spare, max(BLOCK_TRIALS, at_once))[0]

            queues.append(queue := BlockQueue(ask, group, announce))
            searcher = SuggestionSearcher(queue.suggest_trial, queue.complete_trial)
            return _TunePlan(known, lambda: queue.handed, {}, searcher, len(known), at_once)

        return sum(count_devices(pack[0].method_settings) for pack in group_packs(known, most)), work

    _serve_cells(plan, len(known), folder, listen, pack, **how)
    if not all(queue.over for queue in queues):
        raise Fatal("the Tune trials ended before their last block")


_warned = threading.Event()
"""Set once the user knows which private parts Ray lacks."""


def _serve_cells(
    plan: Callable[[int], tuple[int, Plan]],
    cells: int,
    folder: RunFolder,
    listen: Listen,
    pack: int | None = None,
    tick: Callable[[], None] = lambda: None,
    slots: int | None = None,
    gpu: float | None = None,
    context: dict[str, Any] | None = None,
    checkpoint_s: float = 20.0,
    keep: Keep = "best",
    hang_s: float = HANG_S,
) -> None:
    """Train `cells` cells on the Ray that is up.

    `listen` is called once for each event of a cell, in Tune's thread, and for each note of the worker pool, in other threads.

    `plan` maps the number of cells in a pack to the number of slots that the work can use and to the work itself. A cell with `devices=2`
    uses two slots.

    `gpu` is each slot's share of a GPU. The default is one GPU per slot where there are any. `keep` is as for `iterate_training`, but
    parents of these cells keep their parameters in any case. KeyboardInterrupt stops the cells at their next step, after they have written
    their checkpoints, and is raised again. Raises Fatal where the run cannot continue.
    """
    resources, limits = ray.cluster_resources(), ray_internals.get_autoscaler_limits()
    gpu_share = gpu if gpu is not None else float("GPU" in resources | limits)
    pack = pack or (PACK if gpu_share else 1)
    usable, make_plan = plan(pack)
    slot_count = min(count_slots(resources | limits, gpu_share, slots), usable)
    name = f"dispatcher-{uuid.uuid4().hex[:8]}"
    spare = 4 if len(ray.nodes()) > 1 or limits else 1  # machines that join later find packs to train
    tune_plan = make_plan(slot_count, spare, lambda keys: ray.get(dispatcher.expect_cells.remote(keys)))
    dispatcher = ray.remote(num_cpus=0, resources=HEAD)(Dispatcher).options(name=name).remote(tune_plan.list_handed())
    folder.put_mark(name)
    scratch = tempfile.mkdtemp(prefix="ferray-", dir=get_own_session() or None)
    config = {"dispatcher": name, "runs": folder.uri, "threads": 1, "checkpoint_s": checkpoint_s, "context": context or {}, "pack": pack}
    config |= {
        "hang_s": hang_s,
        "own_gpu": gpu_share >= 1,
        "owner": folder.owner,
        "keep": keep,
        "parents": [cell.parent for cell in tune_plan.known if cell.parent],
        "paths": sorted({path for cell in tune_plan.known for data in cell.data.values() for path in data.source.list_files()}),
        "cells_each": math.ceil(cells / slot_count),
        "row_s": 0.0 if tune_plan.judge else ROW_S,
    }

    def say(line: str) -> None:
        listen({"kind": "note", "text": line})

    pool_slots = slot_count if slots or limits else usable  # every machine that joins gets workers
    pool = WorkerPool(pool_slots, gpu_share, config, dispatcher, scratch, say, crowded=bool(slots))
    if ray_internals.missing and not _warned.is_set():
        _warned.set()
        names = ", ".join(ray_internals.missing)
        say(f"this Ray lacks {names}: a grid starts some seconds later, and the death of a daemon may be noticed a minute later")
    fatal: list[str] = []
    over = threading.Event()

    ended: set[str] = set()

    def hear(event: Event) -> None:
        if event["kind"] in ENDS:
            ended.add(event["key"])
        if event["kind"] == "failed" and event.get("fatal"):
            fatal.append(event["reason"])
        try:
            if event["kind"] == "failed" and event.get("killed"):  # the worker is dead, so the driver writes the error
                log = folder.get_crash_log(event["key"])
                event["reason"] += f"; its last log line: {log[0]}" if log else ""
                folder.put_error(event["key"], {**event, "words": log})
            listen(event)
        except FolderLost as error:
            fatal.append(str(error))
        except OSError as error:
            fatal.append(f"{error.filename or folder.uri}: {error.strerror or error}")

    def tune_all() -> None:
        try:
            tuner = tune.Tuner(
                tune.with_resources(build_trial_class(), HEAD),
                param_space={"dispatcher": name, "in_turn": bool(tune_plan.judge), **tune_plan.space},
                tune_config=tune.TuneConfig(
                    search_alg=tune_plan.algorithm,
                    scheduler=JudgeScheduler(tune_plan.judge) if tune_plan.judge else None,
                    num_samples=tune_plan.trials if tune_plan.algorithm else 1,
                    max_concurrent_trials=tune_plan.at_once,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="slots",
                    storage_path=scratch,
                    callbacks=[_TrialCallback(hear, over)],
                    verbose=0,
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # the cells have checkpoints of their own
                    failure_config=tune.FailureConfig(max_failures=3),
                ),
            )
            tuner.fit()
        except Exception as error:
            if not over.is_set():
                fatal.append(f"the trials cannot go on: {join_lines(error)}")

    trials = threading.Thread(target=tune_all, daemon=True)
    halt = dispatcher.wait_for_halt.remote()  # ready only when the dispatcher dies: nothing halts it in a run without errors

    def lost() -> list[str]:
        return list_dead_daemons() or (["dispatcher"] if ray.wait([halt], timeout=0)[0] else [])

    devices = max((count_devices(cell.method_settings) for cell in tune_plan.known), default=1)
    pool.update_machines()
    trials.start()
    verified = time.monotonic()
    try:
        if 0 < pool.largest_machine < devices and not pool.grows:
            raise Fatal(f"devices={devices}: no machine has so many slots (at most {pool.largest_machine}); raise --slots or lower devices")
        while trials.is_alive() and not (fatal or pool.fatal):
            trials.join(0.2)
            if dead := lost():  # checked first: a call to a dead Ray blocks
                raise Fatal(f"Ray's {dead[0]} died")
            pool.update_machines()
            tick()
            if time.monotonic() > verified + (VERIFY_S if folder.local else VERIFY_STORE_S):
                verified = time.monotonic()
                folder.verify_owner()
        if fatal or pool.fatal:
            folder.verify_owner()  # raises a more precise error than that of a worker that lost its folder
            raise Fatal((fatal or [pool.fatal])[0])
        # a dead daemon may have ended the trials before the loop above noticed it
        if unfinished := sum(key not in ended for key in tune_plan.list_handed()):
            raise Fatal(f"Ray's {dead[0]} died" if (dead := lost()) else f"the Tune trials ended before {unfinished} of their trainings")
    except BaseException:
        over.set()
        _halt_workers(dispatcher)
        trials.join(3)
        if trials.is_alive():
            stuck.set()
        raise
    finally:
        dispatcher.close.remote()
        pool.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _halt_workers(dispatcher: Any, patience_s: float = 5.0) -> None:
    """Give cells in flight time to write their checkpoints.

    A worker that does not answer loses what came after its last checkpoint.
    """
    with contextlib.suppress(Exception):
        ray.get(dispatcher.halt_workers.remote(), timeout=patience_s)
