"""Run a search: train the suggestions, store the best settings, compare them with the paper's."""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from platform.cli.config_file import keep_command
from platform.experiment_logs.write_logs import OpenLog, write_logs
from platform.grid.run import run_grid
from platform.launch.cluster import start_ray
from platform.launch.driver_record import describe_commit
from platform.launch.event_counts import EventCounts
from platform.launch.run_lock import lock_run
from platform.launch.run_progress import show_progress
from platform.launch.unfinished_cells import list_cells_to_train
from platform.search.search_record import PUBLISHED
from platform.terminal.progress import format_count
from search_spaces.search_space import TunedSettings
from search_spaces.study import Study
from trainables.cell import Cell, Data
from trainables.storage.store import RunFolder

if TYPE_CHECKING:
    from platform.experiment_logs.finished_training import FinishedTraining


def search_study(
    study: Study,
    data: dict[str, Data],
    fixed_test: dict[str, float],
    folder: RunFolder,
    how: dict[str, Any],
    command: str = "",
    logs: Sequence[OpenLog] = (),
) -> int:
    """Search, store the best settings, compare them with the paper's; return the exit code.

    `data` has a fixed test part of the share `fixed_test` in each tested role. No search uses these images: it scores suggestions on
    images that select, which every seed draws from the others. `command` is the text of command.yaml, `logs` what --log names.
    """
    from platform.search.best_file import build_best_json
    from platform.search.check_scores import find_wrong_scores, restore_scores
    from platform.search.condition_search import make_condition_searches
    from platform.search.driver import SearchDriver
    from platform.search.search_record import Journal

    searches = make_condition_searches(study, data)
    with lock_run(folder):
        journal = Journal(folder.get_path("search.journal"), folder.verify_owner)
        search_driver = SearchDriver(searches, folder, journal)
        if wrong := find_wrong_scores(searches, folder):
            restore_scores(journal.path, wrong)
            search_driver = SearchDriver(searches, folder, Journal(journal.path, folder.verify_owner))
        keep_command(folder, command)
        if search_driver.suggestions_left:
            train_suggestions(study, search_driver, folder, how)
        else:
            print(f"{study.name}, {study.scale} scale: nothing to search, all suggestions are made -> {folder.uri}", file=sys.stderr)
        folder.verify_owner()
        folder.put_json(build_best_json(study, searches, fixed_test), "best.json")
        draw_results(study, search_driver, folder)
        write_logs(logs, folder, lambda: _read_suggestions(study, search_driver, folder))
        failed = sum(len(condition_search.record.failed_trials) for condition_search in searches)
        best_settings = [(condition_search, best) for condition_search in searches if (best := condition_search.get_best_settings())]
        is_new = [settings.settings != condition_search.text for condition_search, settings in best_settings]
        changed = [settings.condition for (_, settings), new in zip(best_settings, is_new, strict=True) if new]
        # where one arm has new settings, the others are compared with it, even if the paper's own are their best
        compared = [settings for _, settings in best_settings if settings.condition in changed]
    if not best_settings:
        print(f"nothing to compare: no suggestion ended with a score; error.json of {folder.get_path('cells')} says why", file=sys.stderr)
        return 1
    comparison_code = (
        compare_found(study, compared, data, RunFolder(folder.get_path("fresh")), how, logs) if study.searches[0].fresh and compared else 0
    )
    return int(bool(failed or comparison_code or len(best_settings) < len(searches)))


def train_suggestions(study: Study, search_driver: Any, folder: RunFolder, how: dict[str, Any]) -> None:
    """Train the suggestions of the searches until each search has made all of its own."""
    from platform.search.search_board_writer import draw_suggestion, draw_table

    search = study.searches[0]  # they have the same options
    left = search_driver.suggestions_left
    prerequisites = list_cells_to_train(
        list({cell.key: cell for condition_search in search_driver.searches for cell in condition_search.steps}.values()), folder
    )
    searches = format_count(len(search_driver.searches), "search", "searches")
    suggestions = f"{format_count(left, 'suggestion')} of {format_count(search.seeds, 'seed')}"
    scheduler = " with ASHA" if search_driver.prunes else ""
    summary = f"{study.name}, {study.scale} scale: {searches} by {search.searcher}{scheduler}, {suggestions} to make"
    print(f"{summary} -> {folder.uri}", file=sys.stderr)
    counts = EventCounts(study.compared, prerequisites, len(prerequisites) + left * search.seeds)
    with show_progress(folder, counts, lambda: describe_searches(study, search_driver)) as progress:

        def ask(trial: str) -> list[Cell] | None:
            cells: list[Cell] | None = search_driver.suggest_cells(trial)
            counts.add_cells(cells or [])
            return cells

        def ended(*suggestion: Any) -> None:
            draw_suggestion(folder, *suggestion)

        search_driver.ended, search_driver.dropped = ended, counts.drop_cells
        draw_table(study, folder, search_driver)
        try:
            with start_ray(progress.stream) as wait_for_ray:
                from platform.launch import run_with_tune

                wait_for_ray()
                options: dict[str, Any] = {"tick": progress.tick, "context": describe_commit() | {"driver_pid": os.getpid()}, **how}
                if prerequisites:
                    run_with_tune.run_cells(prerequisites, folder, progress.handle_event, **options)
                judge = search_driver.judge_event if search_driver.prunes else None
                run_with_tune.run_suggestions(
                    ask, search_driver.complete_trial, judge, left, search.seeds, folder, progress.handle_event, **options
                )
            search_driver.finish_pruned()
        finally:
            search_driver.release_all()


