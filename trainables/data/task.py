"""Task: the images a cell trains, selects and is tested on. How they come from data sets is one file each in tasks/."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from trainables.data.dataset import Faces
from trainables.registry import Registry
from trainables.settings import Settings


class Images(NamedTuple):
    """Some images of one data set, on the device."""

    pixels: torch.Tensor
    """uint8 [n, c, s, s]"""
    labels: torch.Tensor
    """int64 [n]; -1 where there is none"""
    rows: np.ndarray
    """int64 [n]: which rows of the whole data set they are"""

    @classmethod
    def of(cls, faces: Faces, rows: np.ndarray, device: torch.device) -> "Images":
        pixels, labels = torch.from_numpy(faces.images[rows]), torch.from_numpy(faces.labels[rows])
        return cls(pixels.to(device), labels.to(device), faces.facts.index.to_numpy()[rows])


@dataclass(frozen=True)
class Task:
    """What one cell sees. The same settings and seed give the same task to every method, so results can be paired."""

    classes: tuple[str, ...]
    train: Images
    val: Images
    test: Images
    split_hash: str
    subjects: np.ndarray
    """str [n_test]: who is on each test image; empty strings where unknown"""
    partners: dict[str, Images] = field(default_factory=dict)
    """images of other roles, such as adults"""

    @property
    def device(self) -> torch.device:
        return self.train.pixels.device

    @property
    def channels(self) -> int:
        return self.train.pixels.shape[1]

    @property
    def size(self) -> int:
        return self.train.pixels.shape[2]


class TaskKind(NamedTuple):
    """A registered way: its settings, and `build(settings, {role: Faces}, seed, device) -> Task`. Settings have `size` and `colour`."""

    settings: type[Settings]
    build: Callable[..., Task]


TASKS: Registry[TaskKind] = Registry("task", "trainables.data.tasks")
