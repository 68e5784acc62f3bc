"""Selection of what is shown: the cells of a run, their condition, and test images with their metadata."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from platform.cli.study_options import parse_pair
from platform.explain.load_networks import LoadedNetwork, hash_images
from search_spaces.study import Study, match_value
from trainables.cell import Cell, Data, Value
from trainables.data.dataset import FaceDataset
from trainables.data.source import load_faces
from trainables.data.task import Task
from trainables.data.tasks.populations import convert_to_grey
from trainables.random_streams import make_generator
from trainables.registry import BadRequest, make_unknown_error
from trainables.storage.store import RunFolder

Condition = dict[str, Value]
GROWN_UP = 18


@dataclass(frozen=True)
class ChosenImage:
    """One test image."""

    pixels: torch.Tensor
    """uint8 [1, c, s, s]"""
    label: int
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


def choose_cells(folder: RunFolder, study: Study, only: list[str]) -> tuple[list[Cell], Condition, list[str]]:
    """Return the finished cells at one condition that have kept their parameters, that condition, and a line on what was left out.

    `only` narrows axes, each AXIS=V,V. On an axis left open, the largest number is taken, or the first value if not all are numbers.
    """
    done, with_parameters = folder.list_done(), folder.list_kept()
    cells = folder.get_shown_cells()
    if not cells:
        raise BadRequest(f"{folder.uri}: no run here (grid.json is missing or names no cell); python -m platform.grid makes one")
    for option in only:
        axis, choices = parse_pair("--only", option, "AXIS=V,V")
        if axis not in cells[0].axes:
            raise make_unknown_error(f"axis of {study.name}", axis, cells[0].axes)
        axis_values = list(dict.fromkeys(cell.axes[axis] for cell in cells))
        values = [match_value(axis, axis_values, text) for text in choices.split(",")]
        cells = [cell for cell in cells if cell.axes[axis] in values]
    condition: Condition = {}
    for axis in study.condition_axes:
        values = list(dict.fromkeys(cell.axes[axis] for cell in cells))
        condition[axis] = max(values) if all(type(value) in (int, float) for value in values) else values[0]  # type: ignore[type-var]
        cells = [cell for cell in cells if cell.axes[axis] == condition[axis]]
    ready = [cell for cell in cells if cell.key in done & with_parameters]
    if not ready:
        reason = "none has stored parameters" if done & {cell.key for cell in cells} else "none is finished"
        raise BadRequest(f"{folder.uri}: of {len(cells)} trainings asked for {reason}; python -m platform.grid with --keep best makes them")
    missing = len(cells) - len(ready)
    return (
        ready,
        condition,
        [f"{missing} of {len(cells)} trainings are not finished or have kept no parameters: left out"] if missing else [],
    )


def load_whole_sets(cells: list[Cell], task: Task) -> list[RoleImages]:
    """Return the data sets of these cells, in the size and the colours of their task."""
    sets: dict[str, RoleImages] = {}
    for cell in cells:
        for role, data in cell.data.items():
            if role not in sets:
                faces = load_faces(data.source, cell.task_settings["size"], cell.task_settings["colour"])
                pixels = torch.from_numpy(faces.images)
                pixels = convert_to_grey(pixels) if (pixels.shape[1], task.channels) == (3, 1) else pixels
                sets[role] = RoleImages(role, faces, pixels, _find_population(data, faces))
    return list(sets.values())


def find_metadata(images: torch.Tensor, sets: list[RoleImages]) -> tuple[pd.DataFrame, list[str]]:
    """Return the metadata of each image and the population of its data set; images are matched by content."""
    locations = {
        digest: (number, row) for number, role_images in enumerate(sets) for row, digest in enumerate(hash_images(role_images.pixels))
    }
    matches = [locations.get(digest) for digest in hash_images(images)]
    rows = [sets[match[0]].faces.metadata.iloc[match[1]] if match else pd.Series(dtype=object) for match in matches]
    return pd.DataFrame(rows).reset_index(drop=True), [sets[match[0]].population if match else "" for match in matches]


def select_adults(sets: list[RoleImages], classes: tuple[str, ...], each: int) -> tuple[RoleImages, torch.Tensor, torch.Tensor] | None:
    """Return the first set of adults with all classes, and pixels and labels of at most `each` images per class. None if no set fits."""
    for role_images in sets:
        if role_images.population == "adults" and set(classes) <= set(role_images.faces.classes):
            new_labels = {role_images.faces.classes.index(name): label for label, name in enumerate(classes)}
            labels = np.array([new_labels.get(label, -1) for label in role_images.faces.labels.tolist()])
            rng = make_generator(0, "explain", "adults")
            rows = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:each] for label in range(len(classes))])
            return role_images, role_images.pixels[rows], torch.from_numpy(labels[rows])
    return None


def choose_faces(networks: list[LoadedNetwork], sets: list[RoleImages], count: int) -> list[ChosenImage]:
    """Choose `count` test images, the classes in turn: those in most replicates' test sets first, then in a reproducible random order."""
    counts: dict[bytes, int] = {}
    examples: dict[bytes, tuple[torch.Tensor, int]] = {}
    for loaded in {network.replicate: network for network in networks}.values():
        test = loaded.task.test
        for row, digest in enumerate(hash_images(test.pixels)):
            counts[digest] = counts.get(digest, 0) + 1
            examples.setdefault(digest, (test.pixels[row : row + 1], int(test.labels[row])))
    order = make_generator(0, "explain", "faces").permutation(len(examples))
    ranked = sorted(zip(order.tolist(), examples, strict=True), key=lambda item: (-counts[item[1]], item[0]))
    class_counts: dict[int, int] = {}
    queue = []
    for rank, (_, digest) in enumerate(ranked):
        label = examples[digest][1]
        class_counts[label] = class_counts.get(label, 0) + 1
        queue.append((class_counts[label], label, rank, digest))
    chosen = [digest for *_, digest in sorted(queue)[:count]]
    metadata, _ = find_metadata(torch.cat([examples[digest][0] for digest in chosen]), sets)
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
