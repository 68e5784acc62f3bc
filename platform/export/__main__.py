"""Write a training's network as a model file, with a model card.

The file is ONNX, torch.export's archive, or a state dict.
"""

if __name__ == "__main__":  # must come first: it forks, and some of the imports below start threads
    from platform.terminal.interrupt import end_on_interrupt

    end_on_interrupt()
    from platform.terminal.supervisor import supervise_command

    supervise_command()

import sys
from typing import Annotated

import typer

from platform.cli.command import exit_on_error, run_command


def main(
    run: Annotated[str, typer.Argument(metavar="RUN", help="a run folder or its fsspec URI")],
    training: Annotated[str, typer.Argument(metavar="KEY|best", help="a training's key or name; best: the highest validation score")],
    to: Annotated[str, typer.Option(metavar="onnx|pt2|state_dict", help="the format; pt2 is torch.export's archive")] = "onnx",
    out: Annotated[str | None, typer.Option(metavar="DIR", help="where the files go; default: RUN/export")] = None,
) -> None:
    """Write KEY.onnx, KEY.pt2 or KEY.pt, and KEY.md, its model card. Exit with code 2 and one line if that is not possible."""
    with exit_on_error(out or run):
        # imported here, so that --help and usage errors do not wait for large imports
        from platform.export.export_training import export_training
        from platform.predict.model_file import FORMATS
        from trainables.registry import make_unknown_error
        from trainables.storage.store import RunFolder

        if to not in FORMATS:
            raise make_unknown_error("--to", to, FORMATS)
        folder = RunFolder(run)
        exported = export_training(folder, training, to, RunFolder(out or f"{folder.uri}/export"))
    for line in exported.notes:
        print(line, file=sys.stderr)
    print(f"{exported.path}\n{exported.card_path}")


if __name__ == "__main__":
    run_command(main)
