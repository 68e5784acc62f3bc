"""The training loop: it trains one cell and writes the result to the run folder. Plain PyTorch: one function call, no cluster."""

import math
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch

import platform
from trainables import metrics
from trainables.autotune import AutotuneResult, choose_execution, get_device_kind
from trainables.cell import Cell
from trainables.data.copy_guard import guard_task, list_copy_warnings, list_parent_warnings, measure_overlap
from trainables.data.dataset import DataError, FaceDataset
from trainables.data.join_data_sets import check_colours
from trainables.data.prediction_targets import TARGETS
from trainables.data.source import load_faces
from trainables.data.task import TASKS, Images, Task
from trainables.execution.config import REFERENCE, ExecutionConfig
from trainables.execution.sharding import ALONE, ShardContext
from trainables.methods.method import METHODS, Method, Phase
from trainables.random_streams import make_torch_seed
from trainables.registry import BadRequest
from trainables.settings import resolve_settings
from trainables.storage.store import RunFolder, encode_checkpoint, encode_history, encode_predictions

Row = dict[str, Any]
MANY = 100
"""Above this number of classes no counts and no confusion matrix are kept, because nobody reads them: classes may be persons."""
Keep = Literal["none", "best", "all"]
KEPT_TASKS = 4
SMALL = 2**24
"""pixels of all images of a task that is kept: its memory does not matter"""
_TASKS: OrderedDict[str, Task] = OrderedDict()
PROGRESS = ("phase", "epoch", "step", "sums", "best", "last", "selected", "history", "trained", "flags")
"""what a checkpoint holds of a run beside modules, optimiser and random states"""


class Diverged(RuntimeError):
    """The loss is not finite."""

    def __init__(self, phase: str, epoch: int, loss: float) -> None:
        super().__init__(f"the loss of phase {phase} is {loss} in epoch {epoch}: a lower lr may help")
        self.epoch = epoch


class Stopped(Exception):
    """The training was asked to stop. The checkpoint to resume from has been written."""


def train_cell(cell: Cell, folder: RunFolder, *given: Any, **options: Any) -> dict[str, Any]:
    """Train one cell and return its result. The arguments are those of `iterate_training`."""
    steps = iterate_training(cell, folder, *given, **options)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: dict[str, Any] = end.value
            return result


def iterate_training(
    cell: Cell,
    folder: RunFolder,
    report: Callable[[Row], bool] = lambda row: True,
    context: dict[str, Any] | None = None,
    checkpoint_s: float = 20.0,
    halt: Callable[[], bool] = lambda: False,
    choice: AutotuneResult | None = None,
    keep: Keep = "best",
    shard: ShardContext = ALONE,
) -> Generator[None, None, dict[str, Any]]:
    """Train one cell, resuming from its checkpoint if there is one. Yield after every step, and return the result.

    `report` gets each epoch's row and returns whether to continue. `halt` is called at every step and returns whether to stop. `context`
    is what the caller knows about where this runs; it is kept in the result's provenance. `choice` is the execution configuration of a
    cell that requests none. A checkpoint is written every `checkpoint_s` seconds, between two steps. A resumed training gives the same
    bits on the same machine. `keep` says which parameters outlive the training: none, those of the selected epoch (best), or the last
    epoch's as well (all). `shard` is this process's shard if several processes train the cell; only the first shard writes.
    Raises Diverged, Stopped, or BadRequest for settings or data that do not fit.
    """
    start = time.monotonic()
    device = get_device()
    if shard.is_first:
        folder.put_cell(cell)
    task = _get_or_make_task(cell, device)
    choice = AutotuneResult(requested) if (requested := get_requested_execution(cell)) else choice or AutotuneResult(REFERENCE)
    execution = choice.execution if shard.size == 1 else replace(choice.execution, compiled=False, recorded=False)
    method = make_method(cell, task, execution)
    method.shard = shard
    run = Run(cell, folder, method, checkpoint_s, halt, keep)
    if not run.resume() and cell.parent:
        method.inherit_parameters(load_parent(cell.parent, folder))
    phases = method.build_phases()
    for number in range(run.phase, len(phases)):
        yield from _train_phase(phases[number], run, report)
        run.next_phase()

    with execution.autocast(device):
        (val, _), (test, predictions) = _evaluate_images(method, task, task.val), _evaluate_images(method, task, task.test)
        other_scores = {name: _evaluate_images(method, task, images)[0] for name, images in task.tests.items()}
    rows = [row for row in run.history if row["phase"] == phases[-1].name]
    if not np.isfinite(predictions).all():  # the very last update may have diverged: no later loss shows it
        raise Diverged(phases[-1].name, rows[-1]["epoch"], math.nan)
    result = {
        "key": cell.key,
        "axes": cell.axes,
        "metrics": {f"val/{name}": value for name, value in val.items()}
        | {f"test/{name}": value for name, value in test.items()}
        | {f"{test_name}/{name}": value for test_name, scores in other_scores.items() for name, value in scores.items()}
        | {"train/loss": rows[-1]["train/loss"]}
        | phases[-1].summarise_phase(rows),
        "selected_epoch": run.selected,
        "flags": [*task.warnings, *list_copy_warnings(task.copies), *list_ancestor_warnings(cell, folder, task), *run.flags],
        "copies": task.copies,
        "split": {"unit": task.unit, "overlap": measure_overlap(task)},
        "classes": list(task.classes),
        **_count_by_class(task, predictions),
        **method.describe_training(),
        "trained": run.trained,
        "split_hash": task.split_hash,
        "execution": choice.to_json(),
        "provenance": collect_provenance(device, execution) | (context or {}),
        "seconds": round(run.seconds + time.monotonic() - start, 3),
    }
    if shard.is_first:
        run.write_result(task, predictions, result)
    return result


