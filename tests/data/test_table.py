"""A data set as a table: separators, encodings, columns, archives, parquet; what cannot be trusted is one line with file and row."""

import csv
import io
import tarfile
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from platform.data.__main__ import app
from trainables.data.dataset import DataError, Doubt, FaceDataset
from trainables.data.source import Source

RNG = np.random.default_rng(0)
LABELS = ("Happy", "ANGRY", "neutral", "awe")
CLASSES = ("anger", "happiness", "neutral", "awe")


def draw(file: Path, level: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((32, 32), level, np.uint8)).save(file, "PNG")


def write(folder: Path, table: str, encoding: str = "utf-8", name: str = "labels.csv", files: int = 8) -> Path:
    """Write pictures 0.png, 1.png, ... of levels 10, 20, ... into `pictures`, and a table of this text."""
    for number in range(files):
        draw(folder / "pictures" / f"{number}.png", 10 * (number + 1))
    (folder / name).write_bytes(table.encode(encoding))
    return folder / name


def read(path: Path, **options: str) -> FaceDataset:
    return Source("table", str(path), options=tuple(options.items())).read_faces(32, "grey")


def get_labels(faces: FaceDataset) -> dict[int, str]:
    """Return by level the class of each image."""
    names = [*faces.classes, "none"]
    return {int(image.max()): names[label] for image, label in zip(faces.images, faces.labels, strict=True)}


ROWS = [(f"pictures/{number}.png", LABELS[number % 4]) for number in range(8)]
EXPECTED = {10 * (number + 1): ("happiness", "anger", "neutral", "awe")[number % 4] for number in range(8)}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_any_text(tmp_path: Path, separator: str, encoding: str, newline: str) -> None:
    """With an accent, so that the encoding counts."""
    lines = [("file", "emotion", "person"), *((file, label, "José") for file, label in ROWS)]
    path = write(tmp_path, newline.join(separator.join(line) for line in lines) + newline, encoding)
    faces = read(path)
    assert get_labels(faces) == EXPECTED and faces.classes == CLASSES
    assert set(faces.metadata["subject"]) == {"José"}
    assert "labels: Happy -> happiness 2, ANGRY -> anger 2" in faces.notes
    assert "classes of its own, beside the eight usual ones: awe" in faces.notes


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        (lambda file: file, {}),
        (lambda file: file.removeprefix("pictures/"), {}),
        (lambda file: file.removeprefix("pictures/").removesuffix(".png"), {"root": "pictures"}),
        (lambda file: file.upper(), {}),
        (lambda file: f"./{file}", {}),
        (lambda file: file.replace("/", "\\"), {}),
    ],
)
def test_any_way_to_name_a_file(tmp_path: Path, shape: Any, options: dict[str, str]) -> None:
    path = write(tmp_path, "path,label\n" + "".join(f"{shape(file)},{label}\n" for file, label in ROWS))
    assert get_labels(read(path, **{name: str(tmp_path / value) for name, value in options.items()})) == EXPECTED


