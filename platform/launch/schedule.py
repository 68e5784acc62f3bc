"""The Tuner: it takes cells and gives events. The only file here that imports ray.tune.

Ray Train workers stay warm on every machine. Tune's trial actors post their cells to a dispatcher actor, and any worker takes cells of any
trial from it. The trial actors and the dispatcher live on the head, which is the one machine that a grid cannot lose.
"""

import contextlib
import json
import math
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from platform.launch.cluster import Fatal, list_dead_daemons, stuck  # before Ray, which reads at import what this sets
from platform.launch.sessions import get_own_session

# isort: split
import ray
from ray import tune
from ray.tune.search import Searcher

from platform.launch.worker_pool import WorkerPool, count_slots, get_autoscaler_limits
from search_spaces.space import STARTUP, Range, Real, Whole
from trainables.cell import Cell, Value
from trainables.execution.interleave import PACK
from trainables.loop import Keep
from trainables.storage.owner import FolderLost
from trainables.storage.store import RunFolder
from trainables.workers.dispatcher import ENDS, Dispatcher, count_devices
from trainables.workers.slot import build_trial_class
from trainables.workers.watchdog import HANG_S

Event = dict[str, Any]
Listen = Callable[[Event], None]
Ask = Callable[[str], list[Cell] | None]


HEAD = {"node:__internal_head__": 0.001}
"""what everything asks for that must not die with a worker's machine; its CPU would be taken from the workers"""
TRIALS = 100
"""Tune's own work and memory grow with the trials, so a larger grid has more packs a trial"""
VERIFY_S = 1.0
"""how often the driver looks whether the run folder is still its own"""
VERIFY_STORE_S = 20.0
"""the same on an object store, where it is a request"""
ACTORS = 32
"""trial actors at once: each is a process on the head, and on a large cluster posts the packs of several slots"""


class _TrialCallback(tune.Callback):
    def __init__(self, listen: Listen, over: threading.Event) -> None:
        self.listen, self.over = listen, over

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore that we never do

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self.over.is_set():
            raise Fatal("stopped")  # the way out of Tuner.fit, which would first run every trial that is left

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        for event in result["events"]:
            self.listen(event)


def group_packs(cells: list[Cell], most: int) -> list[list[Cell]]:
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


def group_trials(packs: list[list[Cell]], slots: int, spare: int = 1) -> tuple[list[list[list[Cell]]], int]:
    """The packs in trials, and how many trials at once keep `slots` slots busy, with `spare` packs for each.

    A pack a trial where that will do.
    """
    at_once = max(1, min(slots, ACTORS, len(packs)))
    each = max(math.ceil(len(packs) / TRIALS), min(math.ceil(slots * spare / at_once), math.ceil(len(packs) / at_once)))
    trials = [packs[first : first + each] for first in range(0, len(packs), each)]
    return trials, min(at_once, len(trials))


def encode_trial(trial: list[list[Cell]]) -> str:
    """A trial's packs as one string: Tune copies what a trial is given several times over, and a string is never copied."""
    return json.dumps([[cell.to_json() for cell in pack] for pack in trial])


class SuggestionSearcher(Searcher):
    """Tune's view of a search: a trial is a suggestion, its cells are the suggestion's seeds.

    Nothing of it is ever restored from Tune's own files: what was suggested and what came of it is on record elsewhere.
    """

    def __init__(self, ask: Ask, tell: Callable[[str], None]) -> None:
        super().__init__()  # what a suggestion scored is for `tell` to find out
        self.ask, self.tell = ask, tell

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as of _TrialCallback

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        cells = self.ask(trial_id)
        return Searcher.FINISHED if cells is None else {"packs": encode_trial([cells])}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.tell(trial_id)

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass


