"""A class-balanced share of one data set for training, and the rest halved into validation and test (Virgolin et al. 2022, section 3.2)."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from trainables.data.dataset import DataError, FaceDataset, name_groups
from trainables.data.fixed_test import USUAL_SHARE
from trainables.data.splits import Split, balanced_split, hash_split
from trainables.data.task import TASKS, Images, Task, TaskKind, TaskSettings, get_known_metadata, has_fixed_test, keep_shared_classes
from trainables.random_streams import make_generator
from trainables.registry import make_unknown_error

FEWEST_GROUPS = 3
"""Persons (or sequences) of a class that a split needs: one for each part."""
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
    by: Literal["image", "subject", "sequence", "auto"] = "image"
    """unit of the split. image: as in the paper; subject, sequence: no person, or no sequence of frames, is in two parts; auto: subject
    or else sequence, where they are known and three or more of them are in every class, else image"""
    classes: tuple[str, ...] = SEVEN
    size: int = Field(48, ge=8)
    """pixels a side"""
    colour: Literal["grey", "rgb"] = "grey"


def list_roles(settings: BalancedTaskSettings) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (settings.target, settings.partner))))


def build_task(settings: BalancedTaskSettings, faces: dict[str, FaceDataset], seed: int, device: torch.device) -> Task:
    """Split the target role's faces. A seed's split is the same for every method."""
    for role in filter(None, (settings.target, settings.partner)):
        if role not in faces:
            raise make_unknown_error("role", role, faces)
    target = faces[settings.target].select_classes(settings.classes)
    unit = _choose_unit(target) if settings.by == "auto" else settings.by
    groups = None
    if unit != "image":
        if unit not in target.metadata:
            raise DataError(f"{target.title}: knows no {unit}s, so it cannot be split by {unit}; use by=image")
        groups = target.metadata[unit].to_numpy(object)  # `balanced_split` refuses a missing one
        if settings.by == "auto":
            groups, _ = name_groups(target.metadata, [unit])
    labels, fixed_test = target.labels, np.zeros(len(target), bool)
    if has_fixed_test(target.metadata):
        fixed_test = target.metadata["split"].to_numpy(object) == "test"
        labels = np.where(fixed_test, -1, labels)
    split = balanced_split(
        labels, settings.split, make_generator(seed, "split"), per_class=settings.per_class, groups=groups, classes=settings.classes
    )
    if fixed_test.any():
        split = split._replace(test=np.flatnonzero(fixed_test))
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
        unit=f"{unit}; the test part is the same for every seed" if fixed_test.any() else unit,
        warnings=(*_warn_of_persons(settings, target, unit), *_warn_of_balance(settings, target, split)),
    )


def _choose_unit(target: FaceDataset) -> str:
    """Return the unit by which the images can be split so that none of a person, or else of a sequence, is in two parts."""
    for unit in ("subject", "sequence"):
        names, known = name_groups(target.metadata, [unit])
        counts = pd.Series(names).groupby(target.labels).nunique()
        if known == unit and len(counts) == len(target.classes) and counts.min() >= FEWEST_GROUPS:
            return unit
    return "image"


def _warn_of_balance(settings: BalancedTaskSettings, target: FaceDataset, split: Split) -> tuple[str, ...]:
    """Return a warning if training takes less than a tenth of the images, and not because `per_class` asks for it."""
    total, train = sum(map(len, split)), len(split.train)
    if settings.per_class or 10 * train >= total:
        return ()
    counts = np.bincount(target.labels, minlength=len(target.classes))
    rare = int(counts.argmin())
    size = f"{train:,} of {total:,} images, {train // len(target.classes):,} a class"
    return (f"few training images: {size}, because the rarest class, {target.classes[rare]}, has {counts[rare]:,}",)


def _warn_of_persons(settings: BalancedTaskSettings, target: FaceDataset, unit: str) -> tuple[str, ...]:
    if settings.by != "auto" or unit == "subject" or "subject" not in target.metadata:
        return ()
    return (f"persons in training and test: split by {unit}, because a class has fewer than {FEWEST_GROUPS} persons",)


def fit_classes(settings: BalancedTaskSettings, classes: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    return keep_shared_classes(settings, [classes[role] for role in (settings.target, settings.partner) if role and role in classes])


def list_tested(settings: BalancedTaskSettings) -> dict[str, float]:
    return {settings.target: USUAL_SHARE}


TASKS.register("balanced")(TaskKind(BalancedTaskSettings, build_task, list_roles, list_tested, fit_classes))
