"""The user's own pictures: read in the format of the networks' images, with one line per rejected file, and a table of the predictions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from platform.explain.explained_outputs import has_classes, name_answer
from trainables.data.dataset import DataError
from trainables.data.decode import crop_square, decode_picture
from trainables.data.files import COMMON, SUFFIXES
from trainables.data.task import Task
from trainables.registry import BadRequest, join_lines

SMALLEST, LONGEST = 24, 1.6
"""a picture of a face has a side of at least SMALLEST pixels, and its longer side is at most LONGEST times the shorter"""


def read_pictures(folder: Path, size: int, channels: int) -> tuple[list[str], torch.Tensor, list[str]]:
    """Return names relative to the folder, images uint8 [n, channels, size, size], and one line for each picture that was left out.

    BadRequest if there is no such folder, or none of its files can be used.
    """
    if not folder.is_dir():
        raise BadRequest(f"--images {folder}: {'is a file, not a folder of pictures' if folder.exists() else 'no such folder'}")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))
    if not files:
        raise BadRequest(f"--images {folder}: holds no picture ({COMMON})")
    names, images, left_out = [], [], []
    for file in files:
        try:
            _check_picture(file)
            images.append(crop_square(decode_picture(file, size), size, "grey" if channels == 1 else "rgb"))
            names.append(file.relative_to(folder).as_posix())
        except DataError as error:
            left_out.append(str(error))
    if not images:
        raise BadRequest(f"--images {folder}: none of {len(files)} pictures can be used; the first: {left_out[0]}")
    return names, torch.from_numpy(np.stack(images)), left_out


def find_true_class(name: str, classes: tuple[str, ...]) -> str:
    """Return the class after which the picture's folder is named; empty if there is none."""
    return next((part for part in reversed(Path(name).parts[:-1]) if part in classes), "")


def tabulate_predictions(
    names: list[str], said: Sequence[tuple[str, object, np.ndarray]], task: Task, compared: str, replicated: str
) -> pd.DataFrame:
    """Return one row per picture, arm and replicate, and per arm's mean. `said` holds (arm, replicate, predictions [n, outputs]).

    Columns of probabilities are named p_CLASS; those of valence and arousal have their names.
    """
    rows = []
    for arm in dict.fromkeys(arm for arm, _, _ in said):
        predictions = [(label, array) for owner, label, array in said if owner == arm]
        for replicate, arrays in [*predictions, ("mean", np.mean([array for _, array in predictions], axis=0))]:
            for name, prediction in zip(names, arrays, strict=True):
                true = find_true_class(name, task.classes) if has_classes(task) else ""
                row = {"picture": name, "true": true, compared: arm, replicated: replicate, "answer": name_answer(task, prediction)}
                prefix = "p_" if has_classes(task) else ""
                rows.append(row | {f"{prefix}{label}": round(float(p), 4) for label, p in zip(task.classes, prediction, strict=True)})
    return pd.DataFrame(rows).sort_values("picture", kind="stable")


def _check_picture(file: Path) -> None:
    """Raise DataError for a file whose shape is not that of a face picture."""
    try:
        with Image.open(file) as picture:
            width, height = picture.size
    except Exception as error:  # decoders may raise any exception for a damaged file
        raise DataError(f"{file}: cannot be read as an image ({join_lines(error)})") from None
    if min(width, height) < SMALLEST or max(width, height) > LONGEST * min(width, height):
        raise DataError(f"{file}: {width} x {height} pixels are not a cropped face; crop it to the face, {SMALLEST} pixels a side or more")
