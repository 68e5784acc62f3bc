"""Tests of face cropping by OpenCV's cascade, whose boxes are cached, or a file of boxes or eyes. Images without a face are left out."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.tree import portrait, save, write
from trainables.data import decoded_cache
from trainables.data.dataset import DataError, FaceDataset
from trainables.data.decode import DecodeOptions, Item, crop_square, cut_box, find_face
from trainables.data.landmarks import read_boxes as landmarks
from trainables.data.source import Source


def scene(number: int, left: int = 150, top: int = 60, side: int = 192) -> np.ndarray:
    """Return a large picture with a face at the given position: uint8 [400, 500, 3]."""
    picture = np.full((400, 500, 3), 127, np.uint8)
    face = cv2.resize(portrait("neutral", number), (side, side), interpolation=cv2.INTER_CUBIC)
    picture[top : top + side, left : left + side] = face
    return picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        save(tmp_path / "set" / f"{number}.png", scene(number, left=60 * number))
    save(tmp_path / "set" / "nobody.png", np.full((400, 500, 3), 127, np.uint8))
    return tmp_path / "set"


def pool(folder: Path, **options: str) -> FaceDataset:
    return Source("images", str(folder), None, tuple(options.items())).read_faces(48, "grey")


def test_the_installed_opencv_has_its_cascades_and_finds_rendered_faces():
    boxes = [find_face(scene(number)) for number in range(10)]
    assert sum(box is not None for box in boxes) >= 8
    for box in filter(None, boxes):
        x, y, width, height = box
        assert 130 < x + width / 2 - 100 < 180 and 40 < y + height / 2 - 56 < 150 and 96 < width < 260 and height == pytest.approx(width)


def test_faces_are_cut_out_and_who_shows_none_is_left_out(folder):
    whole, cropped = pool(folder), pool(folder, crop="haar")
    assert len(whole) == 5 and "nobody.png" not in cropped.metadata["source"].tolist()
    assert cropped.notes[0].startswith(f"in {5 - len(cropped)} of 5 images no face is found")
    assert len(cropped) >= 3
    for image, source in zip(cropped.images, cropped.metadata["source"], strict=True):
        picture = scene(int(source[0]), left=60 * int(source[0]))
        box = find_face(picture)
        assert box
        np.testing.assert_array_equal(image, crop_square(cut_box(picture, tuple(map(float, np.float32(box))), 1, ""), 48, "grey"))


def test_boxes_are_kept_whatever_size_is_asked_for(folder, monkeypatch):
    Source("images", str(folder), None, (("crop", "haar"),)).read_faces(48, "grey")
    items = [Item(name) for name in sorted(file.name for file in folder.iterdir())]
    boxes = decoded_cache.decode_rows(folder, items, DecodeOptions(0, crop="haar"))
    decoding, sizes = decoded_cache._decode_into, []
    monkeypatch.setattr(decoded_cache, "_decode_into", lambda *given: sizes.append(given[2].size) or decoding(*given))
    Source("images", str(folder), None, (("crop", "haar"),)).read_faces(32, "rgb")
    assert sizes == [32]
    assert boxes.values.shape == (5, 4) and boxes.values[-1].tolist() == [-1] * 4


def test_a_large_photograph_has_its_box_in_its_own_pixels(tmp_path):
    number = next(number for number in range(10) if find_face(scene(number)))
    save(tmp_path / "set/a.jpg", cv2.resize(scene(number), None, fx=6, fy=6))
    box = decoded_cache.decode_rows(tmp_path / "set", [Item("a.jpg")], DecodeOptions(0, crop="haar")).values[0] / 6
    small = find_face(scene(number))
    assert small and np.abs(box - np.array(small)).max() < 12


def test_boxes_and_eyes_of_a_file(folder, tmp_path):
    names = sorted(file.name for file in folder.iterdir())
    write(tmp_path / "boxes.csv", "file,x,y,width,height\n" + "".join(f"{name},150,60,192,192\n" for name in names))
    faces = pool(folder, landmarks=str(tmp_path / "boxes.csv"))
    expected = cv2.resize(cv2.cvtColor(scene(2, left=120), cv2.COLOR_RGB2GRAY)[60:252, 150:342], (48, 48), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(faces.images[2, 0], expected)
    write(tmp_path / "eyes.csv", "file,left_x,left_y,right_x,right_y\na.png,100,100,150,100\n")
    assert landmarks(tmp_path / "eyes.csv") == {"a.png": pytest.approx((70, 65, 110, 110))}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,x,y,width,height\n0.png,1,1,9,9\n", "4 of 5 images have no line; the first: 1.png"),
        ("file,x,y,width,height\n0.png,1,1,9,wide\n", "line 2: coordinate 'wide' is not a number"),
        ("file,x,y,width,height\n../0.png,1,1,9,9\n", "line 2: .* is not a file within"),
        ("file,x,y,width,height\n0.png,1,1,9,9\n0.png,1,1,9,9\n", "line 3: 0.png is given a second time"),
        ("file,left_x,left_y,right_x,right_y\n0.png,5,5,5,5\n", "line 2: both eyes are in one place"),
        ("file,nose\n0.png,1\n", "expected the columns file,x,y,width,height"),
    ],
)
def test_a_file_of_landmarks_that_does_not_fit(folder, tmp_path, text, message):
    write(tmp_path / "marks.csv", text)
    with pytest.raises(DataError, match=message):
        pool(folder, landmarks=str(tmp_path / "marks.csv"))


def test_what_cannot_be_asked_for(folder, tmp_path):
    with pytest.raises(DataError, match=r"crop=mtcnn: no such way to cut faces out \(known: haar"):
        pool(folder, crop="mtcnn")
    write(tmp_path / "marks.csv", "file,x,y,width,height\n")
    with pytest.raises(DataError, match="are both given"):
        pool(folder, crop="haar", landmarks=str(tmp_path / "marks.csv"))
    with pytest.raises(DataError, match="rafdb has no option 'crop'"):
        Source("rafdb", str(folder), None, (("crop", "haar"),)).read_faces(48, "grey")


def test_an_opencv_without_cascades_is_one_line(monkeypatch):
    from trainables.data import decode

    decode._load_cascade.cache_clear()
    monkeypatch.setattr(decode.cv2.data, "haarcascades", "/nowhere/")
    try:
        with pytest.raises(ValueError, match="comes without its face cascades; install opencv-python-headless<5"):
            find_face(scene(0))
    finally:
        decode._load_cascade.cache_clear()
