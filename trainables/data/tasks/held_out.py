"""One data set split officially, by folds of persons, or with a person or an exemplar left out. Training takes all images left."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from trainables.data.dataset import DataError, FaceDataset, name_groups, require_of_each_set
from trainables.data.fixed_test import USUAL_SHARE
from trainables.data.splits import Split, fold_split, hash_split, left_out_split, official_split
from trainables.data.task import (
    TASKS,
    Images,
    Task,
    TaskKind,
    TaskSettings,
    describe_unit,
    get_known_metadata,
    has_fixed_test,
    keep_shared_classes,
)
from trainables.random_streams import make_generator
from trainables.registry import make_unknown_error


class HeldOutTaskSettings(TaskSettings):
    """Settings of the task `held_out`."""

    target: str = "adults"
    """role that is trained, selected and tested on"""
    by: Literal["official", "fold", "subject", "exemplar"] = "official"
    """official: the data set's own split; fold: folds of persons (of images if no subjects are known, with copies of an image in one fold);
    subject, exemplar: one of them is the test set"""
    which: int | None = Field(None, ge=0)
    """number of the fold, subject or exemplar, from 0; none: the seed sets it, so that as many seeds as numbers cover all"""
    folds: int = Field(5, ge=2)
    validation: float = Field(0.2, gt=0, lt=1)
    """share of the images left for training, drawn person by person, if no official part is for validation"""
    classes: tuple[str, ...] = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    size: int = Field(48, ge=8)
    """pixels a side"""
    colour: Literal["grey", "rgb"] = "grey"


def list_roles(settings: HeldOutTaskSettings) -> tuple[str, ...]:
    return (settings.target,)


def build_task(settings: HeldOutTaskSettings, faces: dict[str, FaceDataset], seed: int, device: torch.device) -> Task:
    """Build the task. A seed's split is the same for every method. The assignment of folds is the same for every seed."""
    if settings.target not in faces:
        raise make_unknown_error("role", settings.target, faces)
    whole = faces[settings.target]
    target = whole.select_classes(settings.classes)
    units = {"official": "official split", "fold": name_groups(whole.metadata)[1]}
    split = _cut_split(settings, target, whole.persons[target.metadata.index.to_numpy()], seed)
    return Task(
        classes=settings.classes,
        train=Images.from_faces(target, split.train, device),
        val=Images.from_faces(target, split.val, device),
        test=Images.from_faces(target, split.test, device),
        split_hash=hash_split([target.metadata.index.to_numpy()[part] for part in split], whole.fingerprint),
        metadata=get_known_metadata(target, split.test),
        unit=describe_unit(whole.metadata) if has_fixed_test(whole.metadata) else units.get(settings.by, settings.by),
    )


def _cut_split(settings: HeldOutTaskSettings, target: FaceDataset, persons: np.ndarray, seed: int) -> Split:
    metadata, labels, share = target.metadata, target.labels, settings.validation
    if has_fixed_test(metadata):
        return official_split(labels, metadata["split"].to_numpy(object), persons, share, make_generator(seed, "split"))
    if settings.by == "subject" and "subject" not in metadata:
        raise DataError(f"{target.title}: knows no subjects, so none can be left out; use by=official or by=fold")
    column = "split" if settings.by == "official" else "exemplar"
    if settings.by in ("official", "exemplar") and column not in metadata:
        raise DataError(f"{target.title}: has no {'official split' if column == 'split' else 'exemplars'}; use by=fold or by=subject")
    if settings.by in ("official", "exemplar"):
        require_of_each_set(metadata, metadata[column].notna().to_numpy(), "official split" if column == "split" else "exemplars")
    try:
        if settings.by == "official":
            return official_split(labels, metadata["split"].to_numpy(object), persons, share, make_generator(seed, "split"))
        if settings.by == "fold":
            which = seed % settings.folds if settings.which is None else settings.which
            return fold_split(labels, persons, which, settings.folds, share, make_generator(0, "folds"))
        groups = persons if settings.by == "subject" else metadata["exemplar"].to_numpy()
        which = seed % len(set(groups)) if settings.which is None else settings.which
        return left_out_split(labels, groups, which, persons, share, make_generator(seed, "split"))
    except DataError as error:
        raise DataError(f"{target.title}: {error}") from None


def fit_classes(settings: HeldOutTaskSettings, classes: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    return keep_shared_classes(settings, [classes[settings.target]] if settings.target in classes else [])


def list_tested(settings: HeldOutTaskSettings) -> dict[str, float]:
    return {settings.target: USUAL_SHARE}


TASKS.register("held_out")(TaskKind(HeldOutTaskSettings, build_task, list_roles, list_tested, fit_classes))
