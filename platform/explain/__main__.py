"""Draw saliency maps of a run's networks (Grad-CAM, Grad-CAM++, gradients), with the shares of map energy on eyes, brows and mouth."""

if __name__ == "__main__":  # must come first: it forks, and some of the imports below start threads
    from platform.terminal.supervisor import supervise_command

    supervise_command()

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from platform.cli.command import exit_on_error, run_command
from platform.report.map_kinds import KINDS


def main(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="a run folder; default: the only one in runs")] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="AXIS=V,V", help="only these values of an axis")] = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="your own pictures of faces instead of test images")] = None,
    layer: Annotated[str | None, typer.Option(metavar="L", help="layer of the maps; default: the last with 6 x 6 pixels or more")] = None,
    how: Annotated[str, typer.Option(metavar="|".join(KINDS), help="kind of map")] = "gradcam",
    count: Annotated[int, typer.Option(min=1, help="how many test images get a sheet")] = 14,
) -> None:
    """Draw saliency maps of a run's networks. Exit with code 2 and one line if that is not possible."""
    with exit_on_error(run or "runs"):
        # imported here, so that --help and usage errors do not wait for large imports
        from platform.explain import select_inputs
        from platform.explain.load_networks import load_networks
        from platform.explain.run import explain_pictures, explain_test_images, find_study, format_place, prepare_maps
        from platform.report.write_report import find_only_run
        from trainables.registry import make_unknown_error
        from trainables.storage.store import RunFolder

        if how not in KINDS:
            raise make_unknown_error("--how", how, KINDS)
        folder = RunFolder(run or find_only_run())
        study = find_study(folder)
        cells, condition, notes = select_inputs.choose_cells(folder, study, only or [])
        networks = [load_networks(cell, study.compared, study.replicated, folder) for cell in cells]
        make_maps, layer_text = prepare_maps(networks, how, layer)
        summary: dict[str, Any] = {"how": how, "layer": layer_text, "condition": condition, "notes": notes}
        if images is not None:
            path = explain_pictures(images, networks, make_maps, folder, study, summary)
        else:
            path = explain_test_images(
                networks, select_inputs.load_whole_sets(cells, networks[0].task), make_maps, folder, study, summary, count
            )
    for note in notes:
        print(note, file=sys.stderr)
    print(f"{how}{f' of {layer_text}' if layer_text else ''}{format_place(condition)}: {path}")


if __name__ == "__main__":
    run_command(main)