class Run:
    """The state of a training, with everything that a checkpoint must hold to resume it."""

    def __init__(self, cell: Cell, folder: RunFolder, method: Method, checkpoint_s: float, halt: Callable[[], bool], keep: Keep) -> None:
        self.cell, self.folder, self.method, self.checkpoint_s, self.halt, self.keep = cell, folder, method, checkpoint_s, halt, keep
        self.phase = self.epoch = self.step = 0
        self.sums: dict[str, torch.Tensor] = {}
        self.best: dict[str, Any] | None = None
        self.optimizer: dict[str, Any] | None = None
        self.last: dict[str, torch.Tensor] | None = None
        self.selected: int | None = None
        self.history: list[Row] = []
        self.trained: dict[str, dict[str, int]] = {}
        """by phase: optimiser steps made, and images seen in them"""
        self.flags: list[str] = []
        self.seconds = 0.0
        self._began = self._saved = time.monotonic()

    def resume(self) -> bool:
        """Load the checkpoint to resume from, if there is one. Return whether there was one."""
        state = self.folder.get_checkpoint(self.cell.key)
        if not state or "phase" not in state:  # the checkpoint of a finished cell holds parameters only
            return False
        self.method.modules.load_state_dict(state["modules"])
        for name in (*PROGRESS, "optimizer", "seconds"):
            setattr(self, name, state.get(name, getattr(self, name)))
        torch.set_rng_state(state["rng"])
        if state["cuda_rng"] is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda_rng"])
        return True

    def save_checkpoint(self, optimizer: torch.optim.Optimizer | None) -> None:
        """Write the history, then the checkpoint, so that no checkpoint is ahead of the history. Only the first shard writes."""
        if not self.method.shard.is_first:
            self._saved = time.monotonic()
            return
        state = {name: getattr(self, name) for name in PROGRESS}
        state |= {
            "modules": self.method.modules.state_dict(),
            "optimizer": optimizer.state_dict() if optimizer else None,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
            "seconds": self.seconds + time.monotonic() - self._began,
        }
        self.folder.put_files(self.cell.key, history=encode_history(self.history), checkpoint=encode_checkpoint(self.cell.key, state))
        self._saved = time.monotonic()

    def is_save_due(self) -> bool:
        return time.monotonic() - self._saved >= self.checkpoint_s

    def next_phase(self) -> None:
        self.phase, self.epoch, self.step, self.sums, self.best, self.optimizer = self.phase + 1, 0, 0, {}, None, None
        if self.is_save_due():
            self.save_checkpoint(None)

    def write_result(self, task: Task, predictions: np.ndarray, result: dict[str, Any]) -> None:
        """Write the files that are kept of the cell, the result last."""
        key = self.cell.key
        arrays = {"label": task.test.labels.cpu().numpy(), TARGETS[task.target].kept: predictions}
        if task.test.values is not None:
            arrays["values"] = task.test.values.cpu().numpy()
        files: dict[str, bytes | memoryview] = {
            "history": encode_history(self.history),
            "predictions": encode_predictions(index=task.test.rows, **arrays, **task.metadata),
        }
        if self.keep != "none":
            state = {"modules": self.method.modules.state_dict()} | ({"last": self.last} if self.last else {})
            files["checkpoint"] = encode_checkpoint(key, state)
        self.folder.put_files(key, **files)
        self.folder.put_result(key, result)
        if self.keep == "none":
            self.folder.remove("cells", key, "checkpoint.pt")  # only after the result is written: until then a restart resumes from it


