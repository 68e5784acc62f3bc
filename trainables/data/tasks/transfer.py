"""Labelled faces of one domain, unlabelled ones of another, and a gate of held-out labels (Florea et al. 2019, section 4)."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from trainables.cell import PERSON_METADATA
from trainables.data.dataset import CLASSES, FIXED_TEST, DataError, FaceDataset, name_groups
from trainables.data.device_pixels import load_pixels, to_tensor
from trainables.data.memory_map import join_images
from trainables.data.splits import group_by_official, hash_split
from trainables.data.stratified_group_split import split_groups
from trainables.data.task import TASKS, Images, Task, TaskKind, TaskSettings, describe_unit, get_known_metadata, join_groups, list_groups
from trainables.random_streams import make_generator
from trainables.registry import make_unknown_error

SEVEN = tuple(name for name in CLASSES if name != "contempt")
TRAIN, GATE, VAL, TEST = range(4)
PARTS = ("training", "gate", "selection", "test")
Gives = dict[str, tuple[str, ...]]
"""Roles, and the classes whose images each gives."""


class TransferTaskSettings(TaskSettings):
    """Settings of the task `transfer`."""

    labelled: Gives = Field(default={"labelled": SEVEN})
    """roles that are split, such as RAF-DB's faces and a folder of an eighth class; their classes are those of the task"""
    extra: Gives = Field(default={})
    """labelled roles of another domain that are added to training and never held out"""
    extra_images: int | None = Field(5000, ge=1)
    """maximum number of their images, drawn at random; more did not help (Florea et al. 2019, section 4.3)"""
    pool: tuple[str, ...] = ("pool",)
    """roles whose images are unlabelled; any labels that they have are the truth by which pseudo-labels are measured"""
    target: Gives = Field(default={})
    """roles of a target domain, whose labels are used neither for training nor for selection; part of their images are the test set, in
    place of the labelled roles' own, and the others join the unlabelled pool; not in the paper"""
    test: float = Field(0.45, gt=0, lt=1)
    """share of a data set that has no official test set"""
    validation: float = Field(0.1, gt=0, lt=1)
    """share of a data set (or of its official training set) that has no official validation set; half is the gate, half for selection"""
    size: int = Field(224, ge=8)
    """pixels a side"""
    colour: Literal["grey", "rgb"] = "rgb"

    @property
    def classes(self) -> tuple[str, ...]:
        given = {name for names in self.labelled.values() for name in names}
        return (*(name for name in CLASSES if name in given), *sorted(given - set(CLASSES)))


def list_roles(settings: TransferTaskSettings) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*settings.labelled, *settings.extra, *settings.target, *settings.pool)))


def build_task(settings: TransferTaskSettings, faces: dict[str, FaceDataset], seed: int, device: torch.device) -> Task:
    """Split the labelled roles' faces. A seed's split is the same for every method. Raises DataError for what cannot be split."""
    for role in list_roles(settings):
        if role not in faces:
            raise make_unknown_error("role", role, faces)
    _check_settings(settings, faces)
    labelled, source = _join_roles(settings.labelled, faces, settings.classes)
    part = np.full(len(labelled), TRAIN)
    for number in np.unique(source):  # two roles may use one data set, whose persons are assigned once
        rows = np.flatnonzero(source == number)
        rng = make_generator(seed, "split", number)
        for group in group_by_official(labelled.metadata.iloc[rows]):
            chosen = rows[group]
            part[chosen] = _assign_parts(labelled.labels[chosen], labelled.metadata.iloc[chosen], settings, rng)
    _check_parts(labelled, part, settings)
    train, gate, val, test = (np.flatnonzero(part == code) for code in range(4))
    tested, unlabelled, split_roles = labelled, None, settings.labelled
    if settings.target:
        tested, _ = _join_roles(
            settings.target, faces, settings.classes, start=_count_rows(settings.labelled, faces) + _count_rows(settings.extra, faces)
        )
        test, rest = _draw_target_rows(tested, settings, make_generator(seed, "target"))
        unlabelled, split_roles = Images.from_faces(tested, rest, device), settings.labelled | settings.target
    images = Images.from_faces(labelled, train, device)
    if settings.extra:
        extra, _ = _join_roles(settings.extra, faces, settings.classes, start=_count_rows(settings.labelled, faces))
        drawn = make_generator(seed, "extra").permutation(len(extra))[: settings.extra_images]
        images = images.join_images(Images.from_faces(extra, np.sort(drawn), device))
    fingerprints = "/".join(faces[role].fingerprint for role in sorted(split_roles))
    return Task(
        classes=settings.classes,
        train=images,
        val=Images.from_faces(labelled, val, device),
        test=Images.from_faces(tested, test, device),
        split_hash=hash_split((train, gate, val, test), fingerprints),
        unit=describe_unit(tested.metadata),
        metadata=get_known_metadata(tested, test),
        partners={"pool": _make_pool(settings, faces, device, unlabelled)},
        gate=Images.from_faces(labelled, gate, device),
    )


