"""One data set with its own kind of answer, split officially or with an exemplar or person left out (Barros & Sciutti 2022, section IV)."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from trainables.data.dataset import CLASSES, DataError, FaceDataset, name_groups
from trainables.data.prediction_targets import TARGETS, list_clips
from trainables.data.splits import group_by_official, hash_split
from trainables.data.stratified_group_split import split_groups
from trainables.data.task import (
    TASKS,
    Images,
    Task,
    TaskKind,
    TaskSettings,
    describe_groups,
    describe_unit,
    get_known_metadata,
    has_fixed_test,
    keep_shared_classes,
)
from trainables.random_streams import make_generator
from trainables.registry import make_unknown_error

SEVEN = tuple(name for name in CLASSES if name != "contempt")
TRAIN, VAL, TEST = range(3)
FOLDS = 3
"""Number of exemplars that are left out in turn: a person's pictures of one expression in JAFFE."""


class AdaptationTaskSettings(TaskSettings):
    """Settings of the task `adaptation`."""

    role: str = "faces"
    """role that is trained, selected and tested on"""
    target: Literal["label", "votes", "affect", "labels"] = "label"
    """kind of answer"""
    classes: tuple[str, ...] = SEVEN
    """classes of the targets `label` and `votes`"""
    frames: int | None = Field(None, ge=1)
    """number of frames of each clip, if answers are for clips; none: answers are for images"""
    by: Literal["official", "exemplar", "subject"] = "official"
    """official: the data set's own split; exemplar, subject: one of them is the test set, and the seed determines which"""
    test: float = Field(0.3, gt=0, lt=1)
    """share of a data set that has no official held-out set"""
    validation: float = Field(0.15, gt=0, lt=1)
    """share of the images left for training, if no official set is for selection; a single held-out set (AffectNet's) is the test set"""
    images: int | None = Field(None, ge=1)
    """maximum number of images or clips to train on, drawn at random"""
    size: int = Field(96, ge=8)
    """pixels a side"""
    colour: Literal["grey", "rgb"] = "rgb"


def list_roles(settings: AdaptationTaskSettings) -> tuple[str, ...]:
    return (settings.role,)


def build_task(settings: AdaptationTaskSettings, faces: dict[str, FaceDataset], seed: int, device: torch.device) -> Task:
    """Build the task. A seed's split is the same for every method. Raises DataError for invalid answers and for what cannot be split."""
    if settings.role not in faces:
        raise make_unknown_error("role", settings.role, faces)
    whole = faces[settings.role]
    target = TARGETS[settings.target]
    answered, names, values = target.read_answers(whole, settings.classes)
    rows = list_clips(answered, settings.frames) if settings.frames else np.arange(len(answered))[:, None]
    first = rows[:, 0]
    strata = answered.labels[first] if target.one_class else np.zeros(len(rows), np.int64)
    part, unit = _assign_parts(strata, answered.metadata.iloc[first], whole.title, settings, seed)
    train, val, test = (np.flatnonzero(part == code) for code in range(3))
    for name, members in (("training", train), ("selection", val), ("test", test)):
        if not len(members):
            raise DataError(f"{whole.title}: none of {len(rows)} is in the {name} part ({settings.by} split)")
    if settings.images:
        train = np.sort(make_generator(seed, "images").permutation(train)[: settings.images])

    def images(chosen: np.ndarray) -> Images:
        frames = rows[chosen]
        result = Images.from_faces(answered, frames[:, 0], device)
        if settings.frames:
            result = result._replace(pixels=torch.from_numpy(answered.images[frames]).to(device), hashes=answered.hashes[frames])
        return result if values is None else result._replace(values=torch.from_numpy(values[frames[:, 0]]).to(device))

    return Task(
        classes=names,
        train=images(train),
        val=images(val),
        test=images(test),
        split_hash=hash_split((answered.metadata.index.to_numpy()[first[part]] for part in (train, val, test)), whole.fingerprint),
        metadata=get_known_metadata(answered, first[test]),
        target=settings.target,
        unit=unit,
        scored=True,
    )


def _assign_parts(
    labels: np.ndarray, metadata: pd.DataFrame, title: str, settings: AdaptationTaskSettings, seed: int
) -> tuple[np.ndarray, str]:
    """Return the part of each image or clip, and the unit of the split."""
    rng = make_generator(seed, "split")
    persons, _ = name_groups(metadata)
    unit = describe_groups(metadata)
    part = np.full(len(metadata), -1)
    groups = [np.arange(len(metadata))]
    if settings.by == "official" or has_fixed_test(metadata):  # a fixed test part takes the place of what would be left out
        groups = group_by_official(metadata)
        official = metadata["split"].to_numpy(object) if "split" in metadata else np.full(len(metadata), None)
        drawn = 0
        for rows in groups:
            val, test = rows[official[rows] == "val"], rows[official[rows] == "test"]
            if len(test) or len(val):
                part[test if len(test) else val] = TEST
                if len(test):
                    part[val] = VAL
            else:
                drawn += 1
                part[rows[split_groups(labels[rows], persons[rows], (1 - settings.test, settings.test), rng) == 1]] = TEST
        if has_fixed_test(metadata):
            unit = describe_unit(metadata)
        else:
            unit = "official split" if not drawn else unit if drawn == len(groups) else f"official split where there is one, else {unit}"
    elif "subject" in metadata and (unknown := int(metadata["subject"].isna().sum())):
        raise DataError(f"{title}: {unknown:,} images have no subject, which by={settings.by} goes by; use by=official")
    elif "subject" not in metadata:
        raise DataError(f"{title}: knows no subjects, so by={settings.by} has none to leave out; use by=official")
    elif settings.by == "exemplar":
        part[_number_exemplars(labels, metadata) == seed % FOLDS + 1] = TEST
        persons, unit = np.arange(len(metadata)).astype(object), "exemplar"  # all persons are in both, so selection is by image, too
    else:
        subjects = sorted(set(persons))
        part[persons == subjects[seed % len(subjects)]] = TEST
        unit = "subject"
    for rows in groups:
        if (part[rows] == VAL).any():
            continue
        free = rows[part[rows] < 0]
        part[free] = split_groups(labels[free], persons[free], (1 - settings.validation, settings.validation), rng)
    return np.where(part < 0, TRAIN, part), unit


def _number_exemplars(labels: np.ndarray, metadata: pd.DataFrame) -> np.ndarray:
    """Return each picture's number, from 1, among a person's pictures of an expression.

    If the data set does not number them, their order does.
    """
    counted = pd.Series(1, index=range(len(labels))).groupby([metadata["subject"].to_numpy(object), labels]).cumsum().to_numpy()
    if "exemplar" not in metadata:
        return counted
    numbered = metadata["exemplar"].to_numpy(float, na_value=np.nan)
    return np.where(np.isnan(numbered), counted, numbered)


def fit_classes(settings: AdaptationTaskSettings, classes: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    return keep_shared_classes(settings, [classes[settings.role]] if settings.target == "label" and settings.role in classes else [])


def list_tested(settings: AdaptationTaskSettings) -> dict[str, float]:
    return {settings.role: settings.test}


TASKS.register("adaptation")(TaskKind(AdaptationTaskSettings, build_task, list_roles, list_tested, fit_classes))
