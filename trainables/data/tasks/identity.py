"""Persons told apart: any data set that knows its subjects, its expressions not looked at."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from trainables.data.dataset import DataError, FaceDataset
from trainables.data.splits import hash_split
from trainables.data.task import TASKS, Images, Task, TaskKind
from trainables.registry import make_unknown_error
from trainables.settings import Settings
from trainables.streams import make_generator

TRAIN, VAL, TEST = range(3)
PARTS = 3


class IdentityTaskSettings(Settings):
    """Settings of the task `identity`."""

    persons: tuple[str, ...] = ("persons",)
    """roles whose subjects are told apart, of one or several data sets"""
    fewest: int = Field(PARTS, ge=PARTS)
    """images of a subject below which it is left out"""
    test: float = Field(0.1, gt=0, lt=1)
    """share of each subject's images"""
    validation: float = Field(0.1, gt=0, lt=1)
    size: int = Field(96, ge=8)
    """pixels a side"""
    colour: Literal["grey", "rgb"] = "rgb"


def list_roles(settings: IdentityTaskSettings) -> tuple[str, ...]:
    return tuple(dict.fromkeys(settings.persons))


def build_task(settings: IdentityTaskSettings, faces: dict[str, FaceDataset], seed: int, device: torch.device) -> Task:
    """Each subject is a class, its images dealt to all three parts. DataError for a data set that knows no subjects, or too few."""
    if settings.test + settings.validation >= 1:
        raise DataError(f"test {settings.test} and validation {settings.validation} leave nothing to train on")
    parts, names = [], []
    for role in list_roles(settings):
        if role not in faces:
            raise make_unknown_error("role", role, faces)
        each = faces[role]
        if "subject" not in each.metadata:
            raise DataError(f"{each.title}: knows no subjects, so nobody can be told apart; name a data set that does for role {role}")
        named = each.take_rows(each.metadata["subject"].notna().to_numpy())
        parts.append(named.images)
        names.append(f"{each.title}: " + named.metadata["subject"].astype(str).to_numpy(object))  # one name in two sets is two persons
    images, subject = np.concatenate(parts), np.concatenate(names)
    classes, codes, counts = np.unique(subject.astype(str), return_inverse=True, return_counts=True)
    kept = np.flatnonzero(counts >= settings.fewest)
    if len(kept) < 2:
        titles = " and ".join(faces[role].title for role in list_roles(settings))
        raise DataError(f"{titles}: {len(kept)} subjects have {settings.fewest} images or more; nobody to tell apart")
    rows = np.flatnonzero(np.isin(codes, kept))
    labels = np.searchsorted(kept, codes[rows])
    part = _assign_parts(labels, settings, make_generator(seed, "split"))

    def some(number: int) -> Images:
        mine = np.flatnonzero(part == number)
        pixels, codes = torch.from_numpy(images[rows[mine]]), torch.from_numpy(labels[mine])
        return Images(pixels.to(device), codes.to(device), rows[mine])

    train, val, test = map(some, range(PARTS))  # TRAIN, VAL, TEST
    fingerprints = "/".join(faces[role].fingerprint for role in list_roles(settings))
    return Task(
        classes=tuple(name.rpartition(": ")[2] for name in classes[kept]),
        train=train,
        val=val,
        test=test,
        split_hash=hash_split((train.rows, val.rows, test.rows), fingerprints),
        metadata={"subject": subject[test.rows].astype(str)},
    )


def _assign_parts(labels: np.ndarray, settings: IdentityTaskSettings, rng: np.random.Generator) -> np.ndarray:
    """The part of each image: of every subject the shares, one image at least to select and to test by. Fast for millions of images."""
    order = np.lexsort((rng.random(len(labels)), labels))
    sizes = np.bincount(labels)
    rank = np.empty(len(labels), np.int64)
    rank[order] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    test = np.maximum(1, np.rint(settings.test * sizes))[labels]
    val = np.maximum(1, np.rint(settings.validation * sizes))[labels]
    return np.where(rank < test, TEST, np.where(rank < test + val, VAL, TRAIN))


TASKS.register("identity")(TaskKind(IdentityTaskSettings, build_task, list_roles))
