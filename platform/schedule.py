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
from typing import Any, NamedTuple

from platform.cluster import Fatal  # before Ray, which reads at import what this sets

# isort: split
import ray
import ray.train
from ray import tune
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.tune.search import Searcher

from search_spaces.space import STARTUP, Range, Real, Whole
from trainables.cell import Cell, Value
from trainables.loop import Keep
from trainables.mailbox import Mailbox
from trainables.pack import PACK
from trainables.slot import Alone, FixedSize, Obituaries, serve, slot
from trainables.store import RunFolder
from trainables.watch import HANG_S

Event = dict[str, Any]
Listen = Callable[[Event], None]
Ask = Callable[[str], list[Cell] | None]


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


class Suggestions(Searcher):
    """Tune's view of a search: a trial is a suggestion, its cells are the suggestion's seeds.

    Nothing of it is ever restored from Tune's own files: what was suggested and what came of it is on record elsewhere.
    """

    def __init__(self, ask: Ask, tell: Callable[[str], None]) -> None:
        super().__init__()  # what a suggestion scored is for `tell` to find out
        self.ask, self.tell = ask, tell

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as of _Listener

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        cells = self.ask(trial_id)
        return Searcher.FINISHED if cells is None else {"cells": [cell.to_json() for cell in cells]}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.tell(trial_id)

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass


def hyperopt_suggestion(space: dict[str, Range], past: list[tuple[dict[str, Value], float]], seed: int) -> dict[str, Value]:
    """The next suggestion of hyperopt's TPE, by a fresh HyperOptSearch that is told the past: parameters and scores, in order.

    The space is flat: HyperOptSearch takes values of nested ones for something else.
    """
    from ray.tune.search.hyperopt import HyperOptSearch

    domains = HyperOptSearch.convert_search_space({name: _domain(each) for name, each in space.items()})
    known = [dict(settings) for settings, _ in past] or None
    searcher = HyperOptSearch(domains, "score", "max", points_to_evaluate=known, n_initial_points=STARTUP, random_state_seed=seed)
    for number, (_, score) in enumerate(past):
        searcher.suggest(str(number))
        searcher.on_trial_complete(str(number), {"score": score})
    return dict(searcher.suggest("next"))


def _domain(each: Range) -> Any:
    if isinstance(each, Real):
        return (tune.loguniform if each.log else tune.uniform)(each.low, each.high)
    if isinstance(each, Whole):
        return (tune.lograndint if each.log else tune.randint)(each.low, each.high + 1)
    return tune.choice(list(each.values))


class _Work(NamedTuple):
    """What Tune is to do: trials of some cells each, known from the start and given in a space, or asked for one by one."""

    known: list[Cell]
    space: dict[str, Any]
    algorithm: Searcher | None
    trials: int
    each: int


def run(todo: list[Cell], folder: RunFolder, listen: Listen, pack: int | None = None, **how: Any) -> None:
    """Train these cells, in this order, until all have ended; `how` is as of `_serve`.

    `pack` is how many cells a slot trains side by side, cells that differ by their seed alone; without it one on a CPU and PACK on a GPU.
    """

    def work(most: int) -> _Work:
        packs = packs_of(todo, most)
        return _Work(todo, {"cells": tune.grid_search([[cell.to_json() for cell in pack] for pack in packs])}, None, len(packs), most)

    _serve(work, len(todo), folder, listen, pack, **how)


def search(ask: Ask, tell: Callable[[str], None], trials: int, each: int, folder: RunFolder, listen: Listen, **how: Any) -> None:
    """Train what is suggested: `ask(trial)` gives a suggestion's cells, `each` of them, or None when there are no more suggestions;
    `tell(trial)` hears that its cells have ended. There will be so many `trials` at most; their parents, if any, are trained already.
    """
    _serve(lambda most: _Work([], {}, Suggestions(ask, tell), trials, each), trials * each, folder, listen, **how)


def _serve(
    work: Callable[[int], _Work],
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

    `gpu` is each slot's share of a GPU; without it one GPU a slot where there are any. `keep` is as for `training`, but parents of these
    cells keep their parameters in any case. KeyboardInterrupt stops the cells at their next step, their checkpoints written, and is
    raised again. Raises Fatal where going on makes no sense.
    """
    resources = ray.cluster_resources()
    share = gpu if gpu is not None else float("GPU" in resources)
    pack = pack or (PACK if share else 1)
    todo = work(pack)
    number = min(slots_of(resources, share, slots), cells if todo.algorithm else todo.trials)
    at_once = math.ceil(number / todo.each) + 1 if todo.algorithm else number  # one more: the slots stay busy while a suggestion ends
    name = f"mailbox-{uuid.uuid4().hex[:8]}"
    mailbox = ray.remote(num_cpus=0)(Mailbox).options(name=name).remote([cell.key for cell in todo.known])
    scratch = tempfile.mkdtemp(prefix="ferray-")
    config = {"mailbox": name, "runs": folder.uri, "threads": 1, "checkpoint_s": checkpoint_s, "context": context or {}, "pack": pack}
    config |= {
        "hang_s": hang_s,
        "keep": keep,
        "parents": [cell.parent for cell in todo.known if cell.parent],
        "cells_each": math.ceil(cells / number),
    }
    fatal: list[str] = []
    over = threading.Event()

    def workers_run() -> None:
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

    def hear(event: Event) -> None:
        if event.get("fatal"):
            fatal.append(event["reason"])
        try:
            if event.get("killed"):  # nobody else is left to write it down
                words = folder.words(event["key"])
                event["reason"] += f"; its last words: {words[0]}" if words else ""
                folder.put_error(event["key"], event | {"words": words})
            listen(event)
        except OSError as error:
            fatal.append(f"{error.filename or folder.uri}: {error.strerror or error}")

    def tune_all() -> None:
        try:
            tuner = tune.Tuner(
                tune.with_resources(slot(), {"node:__internal_head__": 0.001}),  # its CPU would be taken from the workers
                param_space={"mailbox": name, **todo.space},
                tune_config=tune.TuneConfig(
                    search_alg=todo.algorithm,
                    num_samples=todo.trials if todo.algorithm else 1,
                    max_concurrent_trials=at_once,
                    reuse_actors=True,
                ),
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

    workers = threading.Thread(target=workers_run, daemon=True)
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
