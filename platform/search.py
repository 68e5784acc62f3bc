"""Search a study's settings by TPE through Ray Tune, one search under each condition, and hold what it finds against the text's."""

if __name__ == "__main__":  # as in grid.py
    from platform.supervisor import supervise_command

    supervise_command()

import contextlib
import os
import sys
from dataclasses import replace
from typing import Annotated, Any

import typer

from platform.cluster import start_ray
from platform.command import exit_on_error, run_command
from platform.grid import describe_commit, list_cells_to_train, narrow_study, read_roles, redirect_output, run_grid
from platform.progress import Progress
from platform.run_lock import lock_run
from search_spaces.space import TunedSettings
from search_spaces.study import STUDIES, Study
from trainables.cell import Cell, Data
from trainables.registry import BadRequest
from trainables.store import RunFolder


def main(
    space: Annotated[str, typer.Argument(help="a file of search_spaces/ that says what is searched")] = "annealed_label_transfer",
    scale: Annotated[str, typer.Option(help="pocket: minutes on two cores; paper: the text's settings and data")] = "pocket",
    only: Annotated[list[str] | None, typer.Option(metavar="AXIS=V,V", help="search only under these values of an axis")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="suggestions under each condition; more of them extend a search")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="trainings a suggestion, whose mean is its score")] = None,
    fresh: Annotated[int | None, typer.Option(min=0, help="further seeds to hold the best found against the text on; 0: do not")] = None,
    searcher: Annotated[str | None, typer.Option(help="optuna, hyperopt or random; the study says its own")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="another value of a setting")] = None,
    data: Annotated[list[str] | None, typer.Option(metavar="ROLE=KIND:PATH[,ages=PATH] | FILE.yaml", help="what plays a role")] = None,
    runs: Annotated[str, typer.Option(metavar="DIR", help="where run folders are; a local folder")] = "runs",
    slots: Annotated[int | None, typer.Option(min=1, help="cells at once; as many as cores, or as the GPUs hold")] = None,
    gpu: Annotated[float | None, typer.Option(min=0, help="each slot's share of a GPU")] = None,
) -> None:
    """Search; the same command again goes on, more --trials extend it. Exit: 0 all done, 1 some failed, 2 bad request, 130 stopped."""
    with exit_on_error(runs):
        wanted = narrow_study(STUDIES.find(space), scale, only or [], None, set_ or [])
        if wanted.search is None:
            raise BadRequest(
                f"{wanted.name} says nothing to search; a study with `search` is {', '.join(list_searchable()) or 'not there'}"
            )
        given: dict[str, Any] = {"trials": trials, "seeds": seeds, "fresh": fresh, "searcher": searcher}
        search = replace(wanted.search, **{name: value for name, value in given.items() if value is not None})
        wanted = replace(wanted, search=search)
        folder = RunFolder(f"{runs}/{wanted.name}-{wanted.scale}-search")
        if not folder.local:
            raise BadRequest(f"--runs {runs}: a search keeps its record in a local folder")
        read = read_roles(wanted, data or [])
    with exit_on_error(folder.uri, resumable=True):
        code = search_study(wanted, read, folder, {"slots": slots, "gpu": gpu})
    raise typer.Exit(code)


def list_searchable() -> list[str]:
    return [name for name, make in STUDIES.import_all().items() if make("pocket").search]


def search_study(study: Study, data: dict[str, Data], folder: RunFolder, how: dict[str, Any]) -> int:
    """Search, keep what was found, hold it against the text's settings; the exit code."""
    from platform.searching.driver import SearchDriver, build_best_json, make_condition_searches
    from platform.searching.record import Journal

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
    from platform.schedule import suggest_by_hyperopt

    return suggest_by_hyperopt(*given)


def train_suggestions(study: Study, search_driver: Any, folder: RunFolder, how: dict[str, Any]) -> None:
    """Train what the searches suggest, until each has made its suggestions."""
    from platform.searching.board import draw_suggestion, draw_table

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
                from platform import schedule

                ready()
                here: dict[str, Any] = {"tick": progress.refresh_line, "context": describe_commit() | {"driver_pid": os.getpid()}, **how}
                if steps:
                    schedule.run_cells(steps, folder, progress.handle_event, **here)
                schedule.run_suggestions(ask, search_driver.complete_trial, left, search.seeds, folder, progress.handle_event, **here)
        finally:
            search_driver.release_all()


def draw_results(study: Study, search_driver: Any, folder: RunFolder) -> None:
    """The pictures, and a line a condition of what was found."""
    from platform.searching.figures import draw_search_figures

    for condition_search in search_driver.searches:
        for name, content in draw_search_figures(condition_search.record, f"mean val/{study.metric}"):
            folder.put(content, "figures", condition_search.where.replace("/", ","), name)
        print(f"{condition_search.where}: {describe_best(condition_search.record)}", file=sys.stderr)
    tensorboard = f"tensorboard --logdir {folder.get_path('tb')}"
    print(f"found: {folder.get_path('best.json')}\nfigures: {folder.get_path('figures')}\ncurves: {tensorboard}", file=sys.stderr)


def describe_best(record: Any) -> str:
    """The best of a search in a line."""
    from platform.searching.figures import compute_importances

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
    from platform.searching.best import make_comparison_study

    search = study.search
    assert search is not None
    fresh = make_comparison_study(study, found, range(search.seeds, search.seeds + search.fresh))
    cells = [
        cell
        for cell in fresh.make_cells(data)
        if fresh.is_prerequisite(cell) or any(each.applies_to(each.arm, cell.axes) for each in found)
    ]
    return run_grid(fresh, cells, folder, how)


if __name__ == "__main__":
    run_command(main)
