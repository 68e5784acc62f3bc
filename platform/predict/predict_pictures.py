"""Read pictures as a model takes them, and write its predictions as a table."""

import csv
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
from PIL import Image

from platform.predict.model_file import Model
from platform.terminal.progress import make_printable
from trainables.data.dataset import DataError
from trainables.data.decode import crop_square, decode_picture
from trainables.data.files import COMMON, list_files
from trainables.data.prediction_targets import TARGETS
from trainables.data.spreadsheet_formulas import add_apostrophe
from trainables.registry import BadRequest, join_lines

BATCH = 64
"""pictures that are read and predicted at once"""
SEVERAL = ("MPO",)
"""formats of one photograph and its small or second view, which are no animations"""


def list_pictures(places: Sequence[Path]) -> list[Path]:
    """Return the files that are named, and those in the folders that are named. BadRequest for a place that is missing or empty."""
    files: list[Path] = []
    for place in places:
        if place.is_dir():
            found = [place / name for name in list_files(place)]
            if not found:
                raise BadRequest(f"{place}: holds no picture ({COMMON})")
            files += found
        elif place.exists():
            files.append(place)
        else:
            raise BadRequest(f"{place}: no such file or folder")
    return list(dict.fromkeys(files))


def write_predictions(model: Model, files: Sequence[Path], out: TextIO) -> int:
    """Write the header, and for each picture its file, answer and scores, rounded to six digits.

    A picture that cannot be used is a line on standard error. Return the number of these. BadRequest if none can be used.
    """
    left_out: list[str] = []
    probabilities = TARGETS[model.target].kept == "probabilities"
    table = csv.writer(out, lineterminator="\n")
    readable, begun = _read_pictures(model, files, left_out), False
    while pictures := list(islice(readable, BATCH)):
        if not begun:
            table.writerow(["file", "class", *(f"p_{name}" if probabilities else name for name in model.names)])
            begun = True
        _, scores = model.compute(np.stack([pixels for _, pixels in pictures]))
        for (file, _), row in zip(pictures, scores, strict=True):
            answer = TARGETS[model.target].name_answer(row, model.names)
            table.writerow([add_apostrophe(str(file)), add_apostrophe(answer), *(f"{score:.6g}" for score in row)])
    if not begun:
        raise BadRequest(left_out[0] if len(left_out) == 1 else f"none of {len(left_out)} pictures can be used; the first: {left_out[0]}")
    for line in left_out:
        print(make_printable(line), file=sys.stderr)
    return len(left_out)


def _read_pictures(model: Model, files: Sequence[Path], left_out: list[str]) -> Iterator[tuple[Path, np.ndarray]]:
    """Yield each file and its pixels, uint8 [channels, size, size]; of a model of clips [1, channels, size, size]."""
    for file in files:
        try:
            _require_one_picture(file)
            pixels = crop_square(decode_picture(file, model.input.size), model.input.size, model.input.colour)
            yield file, pixels[None] if model.input.clips else pixels
        except DataError as error:
            left_out.append(str(error))


def _require_one_picture(file: Path) -> None:
    """Raise DataError for a file that is empty or holds several pictures, of which none is the one that is meant."""
    if not file.stat().st_size:
        raise DataError(f"{file}: is empty")
    try:
        with Image.open(file) as picture:
            frames = 1 if picture.format in SEVERAL else getattr(picture, "n_frames", 1)
    except Exception as error:  # decoders may raise any exception for a damaged file
        raise DataError(f"{file}: cannot be read as an image ({join_lines(error)})") from None
    if frames > 1:
        raise DataError(f"{file}: is animated ({frames} frames); save the frame that is meant as a picture of its own")
