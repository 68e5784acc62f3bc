"""Identification of persons in any data set that knows its subjects. Expressions are ignored."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from trainables.data.dataset import DataError, FaceDataset, require_of_each_set
from trainables.data.splits import hash_split
from trainables.data.task import TASKS, Images, Task, TaskKind, TaskSettings
from trainables.random_streams import make_generator
from trainables.registry import make_unknown_error

TRAIN, VAL, TEST = range(3)
PARTS = 3


class IdentityTaskSettings(TaskSettings):
    """Settings of the task `identity`."""

    persons: tuple[str, ...] = ("persons",)
    """roles whose subjects are told apart, from one or several data sets"""
    fewest: int = Field(PARTS, ge=PARTS)
    """minimum number of images of a subject; a subject with fewer is left out"""
    test: float = Field(0.1, gt=0, lt=1)
    """share of each subject's images"""
    validation: float = Field(0.1, gt=0, lt=1)
    size: int = Field(96, ge=8)
    """pixels a side"""
    colour: Literal["grey", "rgb"] = "rgb"


def list_roles(settings: IdentityTaskSettings) -> tuple[str, ...]:
    return tuple(dict.fromkeys(settings.persons))


def build_task(settings: IdentityTaskSettings, faces: dict[str, FaceDataset], seed: int, device: torch.device) -> Task:
    """Build the task. Each subject is a class with images in all three parts. Raises DataError for a data set without enough subjects."""
    if settings.test + settings.validation >= 1:
        raise DataError(f"test {settings.test} and validation {settings.validation} leave nothing to train on")
    parts, names = [], []
    for role in list_roles(settings):
        if role not in faces:
            raise make_unknown_error("role", role, faces)
        dataset = faces[role]
        if "subject" not in dataset.metadata:
            raise DataError(f"{dataset.title}: knows no subjects, so nobody can be told apart; name a data set that does for role {role}")
        require_of_each_set(dataset.metadata, dataset.metadata["subject"].notna().to_numpy(), "subjects")
        identified = dataset.take_rows(dataset.metadata["subject"].notna().to_numpy())
        parts.append(identified)
        # The title makes a name that is in two sets two persons.
        names.append(f"{dataset.title}: " + identified.metadata["subject"].astype(str).to_numpy(object))
    images, hashes, subject = (
        np.concatenate(arrays) for arrays in ([part.images for part in parts], [part.hashes for part in parts], names)
    )
    classes, codes, counts = np.unique(subject.astype(str), return_inverse=True, return_counts=True)
    frequent = np.flatnonzero(counts >= settings.fewest)
    if len(frequent) < 2:
        titles = " and ".join(faces[role].title for role in list_roles(settings))
        raise DataError(f"{titles}: {len(frequent)} subjects have {settings.fewest} images or more; nobody to tell apart")
    rows = np.flatnonzero(np.isin(codes, frequent))
    labels = np.searchsorted(frequent, codes[rows])
    part = _assign_parts(labels, settings, make_generator(seed, "split"))

    def some(number: int) -> Images:
        chosen = np.flatnonzero(part == number)
        pixels, codes = torch.from_numpy(images[rows[chosen]]), torch.from_numpy(labels[chosen])
        return Images(pixels.to(device), codes.to(device), rows[chosen], hashes=hashes[rows[chosen]])

    train, val, test = map(some, range(PARTS))  # TRAIN, VAL, TEST
    fingerprints = "/".join(faces[role].fingerprint for role in list_roles(settings))
    return Task(
        classes=tuple(name.rpartition(": ")[2] for name in classes[frequent]),
        train=train,
        val=val,
        test=test,
        split_hash=hash_split((train.rows, val.rows, test.rows), fingerprints),
        metadata={"subject": subject[test.rows].astype(str)},
    )


def _assign_parts(labels: np.ndarray, settings: IdentityTaskSettings, rng: np.random.Generator) -> np.ndarray:
    """Return the part of each image. Every subject is divided by the shares, with at least one image for selection and one for test.

    The function is fast for millions of images.
    """
    order = np.lexsort((rng.random(len(labels)), labels))
    sizes = np.bincount(labels)
    rank = np.empty(len(labels), np.int64)
    rank[order] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    test = np.maximum(1, np.rint(settings.test * sizes))[labels]
    val = np.maximum(1, np.rint(settings.validation * sizes))[labels]
    return np.where(rank < test, TEST, np.where(rank < test + val, VAL, TRAIN))


TASKS.register("identity")(TaskKind(IdentityTaskSettings, build_task, list_roles))