def _check_settings(settings: TransferTaskSettings, faces: dict[str, FaceDataset]) -> None:
    if not settings.labelled or not settings.classes:
        raise DataError("labelled: names no role with classes; nothing to learn from")
    if settings.test + settings.validation >= 1:
        raise DataError(f"test {settings.test} and validation {settings.validation} leave nothing to train on")
    if not settings.target and not _count_rows(settings.pool, faces):
        raise DataError(f"the unlabelled pool is empty: {'role ' + ', '.join(settings.pool) if settings.pool else 'pool names no role'}")
    for role, names in (settings.extra | settings.target).items():
        if missing := [name for name in names if name not in settings.classes]:
            raise DataError(f"role {role} gives the class {missing[0]}, which no labelled role gives")
    target_sets = {faces[role].fingerprint: role for role in settings.target}
    split_sets = target_sets | {faces[role].fingerprint: role for role in settings.labelled}
    for role in (*settings.labelled, *settings.extra, *settings.pool):
        forbidden = target_sets if role in settings.labelled and role not in settings.pool else split_sets
        if other := forbidden.get(faces[role].fingerprint):
            raise DataError(f"role {role} is the same data set as {other}: it would be trained on its test images")


def _join_roles(gives: Gives, faces: dict[str, FaceDataset], classes: tuple[str, ...], start: int = 0) -> tuple[FaceDataset, np.ndarray]:
    """Concatenate the roles' images of the classes they give, in the order of the roles' names. Also return each image's data set [n].

    The metadata index is the row in the concatenation of the whole data sets, counted from `start`.
    """
    parts, labels, metadata, sources = [], [], [], []
    seen: dict[str, int] = {}
    for role in sorted(gives):
        whole = faces[role]
        part = whole.select_classes(gives[role])
        parts.append(part)
        labels.append(np.array([classes.index(name) for name in gives[role]])[part.labels])
        columns = [name for name in (*PERSON_METADATA, "sequence", "split", FIXED_TEST) if name in part.metadata]
        metadata.append(part.metadata[columns].set_axis(part.metadata.index + start))
        sources.append(np.full(len(part), seen.setdefault(whole.fingerprint, len(seen))))
        start += len(whole)
    images, pieces = join_images([part.images for part in parts]), tuple((part, np.arange(len(part))) for part in parts)
    title = " and ".join(dict.fromkeys(faces[role].title for role in sorted(gives)))
    return FaceDataset(images, np.concatenate(labels), classes, pd.concat(metadata), title, parts=pieces), np.concatenate(sources)


def _assign_parts(labels: np.ndarray, metadata: pd.DataFrame, settings: TransferTaskSettings, rng: np.random.Generator) -> np.ndarray:
    """Return the part of each image of data sets by their official split. Parts that they lack are drawn from training."""
    official = metadata["split"].to_numpy(object) if "split" in metadata else np.full(len(metadata), None)
    persons, _ = name_groups(metadata)
    part = np.full(len(metadata), TEST)
    val, test = official == "val", official == "test"
    part[val] = split_groups(labels[val], persons[val], (0, 0.5, 0.5, 0), rng)
    half, tested = 0 if val.any() else settings.validation / 2, 0 if test.any() or settings.target else settings.test
    free = ~(val | test)
    part[free] = split_groups(labels[free], persons[free], (1 - 2 * half - tested, half, half, tested), rng)
    return part


