"""Run a study's grid: expand it, skip what is done, train the rest on warm Ray Train workers, draw TensorBoard and the report."""

if __name__ == "__main__":  # first: it forks, which must come before the threads that some imports start
    from platform.supervisor import supervise_command

    supervise_command()

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, TextIO, get_args

import torch
import typer
import yaml

from platform.cluster import start_ray
from platform.command import exit_on_error, run_command
from platform.console import open_stream
from platform.progress import Progress, make_printable
from platform.run_lock import lock_run
from platform.searching.best import read_best_file
from platform.supervisor import ignore_signals
from search_spaces.study import STUDIES, Study
from trainables.autotune import AutotuneResult, get_device_kind
from trainables.cell import Cell, Data
from trainables.data.source import load_faces, parse_role, parse_role_file
from trainables.data.task import TASKS, Task
from trainables.loop import Keep, get_device, make_method, make_task
from trainables.registry import BadRequest, make_unknown_error
from trainables.settings import resolve_settings
from trainables.store import RunFolder

SCALES = ("pocket", "paper")


def main(
    study: Annotated[str, typer.Argument(help="a file of search_spaces/")] = "adults_as_augmentation",
    scale: Annotated[str, typer.Option(help="pocket: minutes on two cores; paper: the text's settings and data")] = "pocket",
    only: Annotated[list[str] | None, typer.Option(metavar="AXIS=V,V", help="only these values of an axis")] = None,
    seeds: Annotated[int | None, typer.Option(help="how many seeds")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="another value of a setting")] = None,
    use: Annotated[str | None, typer.Option(metavar="BEST.json", help="settings that python -m platform.search found")] = None,
    data: Annotated[list[str] | None, typer.Option(metavar="ROLE=KIND:PATH[,ages=PATH] | FILE.yaml", help="what plays a role")] = None,
    runs: Annotated[str, typer.Option(metavar="DIR", help="where run folders are: a folder or an fsspec URI")] = "runs",
    slots: Annotated[int | None, typer.Option(min=1, help="cells at once; as many as cores, or as the GPUs hold")] = None,
    gpu: Annotated[float | None, typer.Option(min=0, help="each slot's share of a GPU")] = None,
    pack: Annotated[int | None, typer.Option(min=1, help="seeds a slot trains side by side; one on a CPU, ten on a GPU")] = None,
    keep: Annotated[
        str, typer.Option(metavar="none|best|all", help="parameters that outlive a training; all: the last epoch's, too")
    ] = "best",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would run, and for how long")] = False,
) -> None:
    """Run a study's grid; the same command again goes on where it stopped. Exit: 0 all done, 1 some failed, 2 bad request, 130 stopped."""
    with exit_on_error(runs):
        if keep not in get_args(Keep):
            raise make_unknown_error("--keep", keep, get_args(Keep))
        wanted = narrow_study(STUDIES.find(study), scale, only or [], seeds, set_ or [])
        if use:
            wanted = replace(wanted, found=read_best_file(use, wanted))
        cells = wanted.make_cells(read_roles(wanted, data or []))
        check_buildable(wanted, cells)
        folder = RunFolder(f"{runs}/{wanted.name}-{wanted.scale}")
        if dry_run:
            from platform.estimate import estimate_grid

            known = folder.get_choice(get_device_kind(get_device()))
            print(estimate_grid(wanted, cells, folder.list_done(), slots, pack, AutotuneResult.from_json(known) if known else None))
            return
    with exit_on_error(folder.uri, resumable=True):
        code = run_grid(wanted, cells, folder, {"slots": slots, "gpu": gpu, "pack": pack, "keep": keep})
    raise typer.Exit(code)


def narrow_study(make: Any, scale: str, only: list[str], seeds: int | None, settings: list[str]) -> Study:
    """The study as the options want it."""
    if scale not in SCALES:
        raise make_unknown_error("scale", scale, SCALES)
    study: Study = make(scale)
    if seeds is not None:
        study = study.with_seeds(seeds)
    for option in only:
        axis, values = _parse_pair("--only", option, "AXIS=V,V")
        study = study.narrow_axis(axis, values.split(","))
    for option in settings:
        name, value = _parse_pair("--set", option, "KEY=VALUE")
        study = study.with_setting(name, yaml.safe_load(value))
    return study


def read_roles(study: Study, options: list[str]) -> dict[str, Data]:
    """Read what plays each role of the grid at hand, and what the options name: a fault in it is found here, before anything starts."""
    sources = dict(study.roles)
    unread = {role: Data(source, "", "") for role, source in sources.items()}
    needed = {role for cell in study.with_seeds(1).make_cells(unread) for role in cell.data}
    for option in options:
        named = parse_role_file(option) if option.endswith((".yaml", ".yml")) else dict([parse_role(option)])
        for role, source in named.items():
            if role not in study.roles:
                raise make_unknown_error(f"role of {study.name}", role, study.roles)
            sources[role] = source
            needed.add(role)
    names: dict[str, Any] = {name: study.settings[name] for name in ("size", "colour") if name in study.settings}
    task: Any = resolve_settings(TASKS.find(study.task).settings, names, f"task {study.task}")
    data = {}
    for role, source in sources.items():
        if role not in needed:
            continue
        faces = load_faces(source, task.size, task.colour)
        for note in faces.notes:
            print(make_printable(f"{role}: {note}"), file=sys.stderr)
        data[role] = Data(source, faces.fingerprint, faces.title, faces.notes)
    return data


