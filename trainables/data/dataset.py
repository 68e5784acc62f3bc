"""Face data sets in memory, and the registry of their readers."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from trainables.data import decoded_cache, duplicates, image_hashes
from trainables.data.decode import DataError
from trainables.data.memory_map import select_images
from trainables.registry import Registry

__all__ = ["AFFECT", "CLASSES", "DATA_SET", "SHOWN", "VOTES", "DataError", "Doubt", "Example", "FaceDataset", "Reader", "Release"]

CLASSES = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
"""Canonical class names. A data set's `classes` are those that it has, in this order, then its own extra classes."""

VOTES, SHOWN, AFFECT = "votes_", "emoreact_", ("valence", "arousal")
"""Metadata that hold answers besides the label: raters' votes by class, several labels at once by name, and two numbers."""

FIXED_TEST = "fixed_test"
"""Metadata: true for the images of a data set whose `split` is not official but drawn once for all seeds (`fixed_test.py`)."""

DATA_SET = "data_set"
"""Metadata of a union of several data sets: the name of the set that an image is of."""


class Doubt(str):
    """A note that puts a copy of a data set in doubt, because something is missing, broken or contradictory in it."""


class Release(NamedTuple):
    """What an official release holds. 0 or an empty mapping means unknown."""

    images: int = 0
    """number of files; for a set of clips, number of clips"""
    subjects: int = 0
    splits: Mapping[str, int] = MappingProxyType({})
    classes: Mapping[str, int] = MappingProxyType({})


UNKNOWN = Release()


@dataclass(frozen=True)
class FaceDataset:
    """A data set in memory: n images and their metadata.

    `metadata` has one row per image. Its index is the image's row in the whole data set, also in a subset. It has these columns if they
    are known: `subject`, `sex` (F or M), `age` (years), `ethnicity`, `mouth_open`, `split` (official), `source` (file name or row, as
    error messages name it), and the data set's own. Answers beyond one label, which `trainables.data.prediction_targets` reads:

    - `votes_CLASS`: number of raters who chose the class, 0 or more; one column for each class that can be voted for;
    - `valence`, `arousal`: -1 to 1, NaN where not rated;
    - `emoreact_LABEL`: 1 if the label holds, else 0; any number of them per row; NaN where not rated;
    - `clip` (the clip's name or number) and `frame` (0 or more): the row is a frame of a clip. Metadata and label are the clip's.
    - `exemplar`: 1, 2, ...: the number of the picture among a person's pictures of one expression (JAFFE).

    A union of data sets (`join_data_sets`) also has `data_set`, and its subjects, sequences and clips begin with that name.
    """

    images: np.ndarray
    """uint8 [n, channels, size, size]; channels 1 (grey) or 3 (RGB). Many rows of a large mapped file may be
    `memory_map.MappedRows`, which are used like an array"""
    labels: np.ndarray
    """int64 [n], an index into `classes`; -1 for no label"""
    classes: tuple[str, ...]
    metadata: pd.DataFrame
    title: str
    """name in a report's heading, such as "FER2013, children of 12 or under" """
    notes: tuple[str, ...] = field(default=())
    """what the reader dropped, and why (as Doubt if it puts the copy in doubt); shown in the report and by `platform.doctor`"""
    origin: str = ""
    """cache key of the images, if they are all of one entry; fingerprint and hashes are then computed once per machine"""
    parts: tuple[tuple["FaceDataset", np.ndarray], ...] = field(default=(), repr=False, compare=False)
    """the data sets whose rows these images are, in this order, so that each whole set is hashed once; empty for a whole set"""

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[2] != self.images.shape[3]:
            raise DataError(f"{self.title}: images must be uint8 [n, c, size, size], not {self.images.dtype} {self.images.shape}")
        if not n == len(self.labels) == len(self.metadata):
            raise DataError(f"{self.title}: {n} images, {len(self.labels)} labels, {len(self.metadata)} rows of metadata")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def name(self) -> str:
        """The title without population and other choices: a person may be in the roles of children and of adults of one set."""
        return self.title.partition(",")[0]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that a training can see. It depends on the content, not on the location of the files."""
        if not self.origin:
            return self._compute_fingerprint()
        rest = hashlib.sha256(repr((self.images.shape, self.classes, self.labels.tolist())).encode())
        rest.update(self.metadata.to_csv(index=False).encode())
        return decoded_cache.get_or_make_text(f"{self.origin}-{rest.hexdigest()[:16]}", self._compute_fingerprint)

    def _compute_fingerprint(self) -> str:
        digest = hashlib.sha256(repr((self.images.shape, self.classes)).encode())
        for start in range(0, len(self), 4096):  # in pieces, because the whole may exceed the memory
            digest.update(np.ascontiguousarray(self.images[start : start + 4096]).data)
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        digest.update(self.metadata.to_csv(index=False).encode())
        return digest.hexdigest()[:16]

    @cached_property
    def hashes(self) -> np.ndarray:
        """`image_hashes.hash_images` of the images, uint64 [n, 3]."""
        if self.parts:
            return np.concatenate([whole.hashes[rows] for whole, rows in self.parts])
        if not self.origin:
            return image_hashes.hash_images(self.images)
        made = decoded_cache.get_or_make_text(
            f"{self.origin}-hashes{image_hashes.VERSION}-{len(self)}", lambda: image_hashes.hash_images(self.images).tobytes().hex()
        )
        return np.frombuffer(bytes.fromhex(made), np.uint64).reshape(len(self), -1)

    @cached_property
    def persons(self) -> np.ndarray:
        """The person of each image, object [n].

        It is the image's subject if that is known, else its sequence. Other images count as a person each, and identical ones among them
        as one person.
        """
        persons, _ = name_groups(self.metadata)
        nameless = np.array([str(person).startswith("image ") for person in persons])
        if nameless.any():
            for rows in duplicates.find_identical(self.images):
                if nameless[rows].all():
                    persons[rows] = persons[rows[0]]
        return persons

    def take_rows(self, rows: np.ndarray) -> "FaceDataset":
        """Return the images in `rows` (indices or a mask), in that order."""
        metadata = self.metadata.loc[rows] if rows.dtype == bool else self.metadata.iloc[rows]
        return replace(
            self, images=select_images(self.images, rows), labels=self.labels[rows], metadata=metadata, origin="", parts=((self, rows),)
        )

    def select_classes(self, classes: tuple[str, ...]) -> "FaceDataset":
        """Return the images of these classes, with labels that index them.

        Raises DataError for an unknown class, and for a set of a union that has no labels.
        """
        require_of_each_set(self.metadata, self.labels >= 0, "labels")
        if missing := [name for name in classes if name not in self.classes]:
            raise DataError(f"{self.title}: has no class {', '.join(missing)}; it has {', '.join(self.classes)}")
        code = np.full(len(self.classes) + 1, -1)
        for new, name in enumerate(classes):
            code[self.classes.index(name)] = new
        labels = code[self.labels]
        keep = labels >= 0
        return replace(self.take_rows(keep), labels=labels[keep], classes=tuple(classes))


def list_sets(metadata: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the rows of each data set of a union by its name, in the order of first images; empty if the images are of one data set."""
    if DATA_SET not in metadata:
        return {}
    codes, names = pd.factorize(metadata[DATA_SET])
    return {str(name): np.flatnonzero(codes == code) for code, name in enumerate(names)}