def test_names_are_compared_in_nfc_and_content_tells_the_format(tmp_path: Path) -> None:
    """macOS writes é as e and an accent; a file needs no suffix."""
    draw(tmp_path / unicodedata.normalize("NFD", "é-1.png"), 50)
    draw(tmp_path / "no_suffix", 90)
    (tmp_path / "t.csv").write_text("file,label\né-1.png,fear\nno_suffix,fear\n", encoding="utf-8")
    assert get_labels(read(tmp_path / "t.csv")) == {50: "fear", 90: "fear"}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_files_in_an_archive(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, "file,label\n" + "".join(f"{file},{label}\n" for file, label in ROWS))
    archive = tmp_path / f"faces.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as out:
            for file, _ in ROWS:
                out.write(tmp_path / file, file)
            out.writestr("__MACOSX/._0.png", "junk")
    else:
        with tarfile.open(archive, "w:gz" if kind.endswith("gz") else "w") as bundle:
            for file, _ in ROWS:
                bundle.add(tmp_path / file, file)
            link = tarfile.TarInfo("pictures/link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            bundle.addfile(link)
    for file, _ in ROWS:
        (tmp_path / file).unlink()
    faces = read(path, root=str(archive))
    assert get_labels(faces) == EXPECTED
    assert read(path, root=str(archive)).fingerprint == faces.fingerprint


def test_an_archive_does_not_write_outside(tmp_path: Path) -> None:
    path = write(tmp_path, "file,label\n../evil.png,fear\n")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as out:
        out.writestr("../evil.png", "x")
    with pytest.raises(DataError, match="is not a file within the data set's folder"):
        read(path, root=str(tmp_path / "evil.zip"))
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(DataError, match=r"broken\.zip: cannot be unpacked \("):
        read(path, root=str(tmp_path / "broken.zip"))


def test_pictures_in_parquet(tmp_path: Path) -> None:
    """As in Hugging Face's sets: the bytes of the file in the column itself."""
    rows = []
    for number in range(8):
        content = io.BytesIO()
        Image.fromarray(np.full((32, 32), 10 * (number + 1), np.uint8)).save(content, "PNG")
        rows.append({"image": {"bytes": content.getvalue(), "path": None}, "label": LABELS[number % 4]})
    pd.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    assert get_labels(read(tmp_path / "t.parquet")) == EXPECTED
    pd.DataFrame([{"image": row["image"]["bytes"], "label": row["label"]} for row in rows]).to_parquet(tmp_path / "bytes.parquet")
    assert get_labels(read(tmp_path / "bytes.parquet")) == EXPECTED


def test_everything_that_a_table_may_say(tmp_path: Path) -> None:
    text = "file,label,subject,sequence,age,gender,usage,votes_anger,votes_fear,valence,arousal\n"
    for number, (file, _) in enumerate(ROWS):
        part = ("Training", "PublicTest", "PrivateTest")[number % 3]
        person = f"p{number % 2},s{number // 2},{4 + number},{'fm'[number % 2]}"
        text += f"{file},{('anger', 'fear')[number % 2]},{person},{part},{number},1,{number / 8},-0.5\n"
    faces = read(write(tmp_path, text))
    row = faces.metadata.set_index("source").loc["pictures/3.png"]
    assert row.to_dict() == {
        "subject": "p1", "sequence": "s1", "age": 7.0, "sex": "M", "split": "train", "votes_anger": 3.0, "votes_fear": 1.0,
        "valence": 0.375, "arousal": -0.5,
    }  # fmt: skip
    assert faces.metadata["split"].value_counts().to_dict() == {"train": 3, "val": 3, "test": 2}


def test_columns_by_option_and_persons_by_pattern(tmp_path: Path) -> None:
    """Yale's faces are named subject01.happy; one name has another form, and is counted."""
    for number in range(5):
        draw(tmp_path / f"subject0{number}.happy", 10 + number)
    draw(tmp_path / "other.happy", 99)
    lines = [f"subject0{number}.happy,happy" for number in range(5)] + ["other.happy,sad"]
    (tmp_path / "t.csv").write_text("\n".join(["who,what", *lines]))
    faces = read(tmp_path / "t.csv", file="who", label="what", subject=r"subject(\d+)")
    assert faces.metadata["subject"].tolist()[:5] == ["00", "01", "02", "03", "04"] and pd.isna(faces.metadata["subject"].iloc[5])
    (note,) = [note for note in faces.notes if "finds nobody" in note]
    assert note.startswith("in 1 of 6 names subject=subject(\\d+) finds nobody; the first: other.happy") and isinstance(note, Doubt)


def test_numbers_are_named_by_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, "file,label\n" + "".join(f"{file},{number % 2}\n" for number, (file, _) in enumerate(ROWS)))
    (tmp_path / "names.csv").write_text("value,label\n0,Angry\n1,fear\n")
    assert set(get_labels(read(path, labels=str(tmp_path / "names.csv"))).values()) == {"anger", "fear"}
    with pytest.raises(DataError, match=r"labels\.csv: row 2, column label: '0' is not a word, and numbers mean .* give labels=FILE"):
        read(path)
    (tmp_path / "half.csv").write_text("value,label\n0,Angry\n")
    with pytest.raises(DataError, match=r"half\.csv: has no line for the label '1' of "):
        read(path, labels=str(tmp_path / "half.csv"))


