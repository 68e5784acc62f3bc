"""Plain folders of images: order, split and label. A few unreadable images are counted; a folder with too many of them is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data.dataset import DataError, FaceDataset
from trainables.data.source import parse_role


def write(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 30, 3), 10 * number % 250, np.uint8)).save(folder / name)
    return folder


def read(folder: Path, options: str = "", colour: str = "grey") -> FaceDataset:
    return parse_role(f"pool=images:{folder}{options}")[1].read_faces(16, colour)


@pytest.mark.parametrize(("colour", "channels"), [("grey", 1), ("rgb", 3)])
def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path, colour, channels):
    faces = read(write(tmp_path, "b/2.png", "a.PNG", "b/1.jpg"), colour=colour)
    assert faces.images.shape == (3, channels, 16, 16)
    assert faces.metadata["source"].tolist() == ["a.PNG", "b/1.jpg", "b/2.png"] and "split" not in faces.metadata
    assert [round(image.mean(), -1) for image in faces.images] == [10, 20, 0]
    assert faces.labels.tolist() == [-1] * 3 and faces.classes == () and faces.notes == ()
    assert faces.title.endswith(", unlabelled")


def test_one_label_for_all_and_folders_that_are_the_split(tmp_path):
    faces = read(write(tmp_path, "train/1.png", "train/x/2.png", "val/1.png", "test/1.png"), ",label=anxiety")
    assert faces.classes == ("anxiety",) and faces.labels.tolist() == [0] * 4
    assert faces.metadata["split"].tolist() == ["test", "train", "train", "val"]


def test_what_is_no_image_is_passed_over_and_what_cannot_be_read_is_counted(tmp_path):
    write(tmp_path, *(f"{number:02}.png" for number in range(39)), ".hidden.png", ".cache/1.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "05b.png").write_bytes((tmp_path / "05.png").read_bytes()[:50])
    faces = read(tmp_path)
    assert len(faces) == 39 and len(faces.metadata) == 39 and "05b.png" not in faces.metadata["source"].tolist()
    unreadable, skipped = faces.notes
    assert unreadable.startswith("1 of 40 images cannot be read and are left out; the first: ") and "05b.png" in unreadable
    assert skipped == "1 other file is skipped: 1 .txt"
    for number in range(3):
        (tmp_path / f"broken{number}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"4 of 43 images cannot be read, more than 5%; the first: .*05b\.png"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), r": holds no image \(\.jpg, "),
        ((".hidden.png",), ": holds no image"),
        (("train/1.png", "2.png"), r": has a split \(train, val, test\), but 2\.png lies outside it$"),
    ],
)
def test_a_folder_that_makes_no_sense_is_one_line(tmp_path, files, message):
    with pytest.raises(DataError, match=message) as caught:
        read(write(tmp_path, *files))
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(tmp_path))


def test_a_folder_that_is_none_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"none: no such folder$"):
        read(tmp_path / "none")
    with pytest.raises(DataError, match=r"1\.png: is a file, not a folder of images$"):
        read(write(tmp_path, "1.png") / "1.png")
    with pytest.raises(DataError, match=r"images has no option 'ages' \(known: population, fixed_test, label, crop, landmarks\)"):
        read(tmp_path, ",ages=/a.csv")
