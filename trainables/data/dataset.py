"""Faces: a data set in memory, and the one place where readers of data sets register."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from trainables.registry import BadRequest, Registry

CLASSES = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
"""The canonical names; a data set's `classes` are those of these it has, in this order, then its own extras."""

VOTES, SHOWN, AFFECT = "votes_", "emoreact_", ("valence", "arousal")
"""facts that are answers besides the label: raters' votes by class, several labels at once by name, and two numbers"""

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
"""of picture files, in small letters"""


class DataError(BadRequest):
    """A data set is not what it should be; the message names the file, the row where there is one, and what to do."""


@dataclass(frozen=True)
class Faces:
    """A data set in memory: n images and what is known of each.

    `facts` has one row an image; its index is the image's row in the whole data set, also in a part of it. Columns, where a fact is
    known: `subject`, `sex` (F or M), `age` (years), `ethnicity`, `mouth_open`, `split` (official), `source` (file name or row: what an
    error message would name), and a data set's own. Answers beyond one label, which `trainables.data.targets` reads:

    - `votes_CLASS`: how many raters said so, 0 or more, one column for each class that can be voted for;
    - `valence`, `arousal`: -1 to 1, NaN where not rated;
    - `emoreact_LABEL`: 1 where the label holds, else 0, any number of them in a row, NaN where not rated;
    - `clip` (the clip's name or number) and `frame` (0 or more): a row is a frame of a clip. Facts and label are the clip's in every row.
    - `exemplar`: 1, 2, ...: which of a person's pictures of one expression it is (JAFFE).
    """

    images: np.ndarray
    """uint8 [n, channels, size, size]; channels 1 (grey) or 3 (RGB)"""
    labels: np.ndarray
    """int64 [n], an index into `classes`; -1 where there is no label"""
    classes: tuple[str, ...]
    facts: pd.DataFrame
    title: str
    """what a report's heading calls it, such as "FER2013, children of 12 or under" """
    notes: tuple[str, ...] = field(default=())
    """what the reader dropped, and why; shown in the report and by `python -m platform.doctor`"""

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[2] != self.images.shape[3]:
            raise DataError(f"{self.title}: images must be uint8 [n, c, size, size], not {self.images.dtype} {self.images.shape}")
        if not n == len(self.labels) == len(self.facts):
            raise DataError(f"{self.title}: {n} images, {len(self.labels)} labels, {len(self.facts)} rows of facts")

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything a training can see: same content, same fingerprint, wherever the files lie."""
        digest = hashlib.sha256(repr((self.images.shape, self.classes)).encode())
        digest.update(np.ascontiguousarray(self.images).tobytes())
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        digest.update(self.facts.to_csv(index=False).encode())
        return digest.hexdigest()[:16]

    def take(self, rows: np.ndarray) -> "Faces":
        """The images in `rows` (indices or a mask), in that order."""
        facts = self.facts.loc[rows] if rows.dtype == bool else self.facts.iloc[rows]
        return Faces(self.images[rows], self.labels[rows], self.classes, facts, self.title, self.notes)

    def only(self, classes: tuple[str, ...]) -> "Faces":
        """The images of these classes, labels renumbered to them."""
        if missing := [name for name in classes if name not in self.classes]:
            raise DataError(f"{self.title}: has no class {', '.join(missing)}; it has {', '.join(self.classes)}")
        code = np.full(len(self.classes) + 1, -1)
        for new, name in enumerate(classes):
            code[self.classes.index(name)] = new
        labels = code[self.labels]
        keep = labels >= 0
        return Faces(self.images[keep], labels[keep], tuple(classes), self.facts.loc[keep], self.title, self.notes)


def square(image: np.ndarray, size: int, colour: str) -> np.ndarray:
    """A picture (uint8 [h, w] or [h, w, 3] RGB) cut to 1:1 about its centre and resized: uint8 [channels, size, size]."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = image[top : top + side, left : left + side]
    if colour == "grey" and image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if colour == "rgb" and image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if side != size:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
    return image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1))


def decode(file: Path, size: int) -> np.ndarray:
    """A file's picture, upright: uint8 [h, w, 3] RGB, decoded no larger than `size` needs it to be."""
    try:
        with Image.open(file) as picture:
            picture.draft("RGB", (4 * size, 4 * size))  # 10 megapixels of JPEG decode ten times faster at 1/8; other formats are untouched
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{file}: cannot be read as an image ({' '.join(str(error).split())})") from None


@dataclass(frozen=True)
class Reader:
    """One kind of data set: `read(path, size=, colour=, population=, **options) -> Faces`.

    `path` is what the user wrote after KIND: as a string; `colour` is "grey" or "rgb"; `population` is "children", "adults" or None
    (all). A reader never writes, never downloads, and raises DataError with file and row.
    """

    kind: str
    summary: str
    """one line: which release, which layout"""
    options: tuple[str, ...]
    read: Callable[..., Faces]


_READERS: Registry[Reader] = Registry("kind of data set", "trainables.data.readers")


def reader(kind: str, summary: str, options: tuple[str, ...] = ()) -> Callable[[Callable[..., Faces]], Callable[..., Faces]]:
    """Register a function as the reader of `kind`."""

    def register(read: Callable[..., Faces]) -> Callable[..., Faces]:
        _READERS.add(kind)(Reader(kind, summary, options, read))
        return read

    return register


readers = _READERS.all
"""Every reader, by kind"""
find_reader = _READERS.find
