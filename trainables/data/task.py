"""Task: the images that a cell trains on, selects by and is tested on. Each file in tasks/ makes one kind of task from data sets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch

from trainables.cell import PERSON_METADATA
from trainables.data.dataset import DATA_SET, FIXED_TEST, FaceDataset, name_groups
from trainables.data.device_pixels import Pixels, load_pixels, to_tensor
from trainables.data.memory_map import select_images
from trainables.data.prediction_targets import TARGETS
from trainables.registry import Registry
from trainables.settings import Settings


def get_known_metadata(faces: FaceDataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return PERSON_METADATA of the images in `rows`, [n] each, without columns of which the data set knows nothing.

    Texts are str, empty where unknown. `subject` is always present. Numbers are float, NaN where unknown. Booleans and integers keep
    their type if all values are known, except that `age` is always float.
    """
    metadata = {"subject": np.full(len(rows), "")}
    for name in PERSON_METADATA:
        if name in faces.metadata and (column := faces.metadata[name]).notna().any():
            column = column.iloc[rows]
            if not pd.api.types.is_numeric_dtype(column):
                metadata[name] = column.astype(object).fillna("").to_numpy(str)
            elif name == "age" or column.isna().any():
                metadata[name] = column.to_numpy(float, na_value=np.nan)
            else:
                metadata[name] = np.array(column.tolist())
    return metadata


Copies = Literal["drop", "drop-near", "refuse", "allow"]


class TaskSettings(Settings):
    """Settings that every task has."""

    copies: Copies = "drop"
    """what is done with copies of a test image, mirrored ones included, in training, partner sets, gate or selection. drop: they are left
    out there; drop-near: near twins as well; refuse: the task is refused; allow: they stay, and the result has a warning"""


class Images(NamedTuple):
    """Some images of one data set, on the device."""

    pixels: torch.Tensor
    """uint8 [n, c, s, s]; for clips [n, frames, c, s, s]; for a data set too large to be held: Pixels, which give batches of it"""
    labels: torch.Tensor
    """int64 [n]; -1 for none; with targets beyond one label: equal where two images are alike"""
    rows: np.ndarray
    """int64 [n]: the images' rows in the whole data set; for a clip, the row of its first frame"""
    values: torch.Tensor | None = None
    """float32 [n, outputs]: the answers beyond one label, as the task's target defines them"""
    hashes: np.ndarray | None = None
    """`image_hashes.hash_images` of the images, uint64 [n, 3]; for clips [n, frames, 3]; None: unknown"""
    groups: Mapping[str, np.ndarray] = MappingProxyType({})
    """by `subject` and `sequence`, where they are known: the name of each image's, object [n], None where it is unknown"""

    @classmethod
    def from_faces(cls, faces: FaceDataset, rows: np.ndarray, device: torch.device) -> "Images":
        labels = torch.from_numpy(faces.labels[rows]).to(device)
        index = faces.metadata.index.to_numpy()
        pixels = load_pixels(select_images(faces.images, rows), device)
        return cls(pixels, labels, index[rows], None, faces.hashes[rows], list_groups(faces, rows))

    def take_rows(self, rows: np.ndarray) -> "Images":
        """Return the images in `rows` (indices or a mask), in that order."""
        indices = np.flatnonzero(rows) if rows.dtype == bool else rows
        on_device = torch.from_numpy(indices).to(self.labels.device)
        pixels: Any = self.pixels.take_rows(indices) if isinstance(self.pixels, Pixels) else self.pixels[on_device]
        values = None if self.values is None else self.values[on_device]
        hashes = None if self.hashes is None else self.hashes[indices]
        groups = {unit: names[indices] for unit, names in self.groups.items()}
        return Images(pixels, self.labels[on_device], self.rows[indices], values, hashes, groups)

    def join_images(self, others: "Images") -> "Images":
        """Return these images followed by the others."""
        labels = torch.cat((self.labels, others.labels))
        values = None if self.values is None or others.values is None else torch.cat((self.values, others.values))
        hashes = None if self.hashes is None or others.hashes is None else np.concatenate((self.hashes, others.hashes))
        pixels = torch.cat((to_tensor(self.pixels), to_tensor(others.pixels)))
        groups = join_groups([self.groups, others.groups], [len(self.rows), len(others.rows)])
        return Images(pixels, labels, np.concatenate((self.rows, others.rows)), values, hashes, groups)


