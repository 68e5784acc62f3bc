"""Search a study's settings by TPE through Ray Tune, one search under each condition, and hold what it finds against the text's."""

if __name__ == "__main__":  # first: it forks, which must come before the threads that some imports start
    from platform.terminal.supervisor import supervise_command

    supervise_command()

from dataclasses import replace
from typing import Annotated, Any

import typer

from platform.cli.command import exit_on_error, run_command
from platform.cli.study_options import narrow_study, read_roles
from platform.search.run import search_study
from search_spaces.study import STUDIES
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder


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


if __name__ == "__main__":
    run_command(main)
