"""Predict pictures with a model file of python -m platform.export.

Standard output gets a table (csv) with a row a picture.
"""

if __name__ == "__main__":  # must come first: it forks, and some of the imports below start threads
    from platform.terminal.interrupt import end_on_interrupt

    end_on_interrupt()
    from platform.terminal.supervisor import supervise_command

    supervise_command()

import sys
from pathlib import Path
from typing import Annotated

import typer

from platform.cli.command import exit_on_error, run_command


def main(
    model: Annotated[Path, typer.Argument(help="a file of python -m platform.export: .onnx, .pt2 or .pt")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="pictures of faces, or folders of them")],
) -> None:
    """Print file, class and scores of each picture as csv. Exit: 0 done, 1 some pictures cannot be used, 2 none can, or a bad request.

    Open only those .pt2 files that come from people you trust: PyTorch's reader may run code that is in them.
    """
    with exit_on_error(str(model)):
        # imported here, so that --help and usage errors do not wait for large imports
        from platform.predict.model_file import read_model
        from platform.predict.predict_pictures import list_pictures, write_predictions

        files = list_pictures(images)
        left_out = write_predictions(read_model(model), files, sys.stdout)
    raise typer.Exit(int(left_out > 0))


if __name__ == "__main__":
    run_command(main)