def test_boxes_and_pictures_that_are_listed_twice(tmp_path: Path) -> None:
    picture = np.zeros((40, 80), np.uint8)
    picture[:, 40:] = 200
    Image.fromarray(picture).save(tmp_path / "two.png")
    (tmp_path / "t.csv").write_text(
        "file,label,left,top,width,height\ntwo.png,sad,0,0,40,40\ntwo.png,fear,40,0,40,40\ntwo.png,fear,40,0,40,40\n"
    )
    faces = read(tmp_path / "t.csv")
    assert get_labels(faces) == {0: "sadness", 200: "fear"}
    assert "1 row lists a picture that an earlier row lists, and is left out" in faces.notes


@pytest.mark.parametrize("names", ["Left,TOP,Width,height", "x,y,w,h", "X,Y,Width,Height"])
def test_boxes_have_several_names(tmp_path: Path, names: str) -> None:
    picture = np.zeros((40, 80), np.uint8)
    picture[:, 40:] = 200
    Image.fromarray(picture).save(tmp_path / "two.png")
    (tmp_path / "t.csv").write_text(f"file,label,{names}\ntwo.png,fear,40,0,40,40\n")
    faces = read(tmp_path / "t.csv")
    assert get_labels(faces) == {200: "fear"} and f"file from file, label from label, {', '.join(names.split(','))}" in faces.notes[0]


def test_columns_that_are_read_and_not_read_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "path,Feeling,Valence,votes_happy,VOTES_Sad\n" + "".join(f"{file},{label},0.5,3,1\n" for file, label in ROWS))
    faces = read(path)
    assert (
        faces.notes[0] == "columns read: file from path, Valence, votes_happy, VOTES_Sad; not read: Feeling" and (faces.labels == -1).all()
    )
    assert {"valence", "votes_happiness", "votes_sadness"} <= set(faces.metadata)


@pytest.mark.parametrize("unknown", ["NA", "nan", "None", "unknown", "-", "?", " "])
def test_unknown_is_written_in_many_ways(tmp_path: Path, unknown: str) -> None:
    text = "file,label,subject,sex,age\n" + "".join(f"{file},{label},p{row},f,7\n" for row, (file, label) in enumerate(ROWS[:7]))
    faces = read(write(tmp_path, f"{text}pictures/7.png,{unknown},{unknown},{unknown},{unknown}\n"))
    assert get_labels(faces)[80] == "none" and "1 of 8 rows have no label" in faces.notes
    last = faces.metadata.set_index("source").loc["pictures/7.png"]
    assert last[["subject", "sex", "age"]].isna().all()


@pytest.mark.parametrize("label", ["радость", "高兴", "Zoë's"])
def test_labels_of_any_language_are_words(tmp_path: Path, label: str) -> None:
    faces = read(write(tmp_path, f"file,label\npictures/0.png,{label}\npictures/1.png,fear\n"))
    assert len(faces.classes) == 2 and "fear" in faces.classes


def test_whole_numbers_beside_empty_cells_of_parquet_are_whole(tmp_path: Path) -> None:
    write(tmp_path, "")
    rows = [{"file": file, "label": None if row == 3 else row % 2} for row, (file, _) in enumerate(ROWS)]
    pd.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "names.csv").write_text("value,label\n0,angry\n1,fear\n")
    labels = get_labels(read(tmp_path / "t.parquet", labels=str(tmp_path / "names.csv")))
    assert labels == {10 * (row + 1): "none" if row == 3 else ("anger", "fear")[row % 2] for row in range(8)}


