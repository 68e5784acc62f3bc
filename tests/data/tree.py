"""Tree: a small data set in its official layout, written from rendered faces, with the result that reading it must give."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from trainables.data.dataset import CLASSES, DataError, Example, find_reader

SEVEN = tuple(name for name in CLASSES if name != "contempt")


@dataclass
class Tree:
    kind: str
    path: Path
    rows: list[tuple[str, str | None, dict[str, Any]]] = field(default_factory=list)
    """source, class and metadata of each expected image"""
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    """uint8 [64, 64, 3] by source"""
    options: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    """label files, without which the data set cannot be read"""
    classes: tuple[str, ...] = SEVEN
    population: str = ""
    """the data set's population, if it has only one"""
    knows_ages: bool = True
    """False if nothing distinguishes children from adults"""

    def add(self, source: str, emotion: str | None, look: str | None = None, file: str | None = None, **metadata: Any) -> np.ndarray:
        """Write a face with this expression (or `look`) to `file` (or `source`), and expect it in what is read."""
        face = portrait(look or emotion or "neutral", len(self.rows))
        save(self.path / (file or source), face)
        return self.expect(source, emotion, face, **metadata)

    def expect(self, source: str, emotion: str | None, face: np.ndarray, **metadata: Any) -> np.ndarray:
        self.rows.append((source, emotion, metadata))
        self.pictures[source] = face
        return face

    @classmethod
    def from_example(cls, kind: str, example: Example, folder: Path) -> "Tree":
        """Write the example that a reader was registered with, and return its tree."""
        tree = cls(kind, folder / kind, options=dict(example.options), labels=example.required, classes=example.classes)
        tree.population, tree.knows_ages = example.population, example.knows_ages
        for file, (emotion, metadata) in example.pictures.items():
            tree.add(file, emotion, **metadata)
        for file, text in example.texts.items():
            write(tree.path / file, text)
        return tree

    def read(self, size: int = 32, colour: str = "grey", **options: Any):
        return find_reader(self.kind).read(str(self.path), size=size, colour=colour, **(self.options | options))


def save(file: Path, face: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": 100, "subsampling": 0} if file.suffix.lower() in (".jpg", ".jpeg") else {}
    Image.fromarray(face).save(file, **options)


@lru_cache(maxsize=1)
def _adults() -> dict[str, np.ndarray]:
    faces = find_reader("faces").read("adults", size=64, colour="rgb")
    return {name: faces.images[faces.labels == code][:60].transpose(0, 2, 3, 1) for code, name in enumerate(faces.classes)}


def portrait(emotion: str, number: int) -> np.ndarray:
    """Return a rendered face with this expression: uint8 [64, 64, 3]. Different numbers give different faces."""
    faces = _adults().get(emotion, _adults()["neutral"])
    return np.ascontiguousarray(faces[number % len(faces)])


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def refused(tree: Tree, message: str, **options: object) -> None:
    """Check that reading the tree is refused with one line that matches."""
    with pytest.raises(DataError, match=message) as caught:
        tree.read(**options)
    assert "\n" not in str(caught.value)


def edit(file: Path, *changes: tuple[str, str]) -> None:
    """Replace the first occurrence of each text, which must be present."""
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text)


def film(file: Path, faces: list[np.ndarray]) -> None:
    """Write a clip of these frames, each shown four times."""
    file.parent.mkdir(parents=True, exist_ok=True)
    out = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"mp4v"), 30, (64, 64))
    for face in faces:
        for _ in range(4):
            out.write(cv2.cvtColor(face, cv2.COLOR_RGB2BGR))
    out.release()


def known(value: Any) -> Any:
    """Return a metadata value as a plain value; None if it is not known."""
    return None if value is None or pd.isna(value) else value