def list_groups(faces: FaceDataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the images' persons and sequences, where they are known, as `Images.groups`.

    Names begin with the data set's (`FaceDataset.name`), as those of a union do already.
    """
    prefix = "" if DATA_SET in faces.metadata else f"{faces.name}: "
    return {
        unit: np.array([None if pd.isna(name) else f"{prefix}{name}" for name in faces.metadata[unit].iloc[rows]], object)
        for unit in ("subject", "sequence")
        if unit in faces.metadata
    }


def join_groups(parts: Sequence[Mapping[str, np.ndarray]], sizes: Sequence[int]) -> dict[str, np.ndarray]:
    """Return the groups of several sets of images of these sizes, one after another."""
    units = dict.fromkeys(unit for part in parts for unit in part)
    return {unit: np.concatenate([part.get(unit, np.full(size, None)) for part, size in zip(parts, sizes, strict=True)]) for unit in units}


def describe_groups(metadata: pd.DataFrame) -> str:
    """Return what `name_groups` keeps together, with a remark if it is unknown of some images, as those of a set without persons."""
    groups, unit = name_groups(metadata)
    alone = unit != "image" and any(str(group).startswith("image ") for group in groups)
    return f"{unit} (image, where none is known)" if alone else unit


def has_fixed_test(metadata: pd.DataFrame) -> bool:
    """Return whether the test images of a data set, or of one of a union, are a fixed test part."""
    return FIXED_TEST in metadata and bool(metadata[FIXED_TEST].notna().any())


def describe_unit(metadata: pd.DataFrame) -> str:
    """Return the unit of a split that is the official one where a data set has one, and keeps persons or sequences together elsewhere."""
    official = metadata["split"].notna().to_numpy() if "split" in metadata else np.zeros(len(metadata), bool)
    if has_fixed_test(metadata):
        return f"{describe_groups(metadata)}; the test part is the same for every seed"
    unit = describe_groups(metadata[~official])
    return "official split" if official.all() else f"official split where there is one, else {unit}" if official.any() else unit


@dataclass(frozen=True)
class Task:
    """The images of one cell. The same settings and seed give every method the same task, so results can be paired."""

    classes: tuple[str, ...]
    """the meaning of each output: classes, or other names that the target gives"""
    train: Images
    val: Images
    test: Images
    split_hash: str
    metadata: dict[str, np.ndarray]
    """`get_known_metadata` of the test images"""
    partners: dict[str, Images] = field(default_factory=dict)
    """images of other roles, such as adults"""
    gate: Images | None = None
    """labelled images held out of training, by which a method decides; they are used neither for selection nor for testing"""
    target: str = "label"
    """name of the target in `trainables.data.prediction_targets.TARGETS`"""
    tests: dict[str, Images] = field(default_factory=dict)
    """further test sets, such as the test part of the training data; the result has their scores by these names"""
    balanced: bool = False
    """whether all classes have equally many training images"""
    unit: str = "image"
    """what the split keeps together, as the report states it"""
    warnings: tuple[str, ...] = ()
    """what a reader of a result must know of the split"""
    copies: dict[str, Any] = field(default_factory=dict)
    """what `copy_guard.guard_task` found: copies of images across the parts of the task"""
    kept_views: dict[Any, torch.Tensor] = field(default_factory=dict, repr=False, compare=False)
    """augmented views of the training images that several trainings use, by what they are made of"""
    scored: bool = False
    """whether results also hold the target's first score as `score`, so that tasks with several targets fit in one table"""

    def compute_scores(self, predictions: np.ndarray, images: Images) -> dict[str, float]:
        """Return scores by name of predictions [n, outputs] of some images."""
        values = None if images.values is None else images.values.cpu().numpy()
        scores = TARGETS[self.target].compute_scores(predictions, images.labels.cpu().numpy(), values, self.classes)
        return {"score": next(iter(scores.values())), **scores} if self.scored else scores

    @property
    def device(self) -> torch.device:
        return self.train.pixels.device

    @property
    def channels(self) -> int:
        return self.train.pixels.shape[-3]

    @property
    def size(self) -> int:
        return self.train.pixels.shape[-2]


def describe_images(task: Task) -> str:
    """Return the numbers of images in a task's parts, in one line."""
    each = f" ({len(task.train.rows) // len(task.classes):,} a class)" if task.balanced else ""
    parts = [f"{len(task.train.rows):,} training{each}", f"{len(task.val.rows):,} selection", f"{len(task.test.rows):,} test"]
    parts += [f"{len(task.gate.rows):,} gate"] if task.gate is not None else []
    return "images: " + ", ".join([*parts, *(f"{len(images.rows):,} {role}" for role, images in task.partners.items())])


class TaskKind(NamedTuple):
    """A registered kind of task: its settings (with `size`, `colour`), and `build(settings, {role: FaceDataset}, seed, device) -> Task`."""

    settings: type[TaskSettings]
    build: Callable[..., Task]
    roles: Callable[[Any], tuple[str, ...]] | None = None
    """returns those of a study's roles that the settings name, and a cell holds only these; None: all roles"""
    tested: Callable[[Any], Mapping[str, float]] | None = None
    """returns the roles that are tested on, with the share of test images that a fixed test part of each would have; None: it can have
    none"""
    fit: Callable[[Any, Mapping[str, tuple[str, ...]]], dict[str, Any]] | None = None
    """returns the settings, by name, that leave out the classes which the roles' data sets lack, given each role's classes; empty if they
    lack none; None: classes are no settings of this task"""


def keep_shared_classes(settings: Any, sets: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """Return the setting `classes` reduced to the classes that all of these data sets have; empty if they have all. For TaskKind.fit."""
    kept = tuple(name for name in settings.classes if all(name in classes for classes in sets))
    return {} if kept == tuple(settings.classes) else {"classes": kept}


TASKS: Registry[TaskKind] = Registry("task", "trainables.data.tasks")