def test_persons_in_the_paths_of_parquet(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(content, "PNG")
    rows = [{"image": {"bytes": content.getvalue(), "path": f"kid{row % 2}_{row}.png"}, "label": "fear"} for row in range(4)]
    pd.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet", subject="(kid[0-9])_").metadata["subject"].tolist() == ["kid0", "kid1"] * 2


def test_one_name_in_two_folders_and_names_that_differ_in_case(tmp_path: Path) -> None:
    for number, name in enumerate(("train/0.png", "test/0.png", "a3.png", "B4.png")):
        draw(tmp_path / name, 10 * (number + 1))
    (tmp_path / "t.csv").write_text("file,label\n0.png,fear\n")
    with pytest.raises(DataError, match=r"row 2: several files in .* are called 0\.png; give their paths"):
        read(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("file,label\n" + "A3.png,happy\na3.png,fear\nb4.PNG,sad\n" + "train/0.png,fear\n" * 30)
    faces = read(tmp_path / "t.csv")
    assert get_labels(faces) == {30: "fear", 40: "sadness", 10: "fear"}, "A3.png is missing, and is not a3.png, which has a row"
    (tmp_path / "t.csv").write_text(f"file,label\n{tmp_path / 'a3.png'},fear\n")
    assert get_labels(read(tmp_path / "t.csv")) == {30: "fear"}, "an absolute path within the folder"


def test_archives_as_they_are_made_and_damaged(tmp_path: Path) -> None:
    path = write(tmp_path, "file,label\n" + "".join(f"{file},{label}\n" for file, label in ROWS))
    with tarfile.open(tmp_path / "dot.tar", "w") as bundle:
        bundle.add(tmp_path / "pictures", "./pictures")
    assert get_labels(read(path, root=str(tmp_path / "dot.tar"))) == EXPECTED
    noise = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    for kind, mode in (("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz"), ("tar.bz2", "w:bz2")):
        with tarfile.open(tmp_path / f"whole.{kind}", mode) as bundle:
            bundle.add(tmp_path / "pictures", "pictures")
        whole = (tmp_path / f"whole.{kind}").read_bytes()
        for share in (0.3, 0.6, 0.9):
            (tmp_path / f"cut.{kind}").write_bytes(whole[: int(share * len(whole)) // 512 * 512])
            with pytest.raises(DataError, match=r"cut\..*: cannot be unpacked"):
                read(path, root=str(tmp_path / f"cut.{kind}"))
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        with zipfile.ZipFile(tmp_path / "bad.zip", "w", method) as out:
            for number in range(8):
                out.write(tmp_path / "pictures" / f"{number}.png", f"pictures/{number}.png")
        content = bytearray((tmp_path / "bad.zip").read_bytes())
        content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
        (tmp_path / "bad.zip").write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.zip: cannot be unpacked"):
            read(path, root=str(tmp_path / "bad.zip"))


def test_ages_tell_children_from_adults(tmp_path: Path) -> None:
    path = write(tmp_path, "file,label,age\n" + "".join(f"{file},fear,{8 * number}\n" for number, (file, _) in enumerate(ROWS)))
    children = Source("table", str(path), "children").read_faces(32, "grey")
    adults = Source("table", str(path), "adults").read_faces(32, "grey")
    assert len(children) == 2 and len(adults) == 4 and "adults: 4 of 8 rows, by their ages" in adults.notes


BAD: dict[str, tuple[str, str]] = {
    "no file column": ("who,label\na,b\n", "no column file; did you mean label\\? file=COLUMN names the column of the files"),
    "most are missing": ("file,label\nnowhere.png,fear\n", r"row 2: 1 of 1 files are not in .*; the first: nowhere.png; give root=FOLDER"),
    "two labels": ("file,label\npictures/0.png,sad\npictures/0.png,fear\n", "rows 2 and 3: pictures/0.png has the labels sadness and fear"),
    "leads out": ("file,label\n../../etc/passwd,fear\n", "row 2: '../../etc/passwd' is not a file within"),
    "an age": ("file,label,age\npictures/0.png,fear,old\n", "row 2: age 'old' is not a number from 0 to 130"),
    "a sex": ("file,label,sex\npictures/0.png,fear,x\n", r"row 2, column sex: 'x' is no sex \(known: f, female"),
    "no word": ("file,label\npictures/0.png,!!\n", "row 2, column label: '!!' is not a word"),
    "a split": ("file,label,split\npictures/0.png,fear,later\n", "row 2, column split: 'later' is no split"),
    "half a split": ("file,label,split\npictures/0.png,fear,\npictures/1.png,fear,test\n", "row 2, column split: is empty"),
    "half a box": ("file,label,left,top,width,height\npictures/0.png,fear,1,,3,4\n", "row 2, column left: has no whole box"),
    "a box outside": ("file,label,left,top,width,height\npictures/0.png,fear,90,90,3,4\n", "lies outside the picture"),
    "a short line": ("file,label\npictures/0.png\n", "row 2 has 1 fields, the header 2"),
    "nothing": ("", "is empty"),
    "a header alone": ("file,label\n", "has a header and no row"),
    "one name twice": ("file,file\na,b\n", "two columns are called file"),
    "no text": ("\x00\x01", "is not text"),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_cannot_be_trusted_is_one_line(tmp_path: Path, fault: str) -> None:
    text, message = BAD[fault]
    with pytest.raises(DataError, match=message) as caught:
        read(write(tmp_path, text))
    assert "\n" not in str(caught.value) and "labels" in str(caught.value) + "labels" * (fault == "a box outside")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"label": "emo"}, "no column emo"), ({"subject": "a("}, "neither a column nor"), ({"root": "nowhere"}, "no such folder")],
)
def test_wrong_options_are_one_line(tmp_path: Path, options: dict[str, str], message: str) -> None:
    path = write(tmp_path, "file,label\npictures/0.png,fear\n")
    with pytest.raises(DataError, match=message):
        read(path, **options)


CELL = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)


