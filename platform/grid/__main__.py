"""Run a study's grid: train what is missing, write curves and report."""

if __name__ == "__main__":  # must come first: it forks, and some of the imports below start threads
    from platform.terminal.interrupt import end_on_interrupt

    end_on_interrupt()
    from platform.terminal.supervisor import supervise_command

    supervise_command()

from dataclasses import replace
from typing import Annotated, get_args

import typer

from platform.cli.command import exit_on_error, run_command
from platform.cli.config_file import describe_command, make_config_option
from platform.cli.shared_options import DATA, GPU, LOG, ONLY, SCALE, SETTINGS, SLOTS, list_options
from platform.cli.study_command import StudyCommand, complete_study


def main(
    context: typer.Context,
    study: Annotated[
        str, typer.Argument(help="a study: the name of a file in search_spaces/", autocompletion=complete_study)
    ] = "adults_as_augmentation",
    scale: Annotated[str, SCALE] = "pocket",
    config: Annotated[str | None, make_config_option("grid")] = None,
    only: Annotated[list[str] | None, ONLY] = None,
    seeds: Annotated[int | None, typer.Option(help="number of seeds; raising it later only adds trainings")] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="add seeds until the study's claims are decided, and test them sequentially")
    ] = False,
    max_seeds: Annotated[int | None, typer.Option(metavar="N", help="with --until-decided: the most seeds, 6 to 60; default: 20")] = None,
    set_: Annotated[list[str] | None, SETTINGS] = None,
    use: Annotated[str | None, typer.Option(metavar="BEST.json", help="use the settings that ferray search found")] = None,
    data: Annotated[list[str] | None, DATA] = None,
    runs: Annotated[str, typer.Option(metavar="DIR", help="folder of the run folders, or an fsspec URI")] = "runs",
    slots: Annotated[int | None, SLOTS] = None,
    gpu: Annotated[float | None, GPU] = None,
    pack: Annotated[int | None, typer.Option(min=1, help="seeds that a worker trains at once; default: 1 on a CPU, 10 on a GPU")] = None,
    keep: Annotated[
        str,
        typer.Option(metavar="none|best|all", help="parameters to keep: best, of the selected epoch; all, also of the last"),
    ] = "best",
    log: Annotated[list[str] | None, LOG] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would run and the estimated time; train nothing")] = False,
) -> None:
    """Run a study's grid. The same command again resumes it. Exit: 0 done, 1 some failed, 2 bad request or fatal error, 130 stopped."""
    with exit_on_error(runs):
        # imported here, so that --help and usage errors do not wait for torch
        from platform.cli.best_settings import read_best_file
        from platform.cli.study_options import choose_most_seeds, narrow_study, read_roles, require_all_seeds
        from platform.experiment_logs.write_logs import parse_logs
        from platform.grid.run import check_buildable, run_grid
        from platform.report.sequential_plan import check_plan, refuse_plan
        from trainables.loop import Keep, get_device
        from trainables.registry import make_unknown_error
        from trainables.storage.store import RunFolder

        if keep not in get_args(Keep):
            raise make_unknown_error("--keep", keep, get_args(Keep))
        most = choose_most_seeds(until_decided, max_seeds, seeds)
        narrowed = narrow_study(study, scale, only or [], most or seeds, set_ or [], list_options(context))
        fixed_test: dict[str, float] = {}
        if use:
            found, fixed_test = read_best_file(use, narrowed)
            narrowed = replace(narrowed, found=found)
        if most:
            from platform.grid.until_decided import run_until_decided
            from platform.report.sequential_claims import make_plan

            require_all_seeds(narrowed, most)
        cells = narrowed.make_cells(read_roles(narrowed, data or [], fixed_test))
        plan = make_plan(narrowed, cells, most) if most else None
        folder = RunFolder(f"{runs}/{narrowed.name}-{narrowed.scale}")
        unfinished = dry_run or not {cell.key for cell in cells} <= folder.list_cells_with("result.json")
        copies = check_buildable(narrowed, cells) if unfinished else []
        if dry_run:
            if plan:
                check_plan(folder, plan)  # as the command itself does, with the folder locked
            else:
                refuse_plan(folder)
            from platform.grid.estimate import estimate_grid
            from trainables.autotune import AutotuneResult, get_device_kind

            stored = folder.get_choice(get_device_kind(get_device()), AutotuneResult.from_json)
            setup = (folder.list_done(), slots, pack, stored)
            if plan:
                from platform.grid.estimate_blocks import estimate_blocks

                print(estimate_blocks(narrowed, cells, plan, *setup))
            else:
                print(estimate_grid(narrowed, cells, *setup))
            print("\n".join(copies))
            return
        logs = parse_logs(log or [], folder)
        command = describe_command(context, "grid")
    with exit_on_error(folder.uri, resumable=True):
        how = {"slots": slots, "gpu": gpu, "pack": pack, "keep": keep}
        if plan:
            exit_code = run_until_decided(narrowed, cells, folder, plan, how, command, logs)
        else:
            exit_code = run_grid(narrowed, cells, folder, how, command, logs)
    raise typer.Exit(exit_code)


if __name__ == "__main__":
    run_command(main, StudyCommand)
