"""Tests of CAFE's Databrary layout: classes, subjects and sessions come from the file names, and errors name the wrong file."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.data import layouts
from trainables.data.dataset import DataError, FaceDataset, find_reader
from trainables.data.decode import crop_square
from trainables.data.readers.cafe import _NAME, _parse_name
from trainables.data.source import Source

PHOTOGRAPHS = {
    "6280/9977-angry_F-AA-01.jpg": ("anger", "F-AA-01", False),
    "6280/9978-angryopen_F-AA-01.jpg": ("anger", "F-AA-01", True),
    "6280/9979-disgustwithtongue_F-AA-01.jpg": ("disgust", "F-AA-01", True),
    "6282/10960-sad_F-AA-03.JPG": ("sadness", "F-AA-03", False),
    "6401/10541-happy_F-EA-14.jpg": ("happiness", "F-EA-14", False),
    "6401/10542-fearfulopen_F-EA-14.jpg": ("fear", "F-EA-14", True),
    "6436/10543-surprise_M-la-7.jpg": ("surprise", "M-LA-07", None),
    "6436/Neutral_M-LA-07.jpg": ("neutral", "M-LA-07", False),
}
"""by file: class, subject, whether the mouth is open"""


def picture(seed: int, height: int = 60, width: int = 50) -> np.ndarray:
    """A smooth random picture: uint8 [height, width, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return layouts.cafe(tmp_path, {name: picture(seed, 60 + seed, 50) for seed, name in enumerate(PHOTOGRAPHS)})


def read(folder: Path, size: int = 48, colour: str = "grey", population: str | None = "children") -> FaceDataset:
    return find_reader("cafe").read(str(folder), size=size, colour=colour, population=population)


def refused(message: str, folder: Path, **arguments: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(folder, **arguments)
    assert "\n" not in str(caught.value)


def test_names_become_facts(root):
    faces = read(root)
    names = [f"sessions/{name}" for name in PHOTOGRAPHS]
    assert faces.metadata["source"].tolist() == names
    assert [(faces.classes[label], row["subject"]) for label, (_, row) in zip(faces.labels, faces.metadata.iterrows(), strict=True)] == [
        (emotion, subject) for emotion, subject, _ in PHOTOGRAPHS.values()
    ]
    assert [None if pd.isna(mouth) else mouth for mouth in faces.metadata["mouth_open"]] == [mouth for *_, mouth in PHOTOGRAPHS.values()]
    assert faces.metadata["sex"].tolist() == ["F"] * 6 + ["M"] * 2
    assert faces.metadata["ethnicity"].tolist() == ["AA"] * 4 + ["EA"] * 2 + ["LA"] * 2
    assert faces.metadata["session"].tolist() == ["6280"] * 3 + ["6282"] + ["6401"] * 2 + ["6436"] * 2
    assert faces.classes == ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    assert "8 photographs of 4 children, where the release has 1,192 of 154" in faces.notes


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_images_are_the_decoded_files_cut_and_resized(root, colour):
    faces = read(root, size=24, colour=colour)
    for image, source in zip(faces.images, faces.metadata["source"], strict=True):
        decoded = cv2.cvtColor(cv2.imread(str(root / source)), cv2.COLOR_BGR2RGB)
        np.testing.assert_array_equal(image, crop_square(decoded, 24, colour))


@pytest.mark.parametrize(("offset", "top"), [("0", 0), (".3", 3), ("0.5", 5), ("1", 10)])
def test_the_square_of_a_portrait_is_cut_where_the_offset_says(root, offset, top):
    file = "sessions/6401/10541-happy_F-EA-14.jpg"
    Image.fromarray(picture(4, 60, 50)).save(root / file, quality=100, subsampling=0)
    faces = Source("cafe", str(root), options=(("offset", offset),)).read_faces(50, "rgb")
    decoded = cv2.cvtColor(cv2.imread(str(root / file)), cv2.COLOR_BGR2RGB)
    image = faces.images[faces.metadata["source"].tolist().index(file)]
    np.testing.assert_array_equal(image, decoded[top : top + 50].transpose(2, 0, 1))


def test_the_default_offset_is_the_centre_and_does_not_move_a_landscape(root):
    for name, (height, width) in {"6401/1-sad_F-EA-14.jpg": (61, 50), "6401/2-sad_F-EA-14.jpg": (50, 61)}.items():
        Image.fromarray(picture(4, height, width)).save(root / "sessions" / name)
    centred, top = (Source("cafe", str(root), options=(("offset", offset),)).read_faces(24, "grey") for offset in ("0.5", "0"))
    assert centred.fingerprint == read(root, 24).fingerprint
    portrait, landscape = (centred.metadata["source"].tolist().index(f"sessions/6401/{k}-sad_F-EA-14.jpg") for k in (1, 2))
    assert not np.array_equal(top.images[portrait], centred.images[portrait])
    assert np.array_equal(top.images[landscape], centred.images[landscape])


@pytest.mark.parametrize("offset", ["-0.1", "1.01", "nan", "top", ""])
def test_an_offset_outside_its_range_is_refused(root, offset):
    with pytest.raises(DataError, match=rf"offset '{offset}' is not a number from 0 to 1"):
        find_reader("cafe").read(str(root), size=24, colour="grey", offset=offset)


@pytest.mark.parametrize("other", [{"crop": "haar"}, {"landmarks": Path("/boxes.csv")}])
def test_an_offset_where_another_box_is_cut_is_refused(root, other):
    (name,) = other
    with pytest.raises(DataError, match=f"offset=0.2 is of the whole photograph's square, and {name} cuts another"):
        find_reader("cafe").read(str(root), size=24, colour="grey", offset="0.2", **other)


def test_a_large_photograph_is_the_same_decoded_small(tmp_path):
    root = layouts.cafe(tmp_path, {"6401/10541-happy_F-EA-14.jpg": picture(1, 1500, 1200)})
    image = read(root, size=24, colour="rgb").images[0].astype(float)
    whole = crop_square(picture(1, 1500, 1200), 24, "rgb").astype(float)
    assert np.abs(image - whole).max() < 8  # of 255 grey levels
    assert np.abs(image - whole).mean() < 1


def test_a_turned_photograph_is_read_upright(tmp_path):
    root = layouts.cafe(tmp_path, {"6401/10541-happy_F-EA-14.jpg": picture(1, 48, 48)})
    upright = read(root).images
    file = root / "sessions/6401/10541-happy_F-EA-14.jpg"
    turned = Image.open(file).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotate by 90 degrees clockwise to display
    turned.save(file, quality=100, subsampling=0, exif=exif)
    assert np.abs(read(root).images.astype(int) - upright).mean() < 2


def test_the_parent_folder_will_do(root):
    assert read(root.parent).fingerprint == read(root).fingerprint


def test_other_images_are_counted_and_other_files_passed_over(root):
    session = root / "sessions" / "6280"
    for name in ("face.jpg", "9977-angry_X-AA-01.jpg", "copy of 9977-angry_F-AA-01.jpg"):
        Image.fromarray(picture(1)).save(session / name)
    (session / "deeper").mkdir()
    Image.fromarray(picture(1)).save(session / "deeper" / "9977-angry_F-AA-01.jpg")
    for name in ("ratings.csv", "consent.pdf", "._9977-angry_F-AA-01.jpg"):
        (session / name).write_text("no image")
    faces = read(root)
    assert len(faces) == len(PHOTOGRAPHS)
    assert any(note.startswith("4 images are not named like") for note in faces.notes)


def test_a_child_in_two_sessions_is_one_subject_and_noted(root):
    Image.fromarray(picture(1)).save(root / "sessions" / "6282" / "1-sadopen_F-AA-03.jpg")
    other = root / "sessions" / "6283"
    other.mkdir()
    Image.fromarray(picture(2)).save(other / "2-happy_F-AA-3.jpg")
    faces = read(root)
    assert (faces.metadata["subject"] == "F-AA-03").sum() == 3
    assert "children with more than one session, each kept as one subject: F-AA-03" in faces.notes


def test_two_children_in_one_session_are_refused(root):
    Image.fromarray(picture(1)).save(root / "sessions" / "6401" / "1-sad_F-EA-15.jpg")
    refused(r"session 6401 is one child's, but has sessions/6401/1-sad_F-EA-15\.jpg and sessions/6401/10541-happy_F-EA-14\.jpg", root)


@pytest.mark.parametrize("token", ["contempt", "happyish", "openhappy", "tongue", "afraid"])
def test_an_unknown_expression_is_refused(root, token):
    Image.fromarray(picture(1)).save(root / "sessions" / "6401" / f"1-{token}_F-EA-14.jpg")
    refused(rf"1-{token}_F-EA-14\.jpg: '{token}' is not an expression of CAFE \(known: angry, disgust", root)


@pytest.mark.parametrize("keep", [0, 20, 600])
def test_an_unreadable_image_is_named(root, keep):
    file = root / "sessions" / "6401" / "10541-happy_F-EA-14.jpg"
    content = file.read_bytes()
    assert len(content) > keep
    file.write_bytes(content[:keep])
    refused(r"6401/10541-happy_F-EA-14\.jpg: cannot be read as an image", root)


def test_adults_are_refused(root):
    refused("CAFE has no population 'adults': it has only children", root, population="adults")


def test_folders_of_another_layout_are_refused(tmp_path, root):
    refused("nowhere: no such folder", tmp_path / "nowhere")
    refused("is a file, not the folder", root / "sessions" / "6280" / "9977-angry_F-AA-01.jpg")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused("empty: has no folder sessions .* it is empty", empty)
    (empty / "angry").mkdir()
    refused("has no folder sessions .* it has angry", empty)
    (empty / "sessions").mkdir()
    refused(r"empty/sessions: no image is named like .* found nothing", empty)
    (empty / "sessions" / "6280").mkdir()
    (empty / "sessions" / "6280" / "im0.png").write_bytes(b"")
    refused(r"no image is named like .* found sessions/6280/im0\.png", empty)


def test_two_copies_side_by_side_are_refused(tmp_path, root):
    root.rename(tmp_path / "copy")
    layouts.cafe(tmp_path, {"6401/10541-happy_F-EA-14.jpg": picture(1)})
    refused("name the one that is meant", tmp_path)


@given(st.from_regex(_NAME, fullmatch=True))
def test_every_name_of_the_pattern_has_facts_or_is_refused(stem):
    file = Path("sessions", "1", stem + ".jpg")
    token = stem.split("_")[0].split("-")[-1].lower()
    known = token.startswith(("angry", "disgust", "fearful", "happy", "neutral", "sad", "surprise"))
    try:
        metadata = _parse_name(file, _NAME.fullmatch(stem))
    except DataError as error:
        assert str(file) in str(error)
    else:
        assert known and metadata["subject"].split("-")[:2] == [metadata["sex"], metadata["ethnicity"]]
