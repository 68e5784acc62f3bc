"""Tests of the user's own pictures: a file that would be misread is reported in one line, and the other files are used."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from platform.explain.own_pictures import find_true_class, read_pictures, tabulate_predictions
from tests.test_ciao import task
from trainables.registry import BadRequest

RNG = np.random.default_rng(0)


def photo(width: int = 80, height: int = 100) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))


def floats(file: Path) -> None:
    Image.fromarray(RNG.random((64, 64), dtype=np.float32)).save(file.with_suffix(".tif"))


def truncated(file: Path) -> None:
    photo().save(file.with_suffix(".jpg"))
    content = file.with_suffix(".jpg").read_bytes()
    file.with_suffix(".jpg").write_bytes(content[: len(content) // 2])


def text(file: Path) -> None:
    file.with_suffix(".png").write_text("no picture")


def tiny(file: Path) -> None:
    photo(20, 20).save(file.with_suffix(".png"))


def panorama(file: Path) -> None:
    photo(400, 100).save(file.with_suffix(".png"))


BAD: list[tuple[Callable[[Path], None], str]] = [
    (floats, "its pixels have 32 bits (mode F), and their range is unknown; save it with 8 or 16 bits"),
    (truncated, "cannot be read as an image"),
    (text, "cannot be read as an image"),
    (tiny, "20 x 20 pixels are not a cropped face; crop it to the face, 24 pixels a side or more"),
    (panorama, "400 x 100 pixels are not a cropped face; crop it to the face"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_what_cannot_be_used_is_one_line_and_the_others_go_on(make: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    make(tmp_path / "bad")
    (bad,) = tmp_path.iterdir()
    with pytest.raises(BadRequest, match="none of 1 pictures can be used; the first: ") as caught:
        read_pictures(tmp_path, 48, 1)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    photo().save(tmp_path / "fine.png")
    names, images, left_out = read_pictures(tmp_path, 48, 3)
    assert names == ["fine.png"] and images.shape == (1, 3, 48, 48) and images.dtype == torch.uint8
    assert len(left_out) == 1 and left_out[0].startswith(f"{bad}: ") and message in left_out[0] and "\n" not in left_out[0]


def test_pictures_are_cut_and_turned_as_the_networks_are_used_to(tmp_path: Path) -> None:
    (tmp_path / "fear").mkdir()
    photo(60, 90).convert("L").save(tmp_path / "fear" / "grey.png")
    photo(48, 48).convert("RGBA").save(tmp_path / "clear.webp", lossless=True)
    photo(48, 48).convert("P").save(tmp_path / "palette.gif")
    names, images, left_out = read_pictures(tmp_path, 32, 1)
    assert names == ["clear.webp", "fear/grey.png", "palette.gif"] and images.shape == (3, 1, 32, 32) and not left_out
    assert [find_true_class(name, ("anger", "fear")) for name in names] == ["", "fear", ""]


@pytest.mark.parametrize("make", ["nothing", "file", "empty"])
def test_no_folder_of_pictures_is_one_line(make: str, tmp_path: Path) -> None:
    path = tmp_path / "place"
    if make == "file":
        path.write_text("x")
    elif make == "empty":
        path.mkdir()
    messages = {"nothing": "no such folder", "file": "is a file, not a folder of pictures", "empty": r"holds no picture \(\.jpg, .*\)"}
    with pytest.raises(BadRequest, match=rf"^--images {path}: {messages[make]}$"):
        read_pictures(path, 48, 1)


def test_predictions_are_a_row_a_training_and_the_mean() -> None:
    shares = [np.array([[0.9, 0.1, 0.0], [0.4, 0.6, 0.0]]), np.array([[0.3, 0.7, 0.0], [0.2, 0.8, 0.0]])]
    table = tabulate_predictions(["fear/a.png", "b.png"], [("SL", 0, shares[0]), ("SL", 1, shares[1])], task(), "method", "seed")
    assert list(table) == ["picture", "true", "method", "seed", "answer", "p_anger", "p_fear", "p_happiness"] and len(table) == 6
    mean = table[(table["seed"] == "mean") & (table["picture"] == "fear/a.png")].iloc[0]
    assert mean["answer"] == "anger" and mean["p_anger"] == 0.6 and mean["true"] == "fear"
    assert set(table[table["picture"] == "b.png"]["answer"]) == {"fear"}


def test_values_are_no_probabilities_and_no_answer() -> None:
    values = np.array([[0.25, -0.5]])
    table = tabulate_predictions(["fear/a.png"], [("DL", 0, values)], task(target="affect"), "network", "seed")
    assert list(table) == ["picture", "true", "network", "seed", "answer", "valence", "arousal"]
    assert table.iloc[0].tolist() == ["fear/a.png", "", "DL", 0, "", 0.25, -0.5]


def test_several_labels_are_all_named() -> None:
    both, none = np.array([[0.5, 0.9]]), np.array([[0.1, 0.2]])
    table = tabulate_predictions(["b/a.png"], [("DL", 0, both), ("LC", 0, none)], task(target="labels"), "network", "seed")
    assert table["answer"].tolist() == ["a, b", "a, b", "none", "none"] and set(table["true"]) == {"b"} and "p_b" in table
