"""FER2013's csv: files in the official layout are read back, and other files are refused."""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data import layouts
from trainables.data.dataset import DataError, FaceDataset, find_reader

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""class names by official code"""
USAGES = ("Training", "PublicTest", "PrivateTest")


def read(file: Path, size: int = 48, colour: str = "grey", population: str | None = None, **options: object) -> FaceDataset:
    return find_reader("fer2013").read(str(file), size=size, colour=colour, population=population, **options)


def random_faces(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 48, 48), dtype=np.uint8)


def names(faces: FaceDataset) -> list[str]:
    return [faces.classes[label] for label in faces.labels]


def rows(faces: FaceDataset) -> list[int]:
    return [int(source.rsplit(" ", 1)[1]) for source in faces.metadata["source"]]


def refused(message: str, file: Path, **arguments: object) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(file, **arguments)
    assert "\n" not in str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file of seven rows, one for each code."""
    return layouts.fer2013(
        tmp_path / "fer2013.csv", random_faces(7), range(7), ["Training"] * 4 + ["PublicTest", "PrivateTest", "Training"]
    )


@pytest.mark.parametrize("icml", [False, True])
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_both_headers_are_read_back_exactly(tmp_path, icml, quoted, ending):
    images = random_faces(9)
    codes = [3, 0, 1, 2, 4, 5, 6, 3, 3]
    usages = [USAGES[i % 3] for i in range(9)]
    file = layouts.fer2013(tmp_path / "any.csv", images, codes, usages, icml=icml, quoted=quoted)
    file.write_bytes(file.read_bytes().replace(b"\n", ending))
    faces = read(file)
    np.testing.assert_array_equal(faces.images, images[:, None])
    assert faces.classes == ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    assert names(faces) == [NAMES[code] for code in codes]
    assert faces.metadata["source"].tolist() == [f"any.csv row {row}" for row in range(9)]
    assert faces.metadata["usage"].tolist() == usages
    assert faces.metadata["split"].tolist() == ["train", "val", "test"] * 3
    assert "age" not in faces.metadata


def test_size_and_colour(tmp_path):
    images = random_faces(2)
    faces = read(layouts.fer2013(tmp_path / "f.csv", images, [0, 1], ["Training"] * 2), size=24, colour="rgb")
    assert faces.images.shape == (2, 3, 24, 24)
    for face, image in zip(faces.images, images, strict=True):
        for channel in face:
            np.testing.assert_array_equal(channel, cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA))


def test_populations_follow_the_ages(tmp_path):
    file = layouts.fer2013(tmp_path / "f.csv", random_faces(8), [0] * 8, ["Training"] * 8)
    years = [-1, 12, 12.5, 13, 24, 25, 70, 3]
    ages = layouts.ages(tmp_path / "ages.csv", years)
    children, adults, everyone = (read(file, population=population, ages=ages) for population in ("children", "adults", None))
    assert rows(children) == [0, 1, 7]
    assert rows(adults) == [5, 6]
    assert everyone.metadata["age"].tolist() == [0, 12, 12.5, 13, 24, 25, 70, 3]
    assert children.title == "FER2013, children of 12 or under"
    assert "children: 3 of 8 rows by ages.csv, 3 of them kept" in children.notes


def test_without_ages_adults_are_everyone_and_children_an_error(file):
    adults = read(file, population="adults")
    assert len(adults) == 7
    assert any("used whole" in note for note in adults.notes)
    refused(r"fer2013\.csv: .*give ages=FILE", file, population="children")
    refused("unknown population 'teens'", file, population="teens")


def test_one_part_of_the_official_split(file):
    everyone, part = read(file), read(file, part="train")
    wanted = everyone.metadata["split"] == "train"
    assert wanted.any() and not wanted.all() and "part train" in part.title
    assert rows(part) == [row for row, taken in zip(rows(everyone), wanted, strict=True) if taken]
    assert np.array_equal(part.images, everyone.images[wanted.to_numpy()]) and part.fingerprint != everyone.fingerprint
    assert "part train" in read(file, population="adults", part="train").title
    refused(r"unknown part 'trian' \(known: train, val, test\)", file, part="trian")


