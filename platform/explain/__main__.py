"""Draw saliency maps of a run's networks, and measure where they look."""

if __name__ == "__main__":  # must come first: it forks, and some of the imports below start threads
    from platform.terminal.supervisor import supervise_command

    supervise_command()

import sys
from pathlib import Path
from typing import Annotated, get_args

import typer

from platform.cli.command import exit_on_error, run_command
from platform.report.map_kinds import KINDS
from search_spaces.pictures import ExplainedClass

CLASSES = get_args(ExplainedClass)


def main(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="a run folder; default: the only one in runs")] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="AXIS=V,V", help="only these values of an axis")] = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="your own pictures of faces instead of test images")] = None,
    layer: Annotated[
        str | None,
        typer.Option(metavar="L", help="layer of the maps; last: the last convolution; default: the study's"),
    ] = None,
    how: Annotated[str | None, typer.Option(metavar="|".join(KINDS), help="kind of map; default: the study's")] = None,
    of: Annotated[
        str | None, typer.Option("--class", metavar="|".join(CLASSES), help="the class whose map is drawn; default: the study's")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="how many test images get a sheet")] = 14,
) -> None:
    """Draw saliency maps of a run's networks. Exit with code 2 and one line if that is not possible."""
    with exit_on_error(run or "runs"):
        # imported here, so that --help and usage errors do not wait for large imports
        from platform.explain.draw_own_pictures import draw_pictures
        from platform.explain.draw_test_images import draw_columns, draw_sheets
        from platform.explain.request import Request, find_study
        from platform.explain.select_cells import choose_cells
        from platform.report.write_report import find_only_run
        from trainables.registry import BadRequest, make_unknown_error
        from trainables.storage.store import RunFolder

        if how is not None and how not in KINDS:
            raise make_unknown_error("--how", how, KINDS)
        if of is not None and of not in CLASSES:
            raise make_unknown_error("--class", of, CLASSES)
        folder = RunFolder(run or find_only_run())
        study = find_study(folder)
        kind = how or study.pictures.how
        if kind == "saliency" and layer is not None:
            raise BadRequest(f"--layer {layer}: saliency has no layer; leave the option out, or use --how gradcam")
        layer = None if kind == "saliency" else layer or study.pictures.layer
        cells, condition, narrowed, notes = choose_cells(folder, study, only or [], together=images is None)
        request = Request(folder, study, kind, of or study.pictures.of, layer, count, narrowed, condition, notes)  # type: ignore[arg-type]
        columns = study.pictures.columns
        if images is not None:
            path, layer_text = draw_pictures(request, cells, images)
        elif columns is not None and columns not in condition:
            path, layer_text = draw_columns(request, cells, columns)
        else:
            path, layer_text = draw_sheets(request, cells)
    for note in notes:
        print(note, file=sys.stderr)
    print(f"{kind}{f' of {layer_text}' if layer_text else ''}{request.place}: {path}")


if __name__ == "__main__":
    run_command(main)