def check_buildable(study: Study, cells: list[Cell]) -> None:
    """Make each kind of task and method once, so that what cannot be made is said before anything starts."""
    tasks: dict[str, Task] = {}
    methods = set()
    for cell in cells:
        kind = repr((cell.task, cell.task_settings))
        if kind not in tasks:
            tasks[kind] = make_task(cell, torch.device("cpu"))
        if cell.axes[study.compared] not in methods:
            methods.add(cell.axes[study.compared])
            make_method(cell, tasks[kind])


def run_grid(study: Study, cells: list[Cell], folder: RunFolder, how: dict[str, Any]) -> int:
    """Train what is not done, then draw; returns the exit code. `how` are the options of `schedule.run_cells`."""
    with lock_run(folder):
        folder.put_grid(study.name, study.scale, cells, steps=[cell.key for cell in cells if study.is_prerequisite(cell)])
        todo = list_cells_to_train(cells, folder)
        if todo:
            print(f"{study.name}, {study.scale} scale: {len(todo)} of {len(cells)} cells to do -> {folder.uri}", file=sys.stderr)
            with redirect_output(folder) as stream, contextlib.closing(Progress(cells, len(cells) - len(todo), stream)) as progress:
                train_cells(study, todo, folder, progress, how)
        folder.verify_owner()  # a folder on a disk does so before every write
        draw_results(study, cells, folder)
        return int(not {cell.key for cell in todo} <= folder.list_done())


def list_cells_to_train(cells: list[Cell], folder: RunFolder) -> list[Cell]:
    """The cells to train. Among them, to be trained once more to the same numbers, parents of such that have kept no parameters."""
    done, kept = folder.list_done(), folder.list_kept()
    todo = {cell.key for cell in cells if cell.key not in done}
    for cell in reversed(cells):  # children stand behind their parents
        if cell.parent and cell.key in todo and cell.parent in done - kept:
            folder.remove("cells", cell.parent, "result.json")
            todo.add(cell.parent)
    return [cell for cell in cells if cell.key in todo]


def train_cells(study: Study, todo: list[Cell], folder: RunFolder, progress: Progress, how: dict[str, Any]) -> None:
    """Run the cells through Ray, until all have ended. Raises Fatal or OSError where going on makes no sense."""
    by_key = {cell.key: cell for cell in todo}

    def listen(event: dict[str, Any]) -> None:
        progress.handle_event(event)
        if event["kind"] == "row":
            board.add_epoch(by_key[event["key"]], event["row"])
        elif event["kind"] == "done":
            board.finish_cell(by_key[event["key"]])

    with start_ray(progress.stream) as ready:
        from platform import schedule  # seconds of imports, while Ray comes up
        from platform.board import Board

        with contextlib.closing(Board(folder, study)) as board:
            context = describe_commit() | {"driver_pid": os.getpid()}
            ready()
            schedule.run_cells(todo, folder, listen, tick=progress.refresh_line, context=context, **how)


def draw_results(study: Study, cells: list[Cell], folder: RunFolder) -> None:
    from platform.board import Board
    from platform.reporting.freshness import is_current, mark_report_current

    board = Board(folder, study)
    drawn = board.complete_runs(cells)
    board.close()
    if not is_current(folder, drawn):
        from platform.report import write_report  # statistics and figures take seconds to import

        write_report(folder, study)
        mark_report_current(folder, drawn)
    ignore_signals()
    print(f"report: {folder.get_path('report', 'index.html')}", file=sys.stderr)
    if folder.local:
        print(f"curves: tensorboard --logdir {folder.get_path('tb')}", file=sys.stderr)


def describe_commit() -> dict[str, Any]:
    """The checkout's commit, and whether it was changed since."""
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        head = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(["git", "-C", here, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": head, "dirty": bool(changed.strip())}


@contextlib.contextmanager
def redirect_output(folder: RunFolder) -> Iterator[TextIO]:
    """Whatever Ray prints, from any process, goes to a log file; yields a stream to the real standard error."""
    log = f"{folder.make_folder(folder.get_path('log'))}/{time.strftime('%Y%m%d-%H%M%S.log')}" if folder.local else os.devnull
    saved, streams = (os.dup(1), os.dup(2)), (sys.stdout, sys.stderr)
    stream = open_stream(os.dup(2))  # stays open: a second signal, which may come later, is answered there
    with open(log, "ab", buffering=0) as file:
        sys.stdout.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = open_stream(1), open_stream(2)  # those of the command are on descriptors of their own
        try:
            yield stream
        finally:
            sys.stdout, sys.stderr = streams
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)


def _parse_pair(option: str, text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise BadRequest(f"{option} {text}: expected {option} {form}")
    return name, value


if __name__ == "__main__":
    run_command(main)