def test_ages_may_be_in_any_order(tmp_path, file):
    ages = tmp_path / "ages.csv"
    ages.write_text("age, row\n" + "".join(f"{10 * row},{row}\n" for row in (3, 1, 0, 2, 6, 5, 4)))
    assert read(file, ages=ages).metadata["age"].tolist() == [0, 10, 20, 30, 40, 50, 60]


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 2)),  # index of the picture (0 is constant), code, split
        min_size=1,
        max_size=8,
    )
)
def test_copies_and_constant_images_are_dropped_as_a_plain_loop_does(records):
    pool = random_faces(5)
    pool[0] = 77
    images = pool[[picture for picture, _, _ in records]]
    expected = []
    for row, (picture, code, _) in enumerate(records):
        copies = [other for other in range(len(records)) if np.array_equal(images[other], images[row])]
        if picture and row == copies[0] and all(records[other][1] == code for other in copies):
            expected.append(row)
    with tempfile.TemporaryDirectory() as folder:
        file = layouts.fer2013(Path(folder, "f.csv"), images, [code for _, code, _ in records], [USAGES[split] for _, _, split in records])
        if expected:
            faces = read(file)
            assert rows(faces) == expected
            np.testing.assert_array_equal(faces.images[:, 0], images[expected])
        else:
            refused("no image is left", file)


def test_notes_count_what_was_dropped(tmp_path):
    pool = random_faces(4)
    pool[0] = 0
    images = pool[[0, 1, 1, 2, 2, 2, 3, 3, 0]]
    codes = [0, 1, 1, 2, 2, 2, 3, 4, 0]  # picture 3 carries two labels
    usages = ["Training", "Training", "Training", "Training", "PublicTest", "PrivateTest", "Training", "PrivateTest", "Training"]
    faces = read(layouts.fer2013(tmp_path / "f.csv", images, codes, usages))
    assert rows(faces) == [1, 3]
    official, constant, copies = faces.notes
    assert official.startswith("9 rows, where the official file has 35,887")
    assert constant == "2 constant images dropped"
    assert copies.startswith("3 pictures stand in 7 rows (1 within one split, 2 across splits)")
    assert "1 of them carry different labels" in copies and copies.endswith("5 rows dropped")


def edited(file: Path, row: int, column: int, value: str) -> Path:
    lines = file.read_text().splitlines()
    fields = lines[row + 1].split(",")
    fields[column] = value
    lines[row + 1] = ",".join(fields)
    file.write_text("\n".join(lines) + "\n")
    return file


PIXELS = ["7"] * 2304


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, "7", "emotion '7' is not one of the codes 0 to 6"),
        (0, "-1", "emotion '-1'"),
        (0, "", "emotion ''"),
        (0, "happy", "emotion 'happy'"),
        (2, "Test", "Usage 'Test' is not one of Training, PublicTest, PrivateTest"),
        (1, " ".join(PIXELS[:-1]), "2303 pixels, not 2304"),
        (1, " ".join([*PIXELS, "7"]), "2305 pixels, not 2304"),
        (1, "", "0 pixels, not 2304"),
        (1, " ".join([*PIXELS[:-1], "256"]), "pixel value 256 is outside 0 to 255"),
        (1, " ".join(["-1", *PIXELS[1:]]), "pixel value -1 is outside 0 to 255"),
        (1, " ".join([*PIXELS[:-1], "9" * 30]), "is outside 0 to 255"),
        (1, " ".join([*PIXELS[:9], "x7", *PIXELS[10:]]), "pixel 'x7' is not a whole number"),
        (1, " ".join([*PIXELS[:9], "7.5", *PIXELS[10:]]), r"pixel '7\.5' is not a whole number"),
        (1, " ".join([*PIXELS[:9], "nan", *PIXELS[10:]]), "pixel 'nan' is not a whole number"),
    ],
)
def test_a_bad_row_is_named(file, column, value, message):
    refused(rf"fer2013\.csv, row 5 \(line 7\): .*({message})", edited(file, 5, column, value))


