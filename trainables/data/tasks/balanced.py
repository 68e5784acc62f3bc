"""A class-balanced share of one data set for training, and the rest halved into validation and test (Virgolin et al. 2022, section 3.2)."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from trainables.data.dataset import DataError, FaceDataset
from trainables.data.splits import balanced_split, hash_split
from trainables.data.task import TASKS, Images, Task, TaskKind, TaskSettings, get_known_metadata
from trainables.random_streams import make_generator
from trainables.registry import make_unknown_error

SEVEN = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


class BalancedTaskSettings(TaskSettings):
    """Settings of the task `balanced`."""

    target: str = "children"
    """role that is trained, selected and tested on"""
    partner: str | None = "adults"
    """role that contributes images to training only; it is never split"""
    split: float = Field(0.7, gt=0, lt=1)
    """share of the minority class that each class gives to training"""
    per_class: int | None = Field(None, ge=1)
    """class size of which `split` is a share; none: that of the minority class"""
    by: Literal["image", "subject"] = "image"
    """unit of the split: images (as in the paper) or persons, none of whom is then in two parts"""
    classes: tuple[str, ...] = SEVEN
    size: int = Field(48, ge=8)
    """pixels a side"""
    colour: Literal["grey", "rgb"] = "grey"


def build_task(settings: BalancedTaskSettings, faces: dict[str, FaceDataset], seed: int, device: torch.device) -> Task:
    """Split the target role's faces. A seed's split is the same for every method."""
    for role in filter(None, (settings.target, settings.partner)):
        if role not in faces:
            raise make_unknown_error("role", role, faces)
    target = faces[settings.target].select_classes(settings.classes)
    groups = None
    if settings.by == "subject":
        if "subject" not in target.metadata:
            raise DataError(f"{target.title}: knows no subjects, so it cannot be split by subject; use by=image")
        groups = target.metadata["subject"].to_numpy(object)  # `balanced_split` refuses a missing one
    split = balanced_split(
        target.labels, settings.split, make_generator(seed, "split"), per_class=settings.per_class, groups=groups, classes=settings.classes
    )
    partners = {}
    if settings.partner:
        partner = faces[settings.partner].select_classes(settings.classes)
        partners[settings.partner] = Images.from_faces(partner, np.arange(len(partner)), device)
    return Task(
        classes=settings.classes,
        train=Images.from_faces(target, split.train, device),
        val=Images.from_faces(target, split.val, device),
        test=Images.from_faces(target, split.test, device),
        split_hash=hash_split((target.metadata.index.to_numpy()[part] for part in split), faces[settings.target].fingerprint),
        metadata=get_known_metadata(target, split.test),
        partners=partners,
        balanced=True,
    )


TASKS.register("balanced")(TaskKind(BalancedTaskSettings, build_task))