ROWS_OF_TEXT = st.lists(st.lists(CELL, min_size=1, max_size=5), max_size=6)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(CELL, min_size=1, max_size=5), max_size=6),
    st.sampled_from(["file", "label", "age", "split", "sex", "subject", "left"]),
    st.sampled_from(",;\t"),
)
def test_malformed_tables_are_read_or_refused_in_one_line(tmp_path: Path, rows: list[list[str]], column: str, separator: str) -> None:
    path = write(
        tmp_path,
        "\n".join([separator.join(["file", "label", column]), f"pictures/0.png{separator}fear{separator}1", *map(separator.join, rows)]),
        files=1,
    )
    try:
        faces = read(path)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert len(faces) == 1


def test_any_set_is_written_as_a_table_that_reads_back(tmp_path: Path) -> None:
    for number in range(12):
        draw(
            tmp_path / "set" / ("train", "test")[number % 2] / ("happy", "fear")[number // 6] / f"p{number % 3}_{number}.png",
            10 * (number + 1),
        )
    pattern = "subject=(p[0-9])_"
    result = CliRunner().invoke(app, ["table", f"folders:{tmp_path / 'set'},{pattern}"])
    assert result.exit_code == 0
    (tmp_path / "labels.csv").write_text(result.stdout)
    ours = Source("folders", str(tmp_path / "set"), options=(("subject", "(p[0-9])_"),)).read_faces(32, "grey")
    again = read(tmp_path / "labels.csv", root=str(tmp_path / "set"))
    assert get_labels(again) == get_labels(ours) and again.metadata.to_dict() == ours.metadata.to_dict()
    assert f"root={tmp_path / 'set'}" in result.stderr
    embedded = CliRunner().invoke(app, ["table", "faces:children"])
    assert embedded.exit_code == 0 and "this table cannot be read back" in embedded.stderr and "root=" not in embedded.stderr
    assert CliRunner().invoke(
        app, ["check", f"table:{tmp_path / 'labels.csv'},root={tmp_path / 'set'}", "--sheets", str(tmp_path / "s")]
    ).exit_code in (0, 1)


def test_a_table_of_a_set_holds_no_formula_and_reads_back(tmp_path: Path) -> None:
    """Folders and persons may have any name. A spreadsheet, in which such a table is edited, would compute `=fear/0.png`."""
    for number in range(8):
        draw(tmp_path / "set" / ("=fear", "@calm")[number % 2] / f"-p{number % 4}_{number}.png", 10 * (number + 1))
    result = CliRunner().invoke(app, ["table", f"folders:{tmp_path / 'set'},subject=(-p[0-9])_"])
    assert result.exit_code == 0
    cells = [cell for row in csv.reader(io.StringIO(result.stdout)) for cell in row]
    assert {"'=fear/-p0_0.png", "'@calm/-p1_1.png", "'-p0"} <= {*cells} and not [cell for cell in cells if cell.startswith(("=", "@", "-"))]
    (tmp_path / "labels.csv").write_text(result.stdout)
    again = read(tmp_path / "labels.csv", root=str(tmp_path / "set"))
    assert get_labels(again) == {10 * (number + 1): ("fear", "calm")[number % 2] for number in range(8)}
    assert set(again.metadata["subject"]) == {f"-p{number}" for number in range(4)}
