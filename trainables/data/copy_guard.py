"""The copy guard: no image of a test set is trained on, and none stands on two sides of a task.

Data sets hold copies: downloads that were merged, files that were moved by hand, one set in two roles. A network is then tested on what it
has learnt by heart. The guard looks at every task after it is built. The sides are test, selection, gate and training, in this order, and
partner sets count as training. An image that is on two sides stays on the first of them.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from trainables.data.dataset import DataError
from trainables.data.image_hashes import (
    ALIKE,
    BLOCK,
    IDENTICAL,
    MIRRORED,
    NEAR,
    THUMB,
    UNIFORM,
    find_pairs,
    hash_images,
    make_thumbs,
    measure_likeness,
)
from trainables.data.task import Copies, Images, Task
from trainables.random_streams import make_generator

WORTH_A_WARNING = 0.01
"""Share of the test images from which on copies or near twins of them in training are a warning."""


class _Side(NamedTuple):
    """Images of one side with their hashes [n, frames, 3]; an image that is no clip has one frame."""

    images: Images
    hashes: np.ndarray

    @classmethod
    def of(cls, images: Images) -> "_Side":
        hashes = images.hashes
        if hashes is None:
            pixels = images.pixels[:].cpu().numpy()
            flat = hash_images(pixels.reshape(-1, *pixels.shape[-3:]))
            hashes = flat.reshape(*pixels.shape[:-3], flat.shape[-1])
        return cls(images, hashes if hashes.ndim == 3 else hashes[:, None])

    @property
    def frames(self) -> int:
        return int(self.hashes.shape[1])

    def get_thumbs(self, rows: np.ndarray, mirrored: bool = False) -> np.ndarray:
        """Return the thumbs of these frames, counted over all images, or of their mirror images."""
        parts = [np.empty((0, THUMB * THUMB), np.float32)]
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            images, position = np.unique(block // self.frames, return_inverse=True)
            pixels = self.images.pixels[torch.from_numpy(images).to(self.images.labels.device)].cpu().numpy()[position]
            frames = pixels if pixels.ndim == 4 else pixels[np.arange(len(block)), block % self.frames]
            parts.append(make_thumbs(frames[..., ::-1] if mirrored else frames))
        return np.concatenate(parts)


def guard_task(task: Task, policy: Copies, seed: int) -> Task:
    """Return the task without copies across its sides, as `policy` says, with what was found in `copies`.

    The test sets never change, so all arms of a comparison keep the same one. A balanced training set stays balanced: images of the
    other classes, drawn at random, are left out with the copies. Raises DataError if the policy is to refuse copies and there are some,
    and if a class, or selection or gate as a whole, has no images left.
    """
    earlier = [_Side.of(images) for images in (task.test, *task.tests.values())]
    later = [("selection", task.val), *([("gate", task.gate)] if task.gate else []), ("training", task.train)]
    later += [(f"partner {role}", images) for role, images in task.partners.items()]
    copied, near = np.zeros(len(task.test.rows), bool), np.zeros(len(task.test.rows), bool)
    kept: dict[str, Images] = {}
    sides: dict[str, dict[str, int]] = {}
    for name, images in later:
        side, trained = _Side.of(images), name not in ("selection", "gate")
        is_copy, is_near = np.zeros(len(images.rows), bool), np.zeros(len(images.rows), bool)
        for number, other in enumerate(earlier):
            here, there = _match_identical(side, other)
            near_here, near_there = _match_near(side, other)
            is_copy, is_near = is_copy | here, is_near | near_here
            if trained and number == 0:
                copied, near = copied | there, near | near_there
        is_near &= ~is_copy
        lost = is_copy | is_near if policy == "drop-near" else is_copy & (policy == "drop")
        counts = {"images": len(is_copy), "copies": int(is_copy.sum()), "near": int(is_near.sum()), "dropped": int(lost.sum())}
        if policy == "refuse" and is_copy.any():
            count = f"{counts['copies']:,} of {len(is_copy):,} images of {name}"
            raise DataError(f"{count} are copies of images that the task tests, selects or decides by; remove them, or use copies=drop")
        keep = _keep_balance(task, ~lost, seed) if name == "training" and lost.any() else ~lost
        counts["unused"] = int(lost.size - keep.sum()) - counts["dropped"]
        if is_copy.any() or is_near.any():
            sides[name] = counts
        kept[name] = _take_kept(task, name, images, keep) if lost.any() else images
        if not trained:
            earlier.append(side)
    return replace(
        task,
        val=kept["selection"],
        gate=kept.get("gate"),
        train=kept["training"],
        partners={role: kept[f"partner {role}"] for role in task.partners},
        copies={
            "policy": policy,
            "test": len(task.test.rows),
            "copied": int(copied.sum()),
            "near": int((near & ~copied).sum()),
            "sides": sides,
        },
    )


def describe_copies(copies: dict[str, Any]) -> str:
    """Return what `guard_task` found, in one line."""
    if not copies["sides"]:
        return "copies: no image is on two sides of training, selection and test"
    parts = []
    for name, counts in copies["sides"].items():
        done = f", {counts['dropped']:,} left out" if counts["copies"] or counts["dropped"] else ""
        unused = f" (and {counts['unused']:,} more, to keep the classes balanced)" if counts["unused"] else ""
        parts.append(
            f"{name}: {counts['copies']:,} copies and {counts['near']:,} near twins among {counts['images']:,} images{done}{unused}"
        )
    total = f"{copies['copied']:,} of {copies['test']:,} test images {'have' if copies['policy'] == 'allow' else 'had'} copies in training"
    return f"copies={copies['policy']}: {'; '.join(parts)}; {total}"


def list_copy_warnings(copies: dict[str, Any]) -> list[str]:
    """Return the warnings that a reader of a result must see: what `guard_task` found, from 1 % of the test images on."""
    if not copies:
        return []
    total, policy, warnings = copies["test"], copies["policy"], []
    if copies["copied"] >= WORTH_A_WARNING * total and copies["copied"]:
        of = f"{copies['copied']:,} of {total:,} test images ({copies['copied'] / total:.0%})"
        dropped = [
            f"{counts['dropped']:,} of {counts['images']:,} images of {name}"
            for name, counts in copies["sides"].items()
            if counts["dropped"]
        ]
        warnings.append(
            f"test images in training: {of} are trained on, identical or mirrored, for copies=allow; the scores say little about new images"
            if policy == "allow"
            else f"copies left out: {of} had copies in training; left out: {' and '.join(dropped)}"
        )
    for name in ("selection", "gate") if policy == "allow" else ():
        if (counts := copies["sides"].get(name)) and counts["copies"] >= WORTH_A_WARNING * counts["images"]:
            count = f"{counts['copies']:,} of {counts['images']:,} images of {name}"
            warnings.append(f"test images in {name}: {count} are copies of images that the task tests or selects by (copies=allow)")
    if copies["near"] >= WORTH_A_WARNING * total and copies["near"] and policy != "drop-near":
        share = f"{copies['near']:,} of {total:,} test images ({copies['near'] / total:.0%})"
        warnings.append(f"near twins: {share} look nearly like a training image; copies=drop-near leaves those out of training")
    return warnings


def list_parent_warnings(task: Task, parent: Task) -> list[str]:
    """Return a warning if the network that a training starts from was trained on images of its test set, or on near twins of them.

    The tasks' images may differ in size and colour.
    """
    test, shared = _Side.of(task.test), np.zeros(len(task.test.rows), bool)
    for images in (parent.train, *parent.partners.values()):
        side = _Side.of(images)
        shared |= _match_identical(test, side)[0] | _match_near(test, side)[0]
    if not shared.any() or shared.mean() < WORTH_A_WARNING:
        return []
    share = f"{shared.sum():,} of {len(shared):,} test images ({shared.mean():.0%})"
    return [f"test images in the parent's training: the network that it starts from has seen {share}"]


def measure_overlap(task: Task) -> dict[str, dict[str, int]]:
    """Return by `subject` and `sequence`, where test images know theirs, how many do, and of how many it is in training as well."""
    overlap = {}
    for unit, names in task.test.groups.items():
        known = [name for name in names if name is not None]
        trained = {name for side in (task.train, *task.partners.values()) for name in side.groups.get(unit, ())}
        if known:
            overlap[unit] = {"known": len(known), "shared": sum(name in trained for name in known)}
    return overlap


def _match_identical(a: _Side, b: _Side) -> tuple[np.ndarray, np.ndarray]:
    """Return which images of each side have an identical or mirrored image on the other side, bool [n] and [m]."""
    first, second = a.hashes[..., IDENTICAL], b.hashes[..., IDENTICAL]
    return _count_frames(a, np.isin(first, second)), _count_frames(b, np.isin(second, first))


def _match_near(a: _Side, b: _Side) -> tuple[np.ndarray, np.ndarray]:
    """Return which images of each side have a near twin on the other side, bool [n] and [m]. Only direct matches count, no chains."""
    in_a, in_b = np.zeros(len(a.hashes) * a.frames, bool), np.zeros(len(b.hashes) * b.frames, bool)
    for column in (NEAR, MIRRORED):
        for pairs in find_pairs(a.hashes[..., column].ravel(), b.hashes[..., NEAR].ravel()):
            (rows_a, place_a), (rows_b, place_b) = (np.unique(pairs[:, side], return_inverse=True) for side in (0, 1))
            thumbs = a.get_thumbs(rows_a, column == MIRRORED), b.get_thumbs(rows_b)
            likeness = measure_likeness(*thumbs, np.stack((place_a, place_b), axis=1))
            close = pairs[likeness >= ALIKE]
            in_a[close[:, 0]] = in_b[close[:, 1]] = True
    return _count_frames(a, in_a.reshape(-1, a.frames)), _count_frames(b, in_b.reshape(-1, b.frames))


def _count_frames(side: _Side, matched: np.ndarray) -> np.ndarray:
    """Return whether at least half of each clip's frames are matched, bool [n]; black and other uniform frames of a clip do not count."""
    if side.frames == 1:
        return np.asarray(matched[:, 0])
    counted = side.hashes[..., NEAR] != UNIFORM
    return np.asarray((matched & counted).sum(axis=1) * 2 >= np.maximum(counted.sum(axis=1), 1))


def _keep_balance(task: Task, keep: np.ndarray, seed: int) -> np.ndarray:
    """Return which training images stay, bool [n], so that a balanced training set has equally many images of each class."""
    labels = task.train.labels.cpu().numpy()
    counts = np.bincount(labels[keep], minlength=len(task.classes))
    if not task.balanced or not counts.all():
        return keep
    kept = keep.copy()
    rng = make_generator(seed, "copies")
    for label in range(len(task.classes)):
        rows = rng.permutation(np.flatnonzero(keep & (labels == label)))
        kept[rows[counts.min() :]] = False
    return kept


def _take_kept(task: Task, name: str, images: Images, keep: np.ndarray) -> Images:
    labels = images.labels.cpu().numpy()
    lost = sorted(set(labels.tolist()) - set(labels[keep].tolist())) if name == "training" and task.target == "label" else []
    if lost or not keep.any():
        what = f"class {task.classes[lost[0]]} in {name}" if lost else name
        raise DataError(
            f"nothing is left of {what}: all of its images are copies of test, selection or gate images (copies=allow keeps them)"
        )
    return images.take_rows(keep)
