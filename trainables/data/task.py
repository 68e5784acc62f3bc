"""Task: the images a cell trains, selects and is tested on. How they come from data sets is one file each in tasks/."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from trainables.data.dataset import FaceDataset
from trainables.data.mapped import select_images
from trainables.data.pixels import load_pixels, to_tensor
from trainables.data.targets import TARGETS
from trainables.registry import Registry
from trainables.settings import Settings

METADATA = ("subject", "sex", "age", "ethnicity", "mouth_open")
"""of those that a data set may know, the ones that results are broken down by"""


def get_known_metadata(faces: FaceDataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """METADATA of the images in `rows`, each [n], without those of which the data set knows nothing.

    Texts are str, empty where unknown; `subject` is always there. Numbers are float, NaN where unknown; truth values and whole
    numbers stay what they are where all are known, `age` is a float nonetheless.
    """
    metadata = {"subject": np.full(len(rows), "")}
    for name in METADATA:
        if name in faces.metadata and (column := faces.metadata[name]).notna().any():
            column = column.iloc[rows]
            if not pd.api.types.is_numeric_dtype(column):
                metadata[name] = column.astype(object).fillna("").to_numpy(str)
            elif name == "age" or column.isna().any():
                metadata[name] = column.to_numpy(float, na_value=np.nan)
            else:
                metadata[name] = np.array(column.tolist())
    return metadata


class Images(NamedTuple):
    """Some images of one data set, on the device."""

    pixels: torch.Tensor
    """uint8 [n, c, s, s]; of clips [n, frames, c, s, s]; of a data set too large to be held: Pixels, which gives batches of it"""
    labels: torch.Tensor
    """int64 [n]; -1 where there is none; with targets beyond one label: equal where two images are alike"""
    rows: np.ndarray
    """int64 [n]: which rows of the whole data set they are; of a clip its first frame's"""
    values: torch.Tensor | None = None
    """float32 [n, outputs]: the answers beyond one label, as the task's target has them"""

    @classmethod
    def from_faces(cls, faces: FaceDataset, rows: np.ndarray, device: torch.device) -> "Images":
        labels = torch.from_numpy(faces.labels[rows]).to(device)
        return cls(load_pixels(select_images(faces.images, rows), device), labels, faces.metadata.index.to_numpy()[rows])

    def join_images(self, others: "Images") -> "Images":
        """These images and then the others."""
        labels = torch.cat((self.labels, others.labels))
        values = None if self.values is None or others.values is None else torch.cat((self.values, others.values))
        return Images(
            torch.cat((to_tensor(self.pixels), to_tensor(others.pixels))), labels, np.concatenate((self.rows, others.rows)), values
        )


@dataclass(frozen=True)
class Task:
    """What one cell sees. The same settings and seed give the same task to every method, so results can be paired."""

    classes: tuple[str, ...]
    """what each output stands for: classes, or what else the target names"""
    train: Images
    val: Images
    test: Images
    split_hash: str
    metadata: dict[str, np.ndarray]
    """`get_known_metadata` of the test images"""
    partners: dict[str, Images] = field(default_factory=dict)
    """images of other roles, such as adults"""
    gate: Images | None = None
    """labelled images held out of training for a method to decide by; nobody selects or tests on them"""
    target: str = "label"
    """what is answered: a name in `trainables.data.targets.TARGETS`"""
    tests: dict[str, Images] = field(default_factory=dict)
    """further test sets, such as the own one of what is trained on: their scores are in the result by these names"""
    scored: bool = False
    """results hold the target's first score as `score`, too: by it tasks with several targets stand in one table"""

    def compute_scores(self, predictions: np.ndarray, images: Images) -> dict[str, float]:
        """Scores by name of predictions [n, outputs] of some images."""
        values = None if images.values is None else images.values.cpu().numpy()
        found = TARGETS[self.target].compute_scores(predictions, images.labels.cpu().numpy(), values, self.classes)
        return {"score": next(iter(found.values())), **found} if self.scored else found

    @property
    def device(self) -> torch.device:
        return self.train.pixels.device

    @property
    def channels(self) -> int:
        return self.train.pixels.shape[-3]

    @property
    def size(self) -> int:
        return self.train.pixels.shape[-2]


class TaskKind(NamedTuple):
    """A registered kind: its settings (with `size`, `colour`), and `build(settings, {role: FaceDataset}, seed, device) -> Task`."""

    settings: type[Settings]
    build: Callable[..., Task]
    roles: Callable[[Any], tuple[str, ...]] | None = None
    """of a study's roles, those that these settings name: a cell holds no others; none: all"""


TASKS: Registry[TaskKind] = Registry("task", "trainables.data.tasks")
