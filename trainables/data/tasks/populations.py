"""Training on faces of one population, and test on its own test images and on one test split of another (Goghberg et al. 2019)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from trainables.cell import PERSON_METADATA
from trainables.data.dataset import FIXED_TEST, DataError, FaceDataset, name_groups, require_of_each_set
from trainables.data.device_pixels import to_tensor
from trainables.data.join_data_sets import join_data_sets
from trainables.data.splits import Split, group_by_official, hash_split
from trainables.data.stratified_group_split import split_groups
from trainables.data.task import TASKS, Images, Task, TaskKind, TaskSettings, describe_unit, get_known_metadata, keep_shared_classes
from trainables.random_streams import make_generator
from trainables.registry import make_unknown_error

SEVEN = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
PARTS = ("training", "selection", "test")
LUMA = (0.299, 0.587, 0.114)


class PopulationsTaskSettings(TaskSettings):
    """Settings of the task `populations`."""

    train: tuple[str, ...] = ()
    """roles whose union is used for training and selection; none: those of `test`"""
    test: tuple[str, ...] = ("children",)
    """roles whose union's test part is the test set of every arm; a role itself may have several data sets, as the paper's children"""
    classes: tuple[str, ...] = SEVEN
    """classes of the task; the split does not depend on them: with fewer classes, only the other classes' images are missing"""
    grey: bool = False
    """convert images to grey"""
    test_share: float = Field(0.1, gt=0, lt=1)
    """share of a union that has no official test set; the paper's is 602 of 6,395"""
    validation: float = Field(0.1, gt=0, lt=1)
    """share of a union that has no official validation set; not stated in the paper"""
    size: int = Field(96, ge=8)
    """pixels a side; not stated in the paper"""
    colour: Literal["rgb"] = "rgb"
    """colour in which images are read"""


def list_roles(settings: PopulationsTaskSettings) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*settings.train, *settings.test)))


def build_task(settings: PopulationsTaskSettings, faces: dict[str, FaceDataset], seed: int, device: torch.device) -> Task:
    """Split each union, by person if persons are known. A seed's split is the same for every arm.

    Raises DataError for unsuitable settings or data.
    """
    for role in list_roles(settings):
        if role not in faces:
            raise make_unknown_error("role", role, faces)
    _check_settings(settings, faces)
    trained = tested = _join_roles(settings.test, faces)
    own = split = _split_rows(tested, settings, make_generator(seed, "split", *settings.test))
    if settings.train:
        trained = _join_roles(settings.train, faces)
        own = _split_rows(trained, settings, make_generator(seed, "split", *settings.train))
    test = _make_images(tested, split.test, settings, "test", device)
    labelled = tested.select_classes(settings.classes)
    return Task(
        classes=settings.classes,
        train=_make_images(trained, own.train, settings, "training", device),
        val=_make_images(trained, own.val, settings, "selection", device),
        test=test,
        split_hash=hash_split(split, tested.fingerprint),
        unit=describe_unit(tested.metadata),
        metadata=get_known_metadata(labelled, labelled.metadata.index.get_indexer(pd.Index(test.rows))),
        tests={"own": _make_images(trained, own.test, settings, "test", device)},
    )


def _check_settings(settings: PopulationsTaskSettings, faces: dict[str, FaceDataset]) -> None:
    if settings.test_share + settings.validation >= 1:
        raise DataError(f"test_share {settings.test_share} and validation {settings.validation} leave nothing to train on")
    if not settings.test:
        raise DataError("test: names no role; nothing to test on")
    for union in (settings.train, settings.test):
        rendered = {role: "rendered" in faces[role].title for role in union}
        if len(set(rendered.values())) > 1:
            names = ", ".join(role for role in union if rendered[role])
            raise DataError(
                f"{', '.join(union)}: rendered faces ({names}) and photographs together; leave out what you have no photographs of"
            )
    prints = {faces[role].fingerprint: role for role in settings.test}
    for role in settings.train:
        if other := prints.get(faces[role].fingerprint):
            raise DataError(f"role {role} is trained on and has the images of {other}, which are tested on; leave it out of one of them")


def _join_roles(names: tuple[str, ...], faces: dict[str, FaceDataset]) -> FaceDataset:
    """Return the labelled images of these roles, each data set once.

    The metadata index counts the rows of the whole data sets.
    """
    datasets = list({faces[role].fingerprint: faces[role] for role in names}.values())
    union = join_data_sets(datasets, [dataset.name for dataset in datasets])
    require_of_each_set(union.metadata, union.labels >= 0, "labels")
    labelled = union.take_rows(np.flatnonzero(union.labels >= 0))
    return replace(
        labelled,
        metadata=labelled.metadata[[name for name in (*PERSON_METADATA, "sequence", "split", FIXED_TEST) if name in labelled.metadata]],
        title=" and ".join(dataset.title for dataset in datasets),
    )


def _split_rows(faces: FaceDataset, settings: PopulationsTaskSettings, rng: np.random.Generator) -> Split:
    """Return the split of the union's rows: the official one. Parts that a data set lacks are drawn from its training images."""
    count = len(faces)
    official = faces.metadata["split"].to_numpy(object) if "split" in faces.metadata else np.full(count, None)
    persons, _ = name_groups(faces.metadata)
    val, test = official == "val", official == "test"
    part = np.where(test, 2, np.where(val, 1, 0))
    for rows in group_by_official(faces.metadata):
        shares = (0.0 if val[rows].any() else settings.validation, 0.0 if test[rows].any() else settings.test_share)
        free = rows[~(val | test)[rows]]
        part[free] = split_groups(faces.labels[free], persons[free], (1 - sum(shares), *shares), rng)
    return Split(*(np.flatnonzero(part == code) for code in range(3)))


def _make_images(faces: FaceDataset, rows: np.ndarray, settings: PopulationsTaskSettings, part: str, device: torch.device) -> Images:
    """Return the rows' images of the task's classes, in grey if the settings say so. Raises DataError for an empty class."""
    selected = faces.take_rows(rows).select_classes(settings.classes)
    counts = np.bincount(selected.labels, minlength=len(settings.classes))
    if not counts.all():
        name = settings.classes[int(counts.argmin())]
        shares = f"test_share {settings.test_share}, validation {settings.validation}"
        raise DataError(f"{faces.title}: class {name} has no image in the {part} part ({shares})")
    images = Images.from_faces(selected, np.arange(len(selected)), device)
    return images._replace(pixels=convert_to_grey(to_tensor(images.pixels))) if settings.grey else images


def convert_to_grey(pixels: torch.Tensor) -> torch.Tensor:
    """Convert uint8 [n, 3, s, s] to [n, 1, s, s]."""
    weights = torch.tensor(LUMA, device=pixels.device).view(3, 1, 1)
    return (pixels * weights).sum(1, keepdim=True).round().to(torch.uint8)


def fit_classes(settings: PopulationsTaskSettings, classes: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    unions = [union for union in (settings.train, settings.test) if union and all(role in classes for role in union)]
    return keep_shared_classes(settings, [tuple({name for role in union for name in classes[role]}) for union in unions])


def list_tested(settings: PopulationsTaskSettings) -> dict[str, float]:
    return dict.fromkeys(settings.test, settings.test_share)


TASKS.register("populations")(TaskKind(PopulationsTaskSettings, build_task, list_roles, list_tested, fit_classes))
