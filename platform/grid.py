"""Run a study's grid: expand it, skip what is done, train the rest on warm Ray Train workers, draw TensorBoard and the report."""

if __name__ == "__main__":  # first: it forks, which must come before the threads that some imports start
    from platform.supervisor import supervise

    supervise()

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

from platform.cluster import started
from platform.command import ending, run_command
from platform.console import open_stream
from platform.progress import Progress, printable
from platform.run_lock import lock_run
from platform.searching.best import read
from platform.supervisor import ignore_signals
from search_spaces.study import STUDIES, Study
from trainables.autotune import AutotuneResult, kind_of
from trainables.cell import Cell, Data
from trainables.data.source import load, parse, parse_file
from trainables.data.task import TASKS, Task
from trainables.loop import Keep, device_here, make_method, make_task
from trainables.registry import BadRequest, unknown
from trainables.settings import resolve
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
    with ending(runs):
        if keep not in get_args(Keep):
            raise unknown("--keep", keep, get_args(Keep))
        wanted = narrow(STUDIES.find(study), scale, only or [], seeds, set_ or [])
        if use:
            wanted = replace(wanted, found=read(use, wanted))
        cells = wanted.cells(read_roles(wanted, data or []))
        check(wanted, cells)
        folder = RunFolder(f"{runs}/{wanted.name}-{wanted.scale}")
        if dry_run:
            from platform.estimate import estimate

            known = folder.choice(kind_of(device_here()))
            print(estimate(wanted, cells, folder.done(), slots, pack, AutotuneResult.from_json(known) if known else None))
            return
    with ending(folder.uri, resumable=True):
        code = carry_out(wanted, cells, folder, {"slots": slots, "gpu": gpu, "pack": pack, "keep": keep})
    raise typer.Exit(code)


def narrow(make: Any, scale: str, only: list[str], seeds: int | None, settings: list[str]) -> Study:
    """The study as the options want it."""
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    study: Study = make(scale)
    if seeds is not None:
        study = study.with_seeds(seeds)
    for option in only:
        axis, values = _pair("--only", option, "AXIS=V,V")
        study = study.narrowed(axis, values.split(","))
    for option in settings:
        name, value = _pair("--set", option, "KEY=VALUE")
        study = study.with_setting(name, yaml.safe_load(value))
    return study


def read_roles(study: Study, options: list[str]) -> dict[str, Data]:
    """Read what plays each role of the grid at hand, and what the options name: a fault in it is found here, before anything starts."""
    sources = dict(study.roles)
    unread = {role: Data(source, "", "") for role, source in sources.items()}
    needed = {role for cell in study.with_seeds(1).cells(unread) for role in cell.data}
    for option in options:
        named = parse_file(option) if option.endswith((".yaml", ".yml")) else dict([parse(option)])
        for role, source in named.items():
            if role not in study.roles:
                raise unknown(f"role of {study.name}", role, study.roles)
            sources[role] = source
            needed.add(role)
    names: dict[str, Any] = {name: study.settings[name] for name in ("size", "colour") if name in study.settings}
    task: Any = resolve(TASKS.find(study.task).settings, names, f"task {study.task}")
    data = {}
    for role, source in sources.items():
        if role not in needed:
            continue
        faces = load(source, task.size, task.colour)
        for note in faces.notes:
            print(printable(f"{role}: {note}"), file=sys.stderr)
        data[role] = Data(source, faces.fingerprint, faces.title, faces.notes)
    return data


def check(study: Study, cells: list[Cell]) -> None:
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


def carry_out(study: Study, cells: list[Cell], folder: RunFolder, how: dict[str, Any]) -> int:
    """Train what is not done, then draw; returns the exit code. `how` are the options of `schedule.run`."""
    with lock_run(folder):
        folder.put_grid(study.name, study.scale, cells, steps=[cell.key for cell in cells if study.is_step(cell)])
        todo = undone(cells, folder)
        if todo:
            print(f"{study.name}, {study.scale} scale: {len(todo)} of {len(cells)} cells to do -> {folder.uri}", file=sys.stderr)
            with chatter_aside(folder) as stream, contextlib.closing(Progress(cells, len(cells) - len(todo), stream)) as progress:
                train(study, todo, folder, progress, how)
        folder.verify()  # a folder on a disk does so before every write
        draw(study, cells, folder)
        return int(not {cell.key for cell in todo} <= folder.done())


def undone(cells: list[Cell], folder: RunFolder) -> list[Cell]:
    """The cells to train. Among them, to be trained once more to the same numbers, parents of such that have kept no parameters."""
    done, kept = folder.done(), folder.kept()
    todo = {cell.key for cell in cells if cell.key not in done}
    for cell in reversed(cells):  # children stand behind their parents
        if cell.parent and cell.key in todo and cell.parent in done - kept:
            folder.remove("cells", cell.parent, "result.json")
            todo.add(cell.parent)
    return [cell for cell in cells if cell.key in todo]


def train(study: Study, todo: list[Cell], folder: RunFolder, progress: Progress, how: dict[str, Any]) -> None:
    """Run the cells through Ray, until all have ended. Raises Fatal or OSError where going on makes no sense."""
    by_key = {cell.key: cell for cell in todo}

    def listen(event: dict[str, Any]) -> None:
        progress.hear(event)
        if event["kind"] == "row":
            board.row(by_key[event["key"]], event["row"])
        elif event["kind"] == "done":
            board.done(by_key[event["key"]])

    with started(progress.stream) as ready:
        from platform import schedule  # seconds of imports, while Ray comes up
        from platform.board import Board

        with contextlib.closing(Board(folder, study)) as board:
            context = commit() | {"driver_pid": os.getpid()}
            ready()
            schedule.run(todo, folder, listen, tick=progress.tick, context=context, **how)


def draw(study: Study, cells: list[Cell], folder: RunFolder) -> None:
    from platform.board import Board
    from platform.reporting.freshness import is_current, mark_report_current

    board = Board(folder, study)
    drawn = board.complete(cells)
    board.close()
    if not is_current(folder, drawn):
        from platform.report import write  # statistics and figures take seconds to import

        write(folder, study)
        mark_report_current(folder, drawn)
    ignore_signals()
    print(f"report: {folder.path('report', 'index.html')}", file=sys.stderr)
    if folder.local:
        print(f"curves: tensorboard --logdir {folder.path('tb')}", file=sys.stderr)


def commit() -> dict[str, Any]:
    """The checkout's commit, and whether it was changed since."""
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        head = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(["git", "-C", here, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": head, "dirty": bool(changed.strip())}


@contextlib.contextmanager
def chatter_aside(folder: RunFolder) -> Iterator[TextIO]:
    """Whatever Ray prints, from any process, goes to a log file; yields a stream to the real standard error."""
    log = f"{folder.make_folder(folder.path('log'))}/{time.strftime('%Y%m%d-%H%M%S.log')}" if folder.local else os.devnull
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


def _pair(option: str, text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise BadRequest(f"{option} {text}: expected {option} {form}")
    return name, value


if __name__ == "__main__":
    run_command(main)