def describe_searches(study: Study, search_driver: Any) -> dict[str, Any]:
    """Return what `status` shows of a search: the suggestions of each condition and the best score so far."""
    records = [(each.where, each.search.trials, each.record) for each in search_driver.searches]
    searches = [
        {
            "condition": where,
            "suggestions": trials,
            "started": record.started_trials,
            "finished": len(record.finished_trials),
            "failed": len(record.failed_trials),
            "best": record.best_trial.value if record.best_trial else None,
        }
        for where, trials, record in records
    ]
    return {"study": study.name, "scale": study.scale, "searches": searches}


def draw_results(study: Study, search_driver: Any, folder: RunFolder) -> None:
    """Write the figures, and print one line per search with the best result."""
    from platform.search.driver import measure_savings
    from platform.search.figures import draw_search_figures

    for condition_search in search_driver.searches:
        for name, content in draw_search_figures(condition_search.record, f"mean val/{study.metric}"):
            folder.put(content, "figures", condition_search.where.replace("/", ","), name)
        print(f"{condition_search.where}: {describe_best(condition_search.record)}", file=sys.stderr)
    ended, pruned, saved = measure_savings(search_driver.searches)
    if pruned:
        print(f"ASHA stopped {pruned} of {format_count(ended, 'suggestion')}, which saved {saved:.0%} of the epochs", file=sys.stderr)
    tensorboard = f"tensorboard --logdir {shlex.quote(folder.get_path('tb'))}"
    print(f"best settings: {folder.get_path('best.json')}\nfigures: {folder.get_path('figures')}\ncurves: {tensorboard}", file=sys.stderr)


def describe_best(record: Any) -> str:
    """Return the best result of a search as one line."""
    from platform.search.figures import compute_importances

    if (best := record.best_trial) is None:
        return "no suggestion ended with a score"
    if best.user_attrs.get("searcher") in PUBLISHED:
        return f"{100 * best.value:.1f} with the paper's settings; none of the {record.started_trials - 1} other suggestions is better"
    settings = ", ".join(f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in best.params.items())
    importances = ", ".join(f"{name} {share:.0%}" for name, share in compute_importances(record).items())
    return f"{100 * best.value:.1f} by suggestion {best.number} of {record.started_trials}: {settings}" + (
        f" (importance over the {format_count(len(record.finished_trials), 'finished suggestion')}: {importances})" if importances else ""
    )


def _read_suggestions(study: Study, search_driver: Any, folder: RunFolder) -> "Iterator[FinishedTraining]":
    """Yield the finished trainings of all suggestions, each named after its suggestion's run in TensorBoard and its seed."""
    from platform.experiment_logs.finished_training import read_trainings

    for condition_search in search_driver.searches:
        for trial in condition_search.record.finished_trials:
            cells = condition_search.make_cells(trial.params)
            yield from read_trainings(cells, folder, partial(_name_seed, study, f"{condition_search.where}/{trial.number:04d}"))


def _name_seed(study: Study, suggestion: str, cell: Cell) -> str:
    return f"{suggestion}/{study.replicated}={cell.axes[study.replicated]}"


def compare_found(
    study: Study, found: list[TunedSettings], data: dict[str, Data], folder: RunFolder, how: dict[str, Any], logs: Sequence[OpenLog]
) -> int:
    """Train the found and the paper's settings on seeds that no search has used, and report on them; return the exit code."""
    from platform.search.found_against_published import make_comparison_cells, make_comparison_study

    search = study.searches[0]
    comparison = make_comparison_study(study, found, range(search.seeds, search.seeds + search.fresh))
    cells = make_comparison_cells(comparison, data)
    return run_grid(comparison, cells, folder, how, logs=logs)
