"""Runs a grid that adds seeds in blocks until its claims are decided, within one Tune experiment, and writes its report."""

import sys
from collections.abc import Sequence
from typing import Any

from platform.cli.config_file import keep_command
from platform.experiment_logs.write_logs import OpenLog
from platform.grid.estimate_blocks import describe_expected
from platform.grid.run import Listen, draw_results, train_on_ray
from platform.grid.seed_blocks import BlockCells, SeedBlocks, describe_aim
from platform.launch.event_counts import EventCounts
from platform.launch.run_lock import lock_run
from platform.launch.run_progress import RunProgress, show_progress
from platform.report.sequential_plan import SequentialPlan, fix_plan
from search_spaces.study import Study
from trainables.cell import Cell
from trainables.storage.store import RunFolder


def run_until_decided(
    study: Study,
    cells: list[Cell],
    folder: RunFolder,
    plan: SequentialPlan,
    how: dict[str, Any],
    command: str = "",
    logs: Sequence[OpenLog] = (),
) -> int:
    """Train blocks of seeds until every claim is decided, given up, or at the most seeds; write the results; return the exit code.

    `cells` are those of all seeds up to the most. `how` holds the options of `run_with_tune.run_blocks`. `command` is the text of
    command.yaml, `logs` what --log names. Raises BadRequest if the folder has another plan, or a grid of a fixed number of seeds.
    """
    with lock_run(folder):
        fix_plan(folder, plan)
        keep_command(folder, command)
        blocks = SeedBlocks(BlockCells(study, cells, plan), folder)
        todo = blocks.advance()
        head = f"{study.name}, {study.scale} scale, {describe_aim(plan)}"
        if todo:
            most = blocks.cells.most
            print(f"{head}: {len(todo)} of at most {most} trainings to do up to the next look -> {folder.uri}", file=sys.stderr)
            print(describe_expected(blocks.cells), file=sys.stderr)
            counts = EventCounts(study.compared, cells, len(blocks.wanted), blocks.count_ended("done"), blocks.count_ended("failed"), most)
            with show_progress(folder, counts) as progress:
                train_blocks(study, blocks, todo, progress, how)
        else:
            print(f"{head}: nothing to do -> {folder.uri}", file=sys.stderr)
        print(f"{blocks.describe_look()}; {len(blocks.wanted)} of at most {blocks.cells.most} trainings", file=sys.stderr)
        folder.verify_owner()  # a local folder checks this before every write
        draw_results(study, blocks.wanted, folder, logs)
        return int(not {cell.key for cell in blocks.wanted} <= folder.list_done())


def train_blocks(study: Study, blocks: SeedBlocks, first: list[Cell], progress: RunProgress, how: dict[str, Any]) -> None:
    """Train the first block and all that follow on one Ray. Raises Fatal or OSError where the run cannot continue."""
    block: list[Cell] | None = None

    def ask() -> list[Cell] | None:
        nonlocal block
        if block is None:
            block = first
            return block
        block = blocks.advance(block)
        progress.counts.total = len(blocks.wanted)
        progress.handle_event({"kind": "note", "text": blocks.describe_look()})
        return block

    def train(run_with_tune: Any, listen: Listen, options: dict[str, Any]) -> None:
        run_with_tune.run_blocks(ask, cells, blocks.folder, listen, **options)

    cells = blocks.cells.cells
    train_on_ray(study, cells, blocks.folder, progress, train, how)
