"""A search: train what is suggested, keep what was found, hold it against the text's settings."""

import contextlib
import os
import sys
from typing import Any

from platform.grid.run import run_grid
from platform.launch.cluster import start_ray
from platform.launch.process import describe_commit, redirect_output
from platform.launch.run_lock import lock_run
from platform.launch.unfinished import list_cells_to_train
from platform.terminal.progress import Progress
from search_spaces.space import TunedSettings
from search_spaces.study import Study
from trainables.cell import Cell, Data
from trainables.storage.store import RunFolder


def search_study(study: Study, data: dict[str, Data], folder: RunFolder, how: dict[str, Any]) -> int:
    """Search, keep what was found, hold it against the text's settings; the exit code."""
    from platform.search.driver import SearchDriver, build_best_json, make_condition_searches
    from platform.search.record import Journal

    search = study.search
    assert search is not None
    every = make_condition_searches(study, search, data)
    with lock_run(folder):
        journal = Journal(folder.get_path("search.journal"), folder.verify_owner)
        search_driver = SearchDriver(every, folder, journal, search.searcher, search.trials, call_hyperopt)
        if search_driver.suggestions_left:
            train_suggestions(study, search_driver, folder, how)
        folder.verify_owner()
        folder.put_json(build_best_json(study, search_driver), "best.json")
        draw_results(study, search_driver, folder)
        failed = sum(len(condition_search.record.failed_trials) for condition_search in every)
        found = [(condition_search, each) for condition_search in every if (each := condition_search.get_best_settings())]
        others = [each for condition_search, each in found if each.settings != condition_search.text]
    if not found:
        print(f"nothing to compare: no suggestion ended with a score; error.json of {folder.get_path('cells')} says why", file=sys.stderr)
        return 1
    code = compare_found(study, others, data, RunFolder(folder.get_path("fresh")), how) if search.fresh and others else 0
    return int(bool(failed or code or len(found) < len(every)))


def call_hyperopt(*given: Any) -> dict[str, Any]:
    from platform.launch.schedule import suggest_by_hyperopt

    return suggest_by_hyperopt(*given)


def train_suggestions(study: Study, search_driver: Any, folder: RunFolder, how: dict[str, Any]) -> None:
    """Train what the searches suggest, until each has made its suggestions."""
    from platform.search.board import draw_suggestion, draw_table

    search = study.search
    assert search is not None
    left = search_driver.suggestions_left
    steps = list_cells_to_train(
        list({cell.key: cell for condition_search in search_driver.searches for cell in condition_search.steps}.values()), folder
    )
    where = f"{len(search_driver.searches)} searches" if len(search_driver.searches) > 1 else "one search"
    line = f"{study.name}, {study.scale} scale: {where} by {search.searcher}, {left} suggestions of {search.seeds} seeds to make"
    print(f"{line} -> {folder.uri}", file=sys.stderr)
    with redirect_output(folder) as stream, contextlib.closing(Progress(steps, 0, stream, len(steps) + left * search.seeds)) as progress:

        def ask(trial: str) -> list[Cell] | None:
            cells = search_driver.suggest_cells(trial)
            progress.add_cells(cells or [])
            return cells

        def ended(*suggestion: Any) -> None:
            draw_suggestion(folder, *suggestion)

        search_driver.ended = ended
        draw_table(folder, search_driver)
        try:
            with start_ray(stream) as ready:
                from platform.launch import schedule

                ready()
                here: dict[str, Any] = {"tick": progress.refresh_line, "context": describe_commit() | {"driver_pid": os.getpid()}, **how}
                if steps:
                    schedule.run_cells(steps, folder, progress.handle_event, **here)
                schedule.run_suggestions(ask, search_driver.complete_trial, left, search.seeds, folder, progress.handle_event, **here)
        finally:
            search_driver.release_all()


def draw_results(study: Study, search_driver: Any, folder: RunFolder) -> None:
    """The pictures, and a line a condition of what was found."""
    from platform.search.figures import draw_search_figures

    for condition_search in search_driver.searches:
        for name, content in draw_search_figures(condition_search.record, f"mean val/{study.metric}"):
            folder.put(content, "figures", condition_search.where.replace("/", ","), name)
        print(f"{condition_search.where}: {describe_best(condition_search.record)}", file=sys.stderr)
    tensorboard = f"tensorboard --logdir {folder.get_path('tb')}"
    print(f"found: {folder.get_path('best.json')}\nfigures: {folder.get_path('figures')}\ncurves: {tensorboard}", file=sys.stderr)


def describe_best(record: Any) -> str:
    """The best of a search in a line."""
    from platform.search.figures import compute_importances

    if (best := record.best_trial) is None:
        return "no suggestion ended with a score"
    if best.user_attrs.get("searcher") == "the text":
        return f"{100 * best.value:.1f} by the text's own settings; none of {record.started_trials - 1} others did better"
    settings = ", ".join(f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in best.params.items())
    weights = ", ".join(f"{name} {share:.0%}" for name, share in compute_importances(record).items())
    return f"{100 * best.value:.1f} by suggestion {best.number} of {record.started_trials}: {settings}" + (
        f" (importance: {weights})" if weights else ""
    )


def compare_found(study: Study, found: list[TunedSettings], data: dict[str, Data], folder: RunFolder, how: dict[str, Any]) -> int:
    """Train the found and the text's settings on seeds that no search has seen, and report on them; the exit code."""
    from platform.search.comparison import make_comparison_study

    search = study.search
    assert search is not None
    fresh = make_comparison_study(study, found, range(search.seeds, search.seeds + search.fresh))
    cells = [
        cell
        for cell in fresh.make_cells(data)
        if fresh.is_prerequisite(cell) or any(each.applies_to(each.arm, cell.axes) for each in found)
    ]
    return run_grid(fresh, cells, folder, how)
