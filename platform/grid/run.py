"""Run a grid: skip finished cells, train the rest on warm Ray Train workers, write TensorBoard files and the report."""

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch

from platform.cli.config_file import keep_command
from platform.experiment_logs.write_logs import OpenLog, write_logs
from platform.launch.cluster import start_ray
from platform.launch.driver_record import describe_commit
from platform.launch.event_counts import EventCounts
from platform.launch.run_lock import lock_run
from platform.launch.run_progress import RunProgress, show_progress
from platform.launch.unfinished_cells import list_cells_to_train
from platform.report.other_classes import describe_other_classes
from platform.report.sequential_plan import refuse_plan
from platform.report.tuning import write_tuned
from platform.terminal.supervisor import ignore_signals
from search_spaces.study import Study
from trainables.cell import Cell
from trainables.data.copy_guard import describe_copies, list_copy_warnings
from trainables.data.task import Task, describe_images
from trainables.loop import make_method, make_task
from trainables.storage.store import RunFolder
from trainables.workers.worker_messages import Event

Listen = Callable[[Event], None]


def check_buildable(study: Study, cells: list[Cell]) -> list[str]:
    """Make each kind of task and method once, so that an invalid one is reported before anything starts.

    Print a line where classes are left out, and a warning where a task's test images have copies in training, or balancing leaves most
    images untrained. Return the lines on images and copies of each kind of task that a dry run prints.
    """
    for line in describe_other_classes(study, cells):
        print(line, file=sys.stderr)
    tasks: dict[str, Task] = {}
    methods = set()
    for cell in cells:
        task_id = repr((cell.task, cell.task_settings))
        if task_id not in tasks:
            tasks[task_id] = make_task(cell, torch.device("cpu"))
        if cell.axes[study.compared] not in methods:
            methods.add(cell.axes[study.compared])
            make_method(cell, tasks[task_id])
    found = [task.copies for task in tasks.values()]
    warnings = (text for task in tasks.values() for text in (*task.warnings, *list_copy_warnings(task.copies)))
    for warning in dict.fromkeys(warnings):
        print(f"warning: {warning}", file=sys.stderr)
    return list(dict.fromkeys([*map(describe_images, tasks.values()), *map(describe_copies, found)]))


def run_grid(
    study: Study, cells: list[Cell], folder: RunFolder, how: dict[str, Any], command: str = "", logs: Sequence[OpenLog] = ()
) -> int:
    """Train the unfinished cells, then write the results; return the exit code.

    `how` holds the options of `run_with_tune.run_cells`. `command` is the text of command.yaml; empty: none is written. `logs` is what
    --log names.
    """
    with lock_run(folder):
        refuse_plan(folder)
        keep_command(folder, command)
        write_tuned(folder, study.found)
        folder.put_grid(study.name, study.scale, cells, steps=[cell.key for cell in cells if study.is_prerequisite(cell)])
        todo = list_cells_to_train(cells, folder)
        head = f"{study.name}, {study.scale} scale"
        if todo:
            print(f"{head}: {len(todo)} of {len(cells)} trainings to do -> {folder.uri}", file=sys.stderr)
            counts = EventCounts(study.compared, cells, len(cells), len(cells) - len(todo))
            with show_progress(folder, counts) as progress:
                train_cells(study, todo, folder, progress, how)
        else:
            print(f"{head}: nothing to do, {len(cells)} of {len(cells)} trainings are done -> {folder.uri}", file=sys.stderr)
        folder.verify_owner()  # a local folder checks this before every write
        draw_results(study, cells, folder, logs)
        return int(not {cell.key for cell in todo} <= folder.list_done())


def train_cells(study: Study, todo: list[Cell], folder: RunFolder, progress: RunProgress, how: dict[str, Any]) -> None:
    """Train the cells on Ray until all have ended. Raises Fatal or OSError where the run cannot continue."""
    train_on_ray(study, todo, folder, progress, lambda tune, listen, options: tune.run_cells(todo, folder, listen, **options), how)


def train_on_ray(
    study: Study,
    cells: list[Cell],
    folder: RunFolder,
    progress: RunProgress,
    train: Callable[[Any, Listen, dict[str, Any]], None],
    how: Any,
) -> None:
    """Start Ray and call `train` with the module run_with_tune, what to call with each event, and options to which `how` is added.

    Events of these cells go to TensorBoard and to the progress line.
    """
    by_key = {cell.key: cell for cell in cells}

    def listen(event: Event) -> None:
        progress.handle_event(event)
        if event["kind"] == "row":
            board.add_epoch(by_key[event["key"]], event["row"])
        elif event["kind"] == "done":
            board.finish_cell(by_key[event["key"]])

    with start_ray(progress.stream) as wait_for_ray:
        from platform.launch import run_with_tune  # slow imports, which overlap with Ray's start
        from platform.tensorboard.board_writer import Board

        with contextlib.closing(Board(folder, study)) as board:
            context = describe_commit() | {"driver_pid": os.getpid()}
            wait_for_ray()
            train(run_with_tune, listen, {"tick": progress.tick, "context": context, **how})


def draw_results(study: Study, cells: list[Cell], folder: RunFolder, logs: Sequence[OpenLog] = ()) -> None:
    from platform.experiment_logs.finished_training import read_trainings
    from platform.report.freshness import is_current, mark_report_current
    from platform.tensorboard.board_writer import Board

    board = Board(folder, study)
    drawn_state = board.complete_runs(cells)
    board.close()
    write_logs(logs, folder, lambda: read_trainings(cells, folder, board.name_run))
    if not is_current(folder, drawn_state):
        from platform.report.write_report import write_report  # statistics and figures take seconds to import

        write_report(folder, study)
        mark_report_current(folder, drawn_state)
    ignore_signals()
    print(f"report: {folder.get_path('report', 'index.html')}", file=sys.stderr)
    if folder.local:
        print(f"curves: tensorboard --logdir {shlex.quote(folder.get_path('tb'))}", file=sys.stderr)
