"""Selection of test images, with their metadata, and of the adults beside them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch

from platform.explain.explained_outputs import Truth, list_outputs, list_truths, make_no_map_error
from platform.explain.load_networks import CPU, HASHED, LoadedNetwork, hash_images
from search_spaces.pictures import ExplainedClass
from trainables.cell import Cell, Data
from trainables.data.dataset import FaceDataset
from trainables.data.device_pixels import load_pixels
from trainables.data.prediction_targets import TARGETS
from trainables.data.source import load_faces
from trainables.data.task import Task
from trainables.data.tasks.populations import convert_to_grey
from trainables.random_streams import make_generator

GROWN_UP = 18


@dataclass(frozen=True)
class ChosenImage:
    """One test image or clip."""

    pixels: torch.Tensor
    """uint8 [1, c, s, s]; of a clip [1, frames, c, s, s]"""
    truth: Truth
    print_: bytes
    said: str
    """who the image shows, as far as is known"""


@dataclass(frozen=True)
class RoleImages:
    """A role's data set as the networks see it."""

    role: str
    faces: FaceDataset
    pixels: torch.Tensor
    """uint8 [n, c, s, s], grey if the task removes colour"""
    population: str
    """children, adults, or empty if unknown"""

    @cached_property
    def hashes(self) -> list[bytes]:
        """`hash_images` of the images, computed once: every training's test images are looked up here."""
        return hash_images(self.pixels)


def load_whole_sets(cells: list[Cell], task: Task) -> list[RoleImages]:
    """Return the data sets of these cells, in the size and the colours of their task."""
    sets: dict[str, RoleImages] = {}
    for cell in cells:
        for role, data in cell.data.items():
            if role not in sets:
                faces = load_faces(data.source, cell.task_settings["size"], cell.task_settings["colour"])
                pixels = load_pixels(faces.images, CPU)
                if (pixels.shape[1], task.channels) == (3, 1):
                    pixels = torch.cat([convert_to_grey(images) for images in pixels.split(HASHED)])
                sets[role] = RoleImages(role, faces, pixels, _find_population(data, faces))
    return list(sets.values())


def find_metadata(images: torch.Tensor, sets: list[RoleImages]) -> tuple[pd.DataFrame, list[str]]:
    """Return the metadata of each image and the population of its data set; images are matched by content."""
    locations = {digest: (number, row) for number, role_images in enumerate(sets) for row, digest in enumerate(role_images.hashes)}
    matches = [locations.get(digest) for digest in hash_images(images)]
    rows = [sets[match[0]].faces.metadata.iloc[match[1]] if match else pd.Series(dtype=object) for match in matches]
    return pd.DataFrame(rows).reset_index(drop=True), [sets[match[0]].population if match else "" for match in matches]


def select_adults(sets: list[RoleImages], task: Task, each: int) -> tuple[RoleImages, torch.Tensor, torch.Tensor] | None:
    """Return the first set of adults with all classes, and pixels and labels of at most `each` images per class. None if no set fits, and
    for tasks of clips and of targets without classes.
    """
    classes = task.classes
    for role_images in sets if TARGETS[task.target].one_class and task.test.pixels.ndim == 4 else ():
        if role_images.population == "adults" and set(classes) <= set(role_images.faces.classes):
            new_labels = {role_images.faces.classes.index(name): label for label, name in enumerate(classes)}
            labels = np.array([new_labels.get(label, -1) for label in role_images.faces.labels.tolist()])
            rng = make_generator(0, "explain", "adults")
            rows = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:each] for label in range(len(classes))])
            return role_images, role_images.pixels[rows], torch.from_numpy(labels[rows])
    return None


def choose_faces(networks: list[LoadedNetwork], sets: list[RoleImages], count: int, of: ExplainedClass) -> list[ChosenImage]:
    """Return `count` test images or clips that have a map, in turn from each class.

    The images of the most replicates' test sets come first, others in a reproducible random order. A clip has its first frame's metadata.
    """
    counts: dict[bytes, int] = {}
    examples: dict[bytes, tuple[torch.Tensor, Truth]] = {}
    for loaded in {network.replicate: network for network in networks}.values():
        test = loaded.task.test
        for row, (digest, truth) in enumerate(zip(hash_images(test.pixels), list_truths(test), strict=True)):
            if list_outputs(loaded.task, truth, of):
                counts[digest] = counts.get(digest, 0) + 1
                if digest not in examples:
                    examples[digest] = test.pixels[row : row + 1], truth
    if not examples:
        raise make_no_map_error()
    order = make_generator(0, "explain", "faces").permutation(len(examples))
    ranked = sorted(zip(order.tolist(), examples, strict=True), key=lambda item: (-counts[item[1]], item[0]))
    class_counts: dict[int, int] = {}
    queue = []
    for rank, (_, digest) in enumerate(ranked):
        label = examples[digest][1].label
        class_counts[label] = class_counts.get(label, 0) + 1
        queue.append((class_counts[label], label, rank, digest))
    chosen = [digest for *_, digest in sorted(queue)[:count]]
    metadata, _ = find_metadata(torch.cat([examples[digest][0].flatten(0, -4)[:1] for digest in chosen]), sets)
    descriptions = [_describe_metadata(row) for _, row in metadata.iterrows()]
    return [ChosenImage(*examples[digest], digest, text) for digest, text in zip(chosen, descriptions, strict=True)]


def _find_population(data: Data, faces: FaceDataset) -> str:
    if data.source.population:
        return data.source.population
    if "age" in faces.metadata and (ages := faces.metadata["age"].dropna().astype(float)).size:
        return "adults" if ages.median() >= GROWN_UP else "children"
    return next((name for name in ("children", "adults") if name in faces.title), "")


def _describe_metadata(metadata: "pd.Series[Any]") -> str:
    fields = {name: str(metadata[name]) for name in ("subject", "age", "source") if name in metadata and pd.notna(metadata[name])}
    if "age" in fields:
        fields["age"] = f"{float(fields['age']):g} years"
    fields["source"] = fields.get("source", "").rpartition("/")[2] if "subject" not in fields else ""
    return ", ".join(filter(None, fields.values()))