def require_of_each_set(metadata: pd.DataFrame, known: np.ndarray, what: str) -> None:
    """Raise DataError if some data set of a union has no image of which it is known (bool [n])."""
    for name, rows in list_sets(metadata).items():
        if not known[rows].any():
            raise DataError(f"{name}: has no {what}, which other data sets of its role have; leave it out of the role")


def name_groups(metadata: pd.DataFrame, units: Sequence[str] = ("sequence", "subject")) -> tuple[np.ndarray, str]:
    """Return what a split must keep together, object [n], and its unit: the person, else the sequence, where they are known.

    Later `units` replace earlier ones. An image of which none is known is a group of its own. The unit is the last one of which any is
    known, or `image`.
    """
    groups, unit = np.array([f"image {row}" for row in range(len(metadata))], object), "image"
    for name in units:
        if name in metadata and (known := metadata[name].notna().to_numpy()).any():
            groups[known], unit = metadata[name].to_numpy(object)[known], name
    return groups, unit


class Example(NamedTuple):
    """A small copy of a data set in its layout. The contract tests write it, with rendered faces as pictures, and read it back."""

    pictures: Mapping[str, tuple[str | None, Mapping[str, Any]]]
    """by file: the class that the reader must give the image (None: no label), and what it must know of it"""
    texts: Mapping[str, str] = MappingProxyType({})
    """further files, such as lists of labels, with their content"""
    required: tuple[str, ...] = ()
    """files or folders without which nothing can be read"""
    options: Mapping[str, str] = MappingProxyType({})
    """options that it is read with"""
    classes: tuple[str, ...] = ()
    population: Literal["children", "adults", ""] = ""
    """the only population of the set, if it has only one"""
    knows_ages: bool = True
    """False: nothing tells children from adults, so that the set is refused as one of children"""


@dataclass(frozen=True)
class Reader:
    """The reader of one kind of data set: `read(path, size=, colour=, population=, **options) -> FaceDataset`.

    `path` is the user's text after `KIND:`. `colour` is "grey" or "rgb". `population` is "children", "adults" or None (all). A reader
    never writes and never downloads. It raises DataError with file and row.
    """

    kind: str
    summary: str
    """one line: release and layout"""
    options: tuple[str, ...]
    read: Callable[..., FaceDataset]
    source: str = ""
    """where to request the data set"""
    licence: str = ""
    """one line"""
    release: Release = UNKNOWN
    on_disk: bool = True
    """whether the path is a file or a folder; it is then made absolute"""
    example: Example | None = None
    """of a reader that brings what the contract tests write"""


_READERS: Registry[Reader] = Registry("kind of data set", "trainables.data.readers")


def register_reader(
    kind: str,
    summary: str,
    options: tuple[str, ...] = (),
    *,
    source: str = "",
    licence: str = "",
    release: Release = UNKNOWN,
    on_disk: bool = True,
    example: Example | None = None,
) -> Callable[[Callable[..., FaceDataset]], Callable[..., FaceDataset]]:
    """Register a function as the reader of `kind`."""

    def register(read: Callable[..., FaceDataset]) -> Callable[..., FaceDataset]:
        _READERS.register(kind)(Reader(kind, summary, options, read, source, licence, release, on_disk, example))
        return read

    return register


readers = _READERS.import_all
"""Import all readers and return them by kind."""
find_reader = _READERS.find