def _train_phase(phase: Phase, run: Run, report: Callable[[Row], bool]) -> Generator[None, None, None]:
    shard = run.method.shard
    autocast = run.method.execution.autocast(run.method.task.device)  # each step opens its own autocast, for the forward pass alone
    with autocast:
        phase.begin_phase()
    if run.optimizer is not None:
        phase.optimizer.load_state_dict(run.optimizer)
        run.sums = {name: value.to(next(phase.model.parameters()).device) for name, value in run.sums.items()}
    while run.epoch < phase.epochs:
        with autocast:
            steps = phase.start_epoch(run.epoch)
        phase.model.train()
        while run.step < steps:
            for name, value in phase.train_step(run.step).items():
                run.sums[name] = run.sums[name] + value if name in run.sums else value.clone()  # the next step may overwrite this tensor
            run.step += 1
            if run.is_save_due():
                run.save_checkpoint(phase.optimizer)
            if shard.agree_to_stop(run.halt()):
                run.save_checkpoint(phase.optimizer)
                raise Stopped
            yield
        row: Row = {"phase": phase.name, "epoch": run.epoch, "step": len(run.history)}
        row |= {name: float(total) / steps for name, total in run.sums.items()}
        if not math.isfinite(row["train/loss"]):
            raise Diverged(phase.name, run.epoch, row["train/loss"])
        shard.sync_buffers(phase.model)
        with autocast:
            row |= phase.finish_epoch(run.epoch) | {"time": time.time()}
        row = shard.broadcast_value(row)
        score = row.get("val/score", row.get("val/accuracy"))
        if score is not None and (run.best is None or score > run.best["accuracy"]):
            run.best = {"accuracy": score, "epoch": run.epoch, "state": _copy_state(phase.model.state_dict())}
        run.history.append(row)
        counts = run.trained.setdefault(phase.name, {"steps": 0, "images": 0})
        counts["steps"], counts["images"] = counts["steps"] + steps, counts["images"] + steps * phase.count_images()
        run.epoch, run.step, run.sums = run.epoch + 1, 0, {}
        if shard.agree_to_stop(not report(row)):
            run.save_checkpoint(phase.optimizer)
            raise Stopped
    if run.keep == "all":
        run.last = _copy_state(run.method.modules.state_dict())
    if run.best is not None:
        phase.model.load_state_dict(run.best["state"])
        run.selected = run.best["epoch"]
    run.flags += phase.list_warnings([row for row in run.history if row["phase"] == phase.name])


def load_parent(parent: str, folder: RunFolder) -> dict[str, torch.Tensor]:
    """Return the parameters that a finished parent kept. Raises BadRequest if there are none."""
    state = folder.get_checkpoint(parent)
    if folder.get_result(parent) is None or not state or "phase" in state:
        raise BadRequest(f"its parent {parent} kept no parameters to start from; run the grid again")
    result: dict[str, torch.Tensor] = state["modules"]
    return result


def list_ancestor_warnings(cell: Cell, folder: RunFolder, task: Task) -> list[str]:
    """Return what `list_parent_warnings` says of a training's parents."""
    warnings: list[str] = []
    while cell.parent:
        try:
            cell = Cell.from_json(folder.get_json("cells", cell.parent, "cell.json"))
        except (ValueError, KeyError, TypeError):
            return [*warnings, f"test images in the parent's training: unknown, because {cell.parent}/cell.json cannot be read"]
        warnings += list_parent_warnings(task, _get_or_make_task(cell, task.device))
    return list(dict.fromkeys(warnings))


