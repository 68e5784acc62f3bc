"""A study so small that a cell trains in about a second, on files in the official layout with patterns that can be learnt."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from search_spaces.study import STUDIES, Study
from tests.data import layouts
from trainables.cell import Cell, Data
from trainables.data.dataset import FaceDataset
from trainables.data.source import Source
from trainables.data.task import TASKS
from trainables.methods.method import METHODS
from trainables.settings import resolve_settings

CLASSES = ("anger", "fear", "happiness")
CODES = {"anger": 0, "fear": 2, "happiness": 3}
"""FER2013's codes"""
CHILDREN, ADULTS = 24, 20
"""images per class"""
SETTINGS: dict[str, Any] = {
    "encoder": "pocket",
    "classes": CLASSES,
    "size": 32,
    "per_class": 10,
    "batch": 16,
    "epochs": 2,
    "hidden": 16,
    "projection": 8,
    "probe_epochs": 4,
    "probe_lr": 0.05,
    "width": 1 / 16,
    "precision": "fp32",
}

SOON_COMPILED: dict[str, Any] = {"encoder": "ronnet", "encoder_settings": {"widths": (4, 4, 4), "dropout": (0.0, 0.0)}}
"""Settings of a network with few layers. The C++ compiler takes seconds for each layer."""


def pictures(labels: np.ndarray, seed: int, size: int = 48) -> np.ndarray:
    """Return uint8 [n, size, size]: noise with a bright band at a height that gives the class. Flips do not move the band."""
    noise = np.random.default_rng(seed).integers(0, 160, (len(labels), size, size))
    rows = np.arange(size)[None] * 3 // size == labels[:, None] % 3
    return (noise + 95 * rows[..., None]).astype(np.uint8)


def faces(counts: dict[str, int], seed: int = 0, size: int = 32, subjects: int | None = None) -> FaceDataset:
    """Return shuffled images of each class in these numbers, of `subjects` persons in turn."""
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), list(counts.values())))
    metadata = pd.DataFrame({"source": [f"image {row}" for row in range(len(labels))]})
    if subjects:
        metadata["subject"] = [f"child {row % subjects}" for row in range(len(labels))]
    return FaceDataset(pictures(labels, seed, size)[:, None], labels, tuple(counts), metadata, "tiny faces")


def files(folder: Path, seed: int = 0) -> dict[str, Source]:
    """Write FER2013's csv and its ages, with children and adults of each class, to `folder`. Return the source of each role."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.tile(np.arange(len(CLASSES)), CHILDREN + ADULTS)
    years = [8] * (CHILDREN * len(CLASSES)) + [40] * (ADULTS * len(CLASSES))
    codes = [CODES[CLASSES[label]] for label in labels]
    csv = layouts.fer2013(folder / "fer2013.csv", pictures(labels, seed), codes, ["Training"] * len(labels))
    options = (("ages", str(layouts.ages(folder / "ages.csv", years))),)
    return {role: Source("fer2013", str(csv), role, options) for role in ("children", "adults")}


def study(**settings: Any) -> Study:
    """Return the first study with its seven methods: 28 cells."""
    pocket = STUDIES.find("adults_as_augmentation")("pocket")
    return replace(
        pocket,
        axes=pocket.axes | {"split": (0.5,), "ratio": (1, 2), "seed": (0, 1)},
        settings=SETTINGS | settings,
    )


def data(sources: dict[str, Source], colour: str = "grey") -> dict[str, Data]:
    """Return what the sources hold now, by role."""
    size = SETTINGS["size"]
    read = {role: source.read_faces(size, colour) for role, source in sources.items()}
    return {role: Data(sources[role], dataset.fingerprint, dataset.title) for role, dataset in read.items()}


TRANSFER: dict[str, Any] = {
    "labelled": {"children": CLASSES},
    "pool": ("adults",),
    "test": 0.3,
    "validation": 0.3,
    "size": 32,
    "colour": "grey",
}
"""the task `transfer` on the same files: of a class's 24 children 9 train, 4 form the gate and 4 select; the adults are the pool"""


def transfer(roles: dict[str, Data], method: str = "labelled", seed: int = 0, **settings: Any) -> Cell:
    """Return one cell of a transfer method on the task `transfer`."""
    kind, task = METHODS.find(method), TASKS.find("transfer").settings
    own_settings = {name: value for name, value in (SETTINGS | settings).items() if name in kind.Settings.model_fields}
    return replace(
        cell(roles, seed=seed),
        task="transfer",
        task_settings=resolve_settings(task, TRANSFER, "task").model_dump(mode="json"),
        method=method,
        method_settings=resolve_settings(kind.Settings, own_settings, method).model_dump(mode="json"),
        version=kind.version,
    )


def cell(roles: dict[str, Data], arm: str = "SL(c)", seed: int = 0, ratio: int = 1, **settings: Any) -> Cell:
    """Return one cell of the study, with these settings replaced."""
    narrowed = replace(study(**settings), axes={"method": (arm,), "split": (0.5,), "ratio": (ratio,), "seed": (seed,)})
    return narrowed.make_cells(roles)[0]
