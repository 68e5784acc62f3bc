"""Paths that users guess: the folder above the classes, both files of FER+ in one folder, a copy of RAF-DB with a part for validation."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.trees import TREES
from trainables.data.dataset import DataError
from trainables.data.source import Source

RNG = np.random.default_rng(0)


def draw(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (32, 32), np.uint8)).save(file)


def read(kind: str, path: Path, **options: str):
    return Source(kind, str(path), options=tuple(options.items())).read_faces(32, "grey")


@pytest.mark.parametrize("deeper", ["images", "images/v2"])
@pytest.mark.parametrize("inner", ["anger", "train/anger", "Test/own"])
def test_the_folder_above_names_the_one_meant(tmp_path: Path, deeper: str, inner: str) -> None:
    draw(tmp_path / deeper / inner / "1.png", tmp_path / deeper / inner.replace("anger", "fear") / "2.png")
    with pytest.raises(DataError, match=f"its classes lie in {deeper}, as .*; name that folder: folders:{tmp_path / deeper}$"):
        read("folders", tmp_path)
    assert len(read("folders", tmp_path / deeper)) == 2


@pytest.mark.parametrize(
    "files", [("anger/a/1.png", "anger/b/2.png"), ("awe/x/1.png", "awe/y/2.png"), ("train/awe/1.png",), ("anger/fear/1.png", "fear/2.png")]
)
def test_folders_that_are_deep_for_another_reason_are_read(tmp_path: Path, files: tuple[str, ...]) -> None:
    draw(*(tmp_path / file for file in files))
    assert len(read("folders", tmp_path)) == len(files)


def test_both_files_of_ferplus_in_one_folder(tmp_path: Path) -> None:
    tree = TREES["fer2013"](tmp_path)
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    usages = ["Training"] * 4 + ["PublicTest", "PrivateTest", "PrivateTest"]
    (tmp_path / "fer2013new.csv").write_text(
        header + "".join(f"{usage},fer{row:07}.png,1,8,1,0,0,0,0,0,0,0\n" for row, usage in enumerate(usages))
    )
    faces = read("ferplus", tmp_path)
    assert len(faces) == 7 and set(np.array(faces.classes)[faces.labels]) == {"happiness"}
    assert faces.fingerprint == read("ferplus", tree.path, votes=str(tmp_path / "fer2013new.csv")).fingerprint


@pytest.mark.parametrize("name", ["valid", "val", "Validation"])
def test_rafdb_with_a_part_for_validation(tmp_path: Path, name: str) -> None:
    for code in range(1, 8):
        draw(
            tmp_path / "train" / str(code) / f"train_0{code:04}_aligned.jpg", tmp_path / name / str(code) / f"train_1{code:04}_aligned.jpg"
        )
        draw(tmp_path / "test" / str(code) / f"test_{code:04}_aligned.jpg")
    faces = read("rafdb", tmp_path)
    assert faces.metadata["split"].value_counts().to_dict() == {"train": 7, "val": 7, "test": 7}