def suggest_by_hyperopt(space: dict[str, Range], past: list[tuple[dict[str, Value], float]], seed: int) -> dict[str, Value]:
    """The next suggestion of hyperopt's TPE, by a fresh HyperOptSearch that is told the past: parameters and scores, in order.

    The space is flat: HyperOptSearch takes values of nested ones for something else.
    """
    from ray.tune.search.hyperopt import HyperOptSearch

    domains = HyperOptSearch.convert_search_space({name: _make_domain(each) for name, each in space.items()})
    known = [dict(settings) for settings, _ in past] or None
    searcher = HyperOptSearch(domains, "score", "max", points_to_evaluate=known, n_initial_points=STARTUP, random_state_seed=seed)
    for number, (_, score) in enumerate(past):
        searcher.suggest(str(number))
        searcher.on_trial_complete(str(number), {"score": score})
    return dict(searcher.suggest("next"))


def _make_domain(each: Range) -> Any:
    if isinstance(each, Real):
        return (tune.loguniform if each.log else tune.uniform)(each.low, each.high)
    if isinstance(each, Whole):
        return (tune.lograndint if each.log else tune.randint)(each.low, each.high + 1)
    return tune.choice(list(each.values))


class _TunePlan(NamedTuple):
    """What Tune is to do: trials of some cells each, known from the start and given in a space, or asked for one by one."""

    known: list[Cell]
    space: dict[str, Any]
    algorithm: Searcher | None
    trials: int
    at_once: int


Plan = Callable[[int, int], _TunePlan]
"""(slots, packs to have ready for each) -> the work"""


def run_cells(todo: list[Cell], folder: RunFolder, listen: Listen, pack: int | None = None, **how: Any) -> None:
    """Train these cells, in this order, until all have ended; `how` is as of `_serve_cells`.

    `pack` is how many cells a slot trains side by side, cells that differ by their seed alone; without it one on a CPU and PACK on a GPU.
    """

    def plan(most: int) -> tuple[int, Plan]:
        packs = group_packs(todo, most)

        def work(slots: int, spare: int) -> _TunePlan:
            trials, at_once = group_trials(packs, slots, spare)
            space = {"packs": tune.grid_search([encode_trial(trial) for trial in trials])}
            return _TunePlan(todo, space, None, len(trials), at_once)

        return sum(count_devices(pack[0].method_settings) for pack in packs), work

    _serve_cells(plan, len(todo), folder, listen, pack, **how)