def get_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def get_requested_execution(cell: Cell) -> ExecutionConfig | None:
    """Return the execution configuration that the cell's settings request; None if the fastest is to be chosen."""
    precision = cell.method_settings.get("precision", "auto")
    return None if precision == "auto" else ExecutionConfig(precision)


def get_or_choose_execution(cell: Cell, folder: RunFolder, cells: int = 1) -> AutotuneResult:
    """Return the run folder's choice for this kind of device. If there is none, choose now with this cell and store the choice.

    `cells` is the number of such trainings that one process has ahead.
    """
    device = get_device()
    kind = get_device_kind(device)
    if stored := folder.get_choice(kind, AutotuneResult.from_json):
        return stored
    task = make_task(cell, device)
    choice = choose_execution(lambda execution: make_method(cell, task, execution), device, cells)
    folder.put_choice(kind, choice.to_json())
    return choice


def make_task(cell: Cell, device: torch.device) -> Task:
    """Return the cell's images. Raises DataError if a data set has changed since the grid was made."""
    kind = TASKS.find(cell.task)
    settings: Any = resolve_settings(kind.settings, cell.task_settings, f"task {cell.task}")
    faces: dict[str, FaceDataset] = {}
    for role, data in cell.data.items():
        faces[role] = load_faces(data.source, settings.size, settings.colour)
        if faces[role].fingerprint != data.fingerprint:
            raise DataError(f"{data.source.to_text()}: changed since this grid was made; run the grid again to use the new content")
    task = kind.build(settings, faces, cell.seed, device)
    if task.channels > 1:
        for role, dataset in faces.items():
            check_colours(role, dataset)
    return guard_task(task, settings.copies, cell.seed)


def _get_or_make_task(cell: Cell, device: torch.device) -> Task:
    """Return the cell's images. The last small tasks are kept in the process: many cells of a seed share one, as all methods have the same
    split. Nothing may change them.
    """
    key = repr((cell.task, cell.task_settings, cell.seed, device, cell.data))
    if key in _TASKS:
        _TASKS.move_to_end(key)
        return _TASKS[key]
    task = make_task(cell, device)
    parts = (task.train, task.val, task.test, *task.partners.values(), *task.tests.values(), *filter(None, [task.gate]))
    if sum(part.pixels.numel() for part in parts if isinstance(part.pixels, torch.Tensor)) <= SMALL:
        _TASKS[key] = task
        while len(_TASKS) > KEPT_TASKS:
            _TASKS.popitem(last=False)
    return task


def make_method(cell: Cell, task: Task, execution: ExecutionConfig = REFERENCE) -> Method:
    """Return the cell's method, freshly initialised from the cell's seed."""
    kind = METHODS.find(cell.method)
    settings = resolve_settings(kind.Settings, cell.method_settings, f"method {cell.method}")
    torch.manual_seed(make_torch_seed(cell.seed, "init"))
    method = kind(settings, task, cell.seed)
    method.modules.to(task.device).to(memory_format=execution.memory_format)
    method.execution = execution
    return method


def collect_provenance(device: torch.device, execution: ExecutionConfig) -> dict[str, Any]:
    """Return where, and with which versions and configuration, a result was computed."""
    packages = ("torch", "torchvision", "ray", "numpy", "pandas")
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
        "precision": execution.precision,
        "execution": str(execution),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in packages},
    }


def _copy_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}


def _count_by_class(task: Task, predictions: np.ndarray) -> dict[str, Any]:
    """Return image counts by class and the confusion matrix [classes, classes]; empty unless each image has one of at most MANY classes."""
    if not TARGETS[task.target].one_class or len(task.classes) > MANY:
        return {}
    classes = len(task.classes)
    parts = {part: images.labels for part in ("train", "gate", "val", "test") if (images := getattr(task, part)) is not None}
    return {
        "counts": {part: torch.bincount(labels, minlength=classes).tolist() for part, labels in parts.items()},
        "confusion": metrics.count_confusion(parts["test"].cpu().numpy(), predictions.argmax(1), classes).tolist(),
    }


@torch.no_grad()
def _evaluate_images(method: Method, task: Task, images: Images) -> tuple[dict[str, float], np.ndarray]:
    """Return the scores of the images, and predictions float32 [n, outputs]."""
    predictions = TARGETS[task.target].compute_predictions(method.compute_logits(images.pixels).float()).cpu().numpy()
    return task.compute_scores(predictions, images), predictions
