"""Search a study's settings, and compare the best with the paper's."""

if __name__ == "__main__":  # must come first: it forks, and some of the imports below start threads
    from platform.terminal.interrupt import end_on_interrupt

    end_on_interrupt()
    from platform.terminal.supervisor import supervise_command

    supervise_command()

from dataclasses import replace
from typing import Annotated, Any

import typer

from platform.cli.command import exit_on_error, run_command
from platform.cli.config_file import describe_command, make_config_option
from platform.cli.shared_options import DATA, GPU, LOG, ONLY, SCALE, SETTINGS, SLOTS, list_options
from platform.cli.study_command import StudyCommand, complete_study


def main(
    context: typer.Context,
    study: Annotated[str, typer.Argument(help="a study that defines a search", autocompletion=complete_study)] = "annealed_label_transfer",
    scale: Annotated[str, SCALE] = "pocket",
    config: Annotated[str | None, make_config_option("search")] = None,
    arm: Annotated[list[str] | None, typer.Option(metavar="ARM", help="search only for this arm; default: every arm that has one")] = None,
    only: Annotated[list[str] | None, ONLY] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="suggestions per condition; a larger number extends a search")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="trainings per suggestion; their mean is its score")] = None,
    fresh: Annotated[int | None, typer.Option(min=0, help="further seeds to compare the best settings with the paper's; 0: none")] = None,
    searcher: Annotated[str | None, typer.Option(help="optuna, hyperopt, gp or random; default: the study's")] = None,
    scheduler: Annotated[str | None, typer.Option(help="none, or asha: suggestions that are behind the others stop early")] = None,
    set_: Annotated[list[str] | None, SETTINGS] = None,
    data: Annotated[list[str] | None, DATA] = None,
    runs: Annotated[str, typer.Option(metavar="DIR", help="folder of the run folders; a local one")] = "runs",
    slots: Annotated[int | None, SLOTS] = None,
    gpu: Annotated[float | None, GPU] = None,
    log: Annotated[list[str] | None, LOG] = None,
) -> None:
    """Search. The same command resumes it; --trials extends it. Exit: 0 done, 1 some failed, 2 bad request or fatal error, 130 stopped."""
    with exit_on_error(runs):
        # imported here, so that --help and usage errors do not wait for large imports
        from platform.cli.study_options import list_tested_roles, narrow_study, read_roles
        from platform.experiment_logs.write_logs import parse_logs
        from platform.grid.run import check_buildable
        from platform.search.condition_search import select_searches
        from platform.search.run import search_study
        from search_spaces.study import STUDIES
        from trainables.registry import BadRequest
        from trainables.storage.store import RunFolder

        narrowed = narrow_study(study, scale, only or [], None, set_ or [], list_options(context))
        if not narrowed.searches:
            searchable = [name for name, make in STUDIES.import_all().items() if make("pocket").searches]
            raise BadRequest(f"{narrowed.name} defines no search; these studies do: {', '.join(searchable) or 'none'}")
        given = {"trials": trials, "seeds": seeds, "fresh": fresh, "searcher": searcher, "scheduler": scheduler}
        options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        narrowed = replace(narrowed, searches=tuple(replace(search, **options) for search in select_searches(narrowed, arm)))
        folder = RunFolder(f"{runs}/{narrowed.name}-{narrowed.scale}-search")
        if not folder.local:
            raise BadRequest(f"--runs {runs}: a search keeps its record in a local folder")
        fixed_test = list_tested_roles(narrowed)
        role_data = read_roles(narrowed, data or [], fixed_test)
        check_buildable(narrowed, narrowed.with_seeds(1).make_cells(role_data))
        logs = parse_logs(log or [], folder)
        command = describe_command(context, "search")
    with exit_on_error(folder.uri, resumable=True):
        exit_code = search_study(narrowed, role_data, fixed_test, folder, {"slots": slots, "gpu": gpu}, command, logs)
    raise typer.Exit(exit_code)


if __name__ == "__main__":
    run_command(main, StudyCommand)