def run_suggestions(ask: Ask, tell: Callable[[str], None], trials: int, each: int, folder: RunFolder, listen: Listen, **how: Any) -> None:
    """Train what is suggested: `ask(trial)` gives a suggestion's cells, `each` of them, or None when there are no more suggestions;
    `tell(trial)` hears that its cells have ended. There will be so many `trials` at most; their parents, if any, are trained already.
    """

    def work(slots: int, spare: int) -> _TunePlan:  # one more: the slots stay busy while a suggestion ends
        return _TunePlan([], {}, SuggestionSearcher(ask, tell), trials, math.ceil(slots / each) + 1)

    _serve_cells(lambda most: (trials * each, work), trials * each, folder, listen, **how)


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
    """Have so many cells trained on the Ray that is up. `listen` hears each event once, in Tune's thread.

    `plan` maps the number of cells in a pack to the number of slots that the work can use and the work itself. A cell with `devices=2`
    uses two slots.

    `gpu` is each slot's share of a GPU; without it one GPU a slot where there are any. `keep` is as for `iterate_training`, but parents
    of these cells keep their parameters in any case. KeyboardInterrupt stops the cells at their next step, their checkpoints written,
    and is raised again. Raises Fatal where going on makes no sense.
    """
    resources, most = ray.cluster_resources(), get_autoscaler_limits()
    share = gpu if gpu is not None else float("GPU" in resources | most)
    pack = pack or (PACK if share else 1)
    busy, work = plan(pack)
    number = min(count_slots(resources | most, share, slots), busy)
    todo = work(number, 4 if len(ray.nodes()) > 1 or most else 1)  # machines that come later find something to do
    name = f"dispatcher-{uuid.uuid4().hex[:8]}"
    dispatcher = ray.remote(num_cpus=0, resources=HEAD)(Dispatcher).options(name=name).remote([cell.key for cell in todo.known])
    folder.put_mark(name)
    scratch = tempfile.mkdtemp(prefix="ferray-", dir=get_own_session() or None)
    config = {"dispatcher": name, "runs": folder.uri, "threads": 1, "checkpoint_s": checkpoint_s, "context": context or {}, "pack": pack}
    config |= {
        "hang_s": hang_s,
        "own_gpu": share >= 1,
        "owner": folder.owner,
        "keep": keep,
        "parents": [cell.parent for cell in todo.known if cell.parent],
        "paths": sorted({path for cell in todo.known for data in cell.data.values() for path in data.source.list_files()}),
        "cells_each": math.ceil(cells / number),
    }

    def say(line: str) -> None:
        listen({"kind": "note", "text": line})

    wanted = number if slots or most else busy  # every machine that comes gets a crew
    pool = WorkerPool(wanted, share, config, dispatcher, scratch, say, crowded=bool(slots))
    fatal: list[str] = []
    over = threading.Event()

    ended: set[str] = set()

    def hear(event: Event) -> None:
        if event["kind"] in ENDS:
            ended.add(event["key"])
        if event.get("fatal"):
            fatal.append(event["reason"])
        try:
            if event.get("killed"):  # nobody else is left to write it down
                words = folder.get_crash_log(event["key"])
                event["reason"] += f"; its last words: {words[0]}" if words else ""
                folder.put_error(event["key"], event | {"words": words})
            listen(event)
        except FolderLost as error:
            fatal.append(str(error))
        except OSError as error:
            fatal.append(f"{error.filename or folder.uri}: {error.strerror or error}")

    def tune_all() -> None:
        try:
            tuner = tune.Tuner(
                tune.with_resources(build_trial_class(), HEAD),
                param_space={"dispatcher": name, **todo.space},
                tune_config=tune.TuneConfig(
                    search_alg=todo.algorithm,
                    num_samples=todo.trials if todo.algorithm else 1,
                    max_concurrent_trials=todo.at_once,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="slots",
                    storage_path=scratch,
                    callbacks=[_TrialCallback(hear, over)],
                    verbose=0,
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # the cells keep their own
                    failure_config=tune.FailureConfig(max_failures=3),
                ),
            )
            tuner.fit()
        except Exception as error:
            if not over.is_set():
                fatal.append(f"the trials cannot go on: {_join_lines(error)}")

    trials = threading.Thread(target=tune_all, daemon=True)
    closed = dispatcher.wait_for_halt.remote()  # never answered unless by its death: nobody here halts while it goes well

    def lost() -> list[str]:
        return list_dead_daemons() or (["dispatcher"] if ray.wait([closed], timeout=0)[0] else [])

    widest = max((count_devices(cell.method_settings) for cell in todo.known), default=1)
    pool.update_machines()
    trials.start()
    verified = time.monotonic()
    try:
        if 0 < pool.largest_machine < widest and not pool.grows:
            raise Fatal(f"devices={widest}: no machine has so many slots (the most are {pool.largest_machine}); --slots, or fewer devices")
        while trials.is_alive() and not (fatal or pool.fatal):
            trials.join(0.2)
            if gone := lost():  # first: whoever asks a dead Ray waits
                raise Fatal(f"Ray's {gone[0]} died")
            pool.update_machines()
            tick()
            if time.monotonic() > verified + (VERIFY_S if folder.local else VERIFY_STORE_S):
                verified = time.monotonic()
                folder.verify_owner()
        if fatal or pool.fatal:
            folder.verify_owner()  # a worker that lost its folder knows less of it
            raise Fatal((fatal or [pool.fatal])[0])
        if left := sum(cell.key not in ended for cell in todo.known):  # the trials may die of it before it is seen here
            raise Fatal(f"Ray's {gone[0]} died" if (gone := lost()) else f"the trials ended before {left} of their cells")
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


def _join_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _halt_workers(dispatcher: Any, patience_s: float = 5.0) -> None:
    """Give cells in flight the time to write their checkpoints; who does not answer loses what came after its last one."""
    with contextlib.suppress(Exception):
        ray.get(dispatcher.halt_workers.remote(), timeout=patience_s)
