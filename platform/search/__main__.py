"""Search a study's settings by TPE through Ray Tune, one search per condition, and compare the best settings with the paper's."""

if __name__ == "__main__":  # must come first: it forks, and some of the imports below start threads
    from platform.terminal.supervisor import supervise_command

    supervise_command()

from dataclasses import replace
from typing import Annotated, Any

import typer

from platform.cli.command import exit_on_error, run_command


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
    """Search. The same command again resumes it, more --trials extend it. Exit: 0 all done, 1 some failed, 2 bad request, 130 stopped."""
    with exit_on_error(runs):
        # imported here, so that --help and usage errors do not wait for large imports
        from platform.cli.study_options import narrow_study, read_roles
        from platform.search.run import search_study
        from search_spaces.study import STUDIES
        from trainables.registry import BadRequest
        from trainables.storage.store import RunFolder

        narrowed = narrow_study(STUDIES.find(space), scale, only or [], None, set_ or [])
        if narrowed.search is None:
            searchable = [name for name, make in STUDIES.import_all().items() if make("pocket").search]
            raise BadRequest(f"{narrowed.name} defines no search; these studies do: {', '.join(searchable) or 'none'}")
        options: dict[str, Any] = {"trials": trials, "seeds": seeds, "fresh": fresh, "searcher": searcher}
        search = replace(narrowed.search, **{name: value for name, value in options.items() if value is not None})
        narrowed = replace(narrowed, search=search)
        folder = RunFolder(f"{runs}/{narrowed.name}-{narrowed.scale}-search")
        if not folder.local:
            raise BadRequest(f"--runs {runs}: a search keeps its record in a local folder")
        role_data = read_roles(narrowed, data or [])
    with exit_on_error(folder.uri, resumable=True):
        exit_code = search_study(narrowed, role_data, folder, {"slots": slots, "gpu": gpu})
    raise typer.Exit(exit_code)


if __name__ == "__main__":
    run_command(main)
