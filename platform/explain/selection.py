"""What is shown: which cells of a run, at which condition, and which of their test images, with what the data sets know of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from platform.explain.networks import LoadedNetwork, hash_images
from search_spaces.study import Study
from trainables.cell import Cell, Data, Value
from trainables.data.dataset import FaceDataset
from trainables.data.source import load_faces
from trainables.data.task import Task
from trainables.data.tasks.populations import convert_to_grey
from trainables.registry import BadRequest, make_unknown_error
from trainables.storage.store import RunFolder
from trainables.streams import make_generator

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
    """who it shows, as far as is known"""


@dataclass(frozen=True)
class RoleImages:
    """A role's data set as the networks see it."""

    role: str
    faces: FaceDataset
    pixels: torch.Tensor
    """uint8 [n, c, s, s], grey where the task takes colours away"""
    population: str
    """children, adults, or empty where nothing tells"""


def choose_cells(folder: RunFolder, study: Study, only: list[str]) -> tuple[list[Cell], Condition, list[str]]:
    """The finished cells at one condition that have kept their parameters, that condition, and a line on what was left out.

    `only` narrows axes, each AXIS=V,V. Of an axis left open the largest number is taken, or the first word.
    """
    done, kept = folder.list_done(), folder.list_kept()
    cells = folder.get_shown_cells()
    if not cells:
        raise BadRequest(f"{folder.uri}: no run here (grid.json is missing or names no cell); python -m platform.grid makes one")
    for option in only:
        axis, equals, wanted = option.partition("=")
        if not (axis and equals and wanted):
            raise BadRequest(f"--only {option}: expected --only AXIS=V,V")
        if axis not in cells[0].axes:
            raise make_unknown_error(f"axis of {study.name}", axis, cells[0].axes)
        known = list(dict.fromkeys(cell.axes[axis] for cell in cells))
        values = [_match_value(axis, known, text) for text in wanted.split(",")]
        cells = [cell for cell in cells if cell.axes[axis] in values]
    condition: Condition = {}
    for axis in study.condition_axes:
        values = list(dict.fromkeys(cell.axes[axis] for cell in cells))
        condition[axis] = max(values) if all(type(value) in (int, float) for value in values) else values[0]  # type: ignore[type-var]
        cells = [cell for cell in cells if cell.axes[axis] == condition[axis]]
    ready = [cell for cell in cells if cell.key in done & kept]
    if not ready:
        lacking = "none has kept its parameters" if done & {cell.key for cell in cells} else "none is finished"
        raise BadRequest(
            f"{folder.uri}: of {len(cells)} trainings asked for {lacking}; python -m platform.grid with --keep best makes them"
        )
    lost = len(cells) - len(ready)
    return ready, condition, [f"{lost} of {len(cells)} trainings are not finished or have kept no parameters: left out"] if lost else []


def load_whole_sets(cells: list[Cell], task: Task) -> list[RoleImages]:
    """The data sets of these cells, in the size and the colours of their task."""
    found: dict[str, RoleImages] = {}
    for cell in cells:
        for role, data in cell.data.items():
            if role not in found:
                faces = load_faces(data.source, cell.task_settings["size"], cell.task_settings["colour"])
                pixels = torch.from_numpy(faces.images)
                pixels = convert_to_grey(pixels) if (pixels.shape[1], task.channels) == (3, 1) else pixels
                found[role] = RoleImages(role, faces, pixels, _find_population(data, faces))
    return list(found.values())


def find_metadata(images: torch.Tensor, sets: list[RoleImages]) -> tuple[pd.DataFrame, list[str]]:
    """What the data sets know of images, by their content, and the population of the set that each is of."""
    place = {print_: (number, row) for number, whole in enumerate(sets) for row, print_ in enumerate(hash_images(whole.pixels))}
    at = [place.get(print_) for print_ in hash_images(images)]
    rows = [sets[found[0]].faces.metadata.iloc[found[1]] if found else pd.Series(dtype=object) for found in at]
    return pd.DataFrame(rows).reset_index(drop=True), [sets[found[0]].population if found else "" for found in at]


def select_adults(sets: list[RoleImages], classes: tuple[str, ...], each: int) -> tuple[RoleImages, torch.Tensor, torch.Tensor] | None:
    """The first set of adults that has all classes, and at most `each` of its images of each: pixels, labels. None where there is none."""
    for whole in sets:
        if whole.population == "adults" and set(classes) <= set(whole.faces.classes):
            number = {whole.faces.classes.index(name): label for label, name in enumerate(classes)}
            labels = np.array([number.get(label, -1) for label in whole.faces.labels.tolist()])
            rng = make_generator(0, "explain", "adults")
            rows = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:each] for label in range(len(classes))])
            return whole, whole.pixels[rows], torch.from_numpy(labels[rows])
    return None


def choose_faces(networks: list[LoadedNetwork], sets: list[RoleImages], count: int) -> list[ChosenImage]:
    """Test images of as many replicates as can be, the classes by turns; which of them is a matter of chance, the same every time."""
    often: dict[bytes, int] = {}
    first: dict[bytes, tuple[torch.Tensor, int]] = {}
    for one in {each.replicate: each for each in networks}.values():
        test = one.task.test
        for row, print_ in enumerate(hash_images(test.pixels)):
            often[print_] = often.get(print_, 0) + 1
            first.setdefault(print_, (test.pixels[row : row + 1], int(test.labels[row])))
    order = make_generator(0, "explain", "faces").permutation(len(first))
    ranked = sorted(zip(order.tolist(), first, strict=True), key=lambda each: (-often[each[1]], each[0]))
    turns: dict[int, int] = {}
    by_turns = []
    for place, (_, print_) in enumerate(ranked):
        label = first[print_][1]
        turns[label] = turns.get(label, 0) + 1
        by_turns.append((turns[label], label, place, print_))
    taken = [print_ for *_, print_ in sorted(by_turns)[:count]]
    metadata, _ = find_metadata(torch.cat([first[print_][0] for print_ in taken]), sets)
    said = [_describe_metadata(row) for _, row in metadata.iterrows()]
    return [ChosenImage(*first[print_], print_, text) for print_, text in zip(taken, said, strict=True)]


def _find_population(data: Data, faces: FaceDataset) -> str:
    if data.source.population:
        return data.source.population
    if "age" in faces.metadata and (ages := faces.metadata["age"].dropna().astype(float)).size:
        return "adults" if ages.median() >= GROWN_UP else "children"
    return next((name for name in ("children", "adults") if name in faces.title), "")


def _describe_metadata(metadata: "pd.Series[Any]") -> str:
    there = {name: str(metadata[name]) for name in ("subject", "age", "source") if name in metadata and pd.notna(metadata[name])}
    if "age" in there:
        there["age"] = f"{float(there['age']):g} years"
    there["source"] = there.get("source", "").rpartition("/")[2] if "subject" not in there else ""
    return ", ".join(filter(None, there.values()))


def _match_value(axis: str, values: list[Value], text: str) -> Value:
    for value in values:
        if str(value) == text or (type(value) in (int, float) and _parse_number(text) == value):
            return value
    raise make_unknown_error(f"value of axis {axis}", text, map(str, values))


def _parse_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