def _count_rows(roles: Iterable[str], faces: dict[str, FaceDataset]) -> int:
    return sum(len(faces[role]) for role in roles)


def _draw_target_rows(target: FaceDataset, settings: TransferTaskSettings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the target's images that are tested on, and the other rows."""
    official = target.metadata["split"].to_numpy(object) == "test" if "split" in target.metadata else np.zeros(len(target), bool)
    part, persons = np.where(official, 1, 0), name_groups(target.metadata)[0]
    for rows in group_by_official(target.metadata):
        if not official[rows].any():
            part[rows] = split_groups(target.labels[rows], persons[rows], (1 - settings.test, settings.test), rng)
    for number, name in enumerate(target.classes):
        if (target.labels == number).any() and not (part[target.labels == number] == 1).any():
            raise DataError(f"{target.title}: class {name} has {(target.labels == number).sum()} images, and none is in the test part")
    return np.flatnonzero(part == 1), np.flatnonzero(part == 0)


def _check_parts(labelled: FaceDataset, part: np.ndarray, settings: TransferTaskSettings) -> None:
    for number, name in enumerate(labelled.classes):
        rows = labelled.labels == number
        for code, part_name in enumerate(PARTS[:TEST] if settings.target else PARTS):
            if not (rows & (part == code)).any():
                shares = f"test {settings.test}, validation {settings.validation}"
                raise DataError(f"{labelled.title}: class {name} has {rows.sum()} images, and none is in the {part_name} part ({shares})")


def _make_pool(settings: TransferTaskSettings, faces: dict[str, FaceDataset], device: torch.device, target: Images | None) -> Images:
    """Return the unlabelled images. Their labels are the true classes where these are known and of the task, else -1."""
    images, truths, hashes, groups = [], [], [], []
    for role in sorted(settings.pool):
        dataset = faces[role]
        names = np.array([*dataset.classes, ""], object)[dataset.labels]
        if "truth" in dataset.metadata:
            names = np.where(dataset.labels < 0, dataset.metadata["truth"].to_numpy(object), names)
        code = {name: number for number, name in enumerate(settings.classes)}
        truths.append(np.array([code.get(name, -1) for name in names], np.int64))
        images.append(dataset.images)
        hashes.append(dataset.hashes)
        groups.append(list_groups(dataset, np.arange(len(dataset))))
    if target:
        assert target.hashes is not None
        images, truths = [*images, to_tensor(target.pixels).cpu().numpy()], [*truths, target.labels.cpu().numpy()]
        hashes.append(target.hashes)
        groups.append(dict(target.groups))
    truth = torch.from_numpy(np.concatenate(truths)).to(device)
    pixels, joined = load_pixels(join_images(images), device), join_groups(groups, [len(part) for part in hashes])
    return Images(pixels, truth, np.arange(len(truth)), None, np.concatenate(hashes), joined)


def fit_classes(settings: TransferTaskSettings, classes: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Each role gives the classes that it has. Extra and target roles give no class that no labelled role gives."""

    def reduce(gives: Gives, among: Iterable[str] | None = None) -> Gives:
        return {
            role: tuple(name for name in names if name in classes.get(role, names) and (among is None or name in among))
            for role, names in gives.items()
        }

    labelled = reduce(settings.labelled)
    given = {name for names in labelled.values() for name in names}
    fitted = {"labelled": labelled, "extra": reduce(settings.extra, given), "target": reduce(settings.target, given)}
    return {name: gives for name, gives in fitted.items() if gives != getattr(settings, name)}


def list_tested(settings: TransferTaskSettings) -> dict[str, float]:
    return dict.fromkeys(settings.target or settings.labelled, settings.test)


TASKS.register("transfer")(TaskKind(TransferTaskSettings, build_task, list_roles, list_tested, fit_classes))