def test_a_quote_that_never_closes_is_named(file):
    refused(r"fer2013\.csv, row 5 \(line 8\): 2 columns, not 3", edited(file, 5, 1, '"' + " ".join(PIXELS)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; expected the columns emotion,pixels,Usage"),
        ("emotion,pixels,Usage\n", "has a header and no rows"),
        ("emotion,pixels,Usage", "has a header and no rows"),
        ("emotion,pixels\n", "the header is 'emotion,pixels'; expected the columns emotion,pixels,Usage"),
        ("version https://example.org/spec/v1\n", "the header is 'version https"),
        ("\n\n", "the header is ''"),
        ("emotion,pixels,Usage\n0,1 2,Training,more\n", r"row 0 \(line 2\): 4 columns, not 3"),
        ("emotion,pixels,Usage\n" + "x" * 200_000 + "\n", "line 2: not a csv"),
    ],
)
def test_another_layout_is_refused(tmp_path, content, message):
    file = tmp_path / "f.csv"
    file.write_text(content)
    refused(rf"f\.csv(:|,) .*{message}", file)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    refused(r"none\.csv: no such file", tmp_path / "none.csv")
    refused(r": is a directory", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("row,age\n0,5\n1,5\n2,5\n3,5\n4,5\n6,5\n", "1 of 7 rows have no age, first row 5"),
        ("row,age\n0,5\n1,5\n1,6\n", "line 4: row 1 is given a second time"),
        ("row,age\n0,old\n", "line 2: age 'old' is not a number"),
        ("row,age\n0,nan\n", "line 2: age 'nan' is not a number"),
        ("row,age\n0,inf\n", "line 2: age 'inf' is not a number"),
        ("row,age\n7,5\n", "line 2: row 7 is outside the data set's rows 0 to 6"),
        (f"row,age\n{'9' * 5000},5\n", "line 2: row 9+ is outside"),
        ("row,age\n-1,5\n", "line 2: row '-1' is not a whole number"),
        ("row,age\n0.0,5\n", "line 2: row '0.0' is not a whole number"),
        ("row;age\n0;5\n", "the header is 'row;age'; expected the columns row,age"),
        ("row,age\n0,5\n1,5\n2,5\n3,5\n4,5\n5,5\n6,5", "the last line has no end"),
        ("", "is empty"),
    ],
)
def test_a_bad_ages_file_is_refused(tmp_path, file, content, message):
    ages = tmp_path / "ages.csv"
    ages.write_text(content)
    refused(rf"ages\.csv(:|,) .*{message}", file, ages=ages)


def test_a_missing_ages_file_is_refused(tmp_path, file):
    refused(r"none\.csv: no such file", file, ages=tmp_path / "none.csv")


@pytest.mark.parametrize("icml", [False, True])
def test_a_file_cut_off_inside_a_row_is_refused_and_one_cut_between_rows_is_noted(tmp_path, icml):
    images = random_faces(3)
    whole = layouts.fer2013(tmp_path / "f.csv", images, [0, 1, 2], ["Training"] * 3, icml=icml).read_bytes()
    ends = [offset + 1 for offset, byte in enumerate(whole) if byte == ord("\n")]
    cuts = {cut for end in ends for cut in range(end - 25, end + 25)} | set(range(0, len(whole), 501)) | {len(whole)}
    for cut in sorted(cut for cut in cuts if 0 <= cut <= len(whole)):
        file = tmp_path / "cut.csv"
        file.write_bytes(whole[:cut])
        if cut in ends[1:]:
            faces = read(file)
            np.testing.assert_array_equal(faces.images[:, 0], images[: ends.index(cut)])
            assert faces.notes[0].startswith(f"{ends.index(cut)} rows, where the official file has 35,887")
        else:
            refused("cut.csv", file)


@given(st.data())
def test_damaged_bytes_are_read_or_refused_but_never_crash(data):
    with tempfile.TemporaryDirectory() as folder:
        file = layouts.fer2013(Path(folder, "f.csv"), random_faces(2), [0, 1], ["Training"] * 2, quoted=True)
        content = bytearray(file.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(0, len(content)))
            content[start : start + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        file.write_bytes(content)
        try:
            faces = read(file)
        except DataError as error:
            assert "f.csv" in str(error)
        else:
            assert len(faces) <= 2 and set(faces.labels) <= set(range(7))


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "f.csv")
        for start in (b"", b"emotion,pixels,Usage\n"):
            file.write_bytes(start + content)
            refused("f.csv", file)
