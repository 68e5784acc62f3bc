"""The contract of a data set's reader: it reads every label correctly, writes nothing, ignores junk and names broken files."""

import os
import re
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.data.tree import Tree, known
from tests.data.trees import TREES
from trainables.data.dataset import CLASSES, DataError, Doubt, FaceDataset, readers
from trainables.data.decode import crop_square

ONE_FILE = ("fer2013",)
IN_FOLDERS = [name for name in TREES if name not in ONE_FILE]


@pytest.fixture(params=TREES)
def tree(request, tmp_path: Path) -> Tree:
    return TREES[request.param](tmp_path)


@pytest.fixture(params=IN_FOLDERS)
def folder(request, tmp_path: Path) -> Tree:
    return TREES[request.param](tmp_path)


def refused(tree: Tree, message: str | None = None, **options: str) -> str:
    with pytest.raises(DataError, match=message) as caught:
        tree.read(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_kind_is_here():
    assert set(TREES) >= set(readers()) - {"faces"}


def test_every_picture_has_its_label_and_its_facts(tree):
    faces = tree.read(size=64, colour="rgb")
    rows = {source: row for row, source in enumerate(faces.metadata["source"])}
    assert sorted(rows) == sorted(source for source, _, _ in tree.rows)
    for source, emotion, metadata in tree.rows:
        row = rows[source]
        assert (None if faces.labels[row] < 0 else faces.classes[faces.labels[row]]) == emotion, source
        for name, value in metadata.items():
            actual = known(faces.metadata[name].iloc[row]) if name in faces.metadata else None
            assert actual == (pytest.approx(value) if isinstance(value, float) else value), (source, name)


def test_classes_stand_in_the_canonical_order(tree):
    faces = tree.read()
    assert faces.classes == tuple(tree.classes)
    positions = [CLASSES.index(name) if name in CLASSES else len(CLASSES) for name in faces.classes]
    assert positions == sorted(positions)


def test_pictures_are_those_of_their_rows(tree):
    """Each image is nearer to the face that was written for its row than to the face of any other row."""
    faces = tree.read(size=24, colour="rgb")
    written = np.stack([crop_square(tree.pictures[source], 24, "rgb") for source in faces.metadata["source"]]).astype(float)
    if tree.kind == "fer2013":  # its files are grey
        written = np.repeat(written.mean(axis=1, keepdims=True), 3, axis=1)
    difference = np.abs(faces.images[:, None].astype(float) - written[None]).mean(axis=(2, 3, 4))
    assert (difference.argmin(axis=1) == np.arange(len(faces))).all()
    assert difference.diagonal().max() < 20


@pytest.mark.parametrize(("size", "colour", "channels"), [(16, "grey", 1), (48, "rgb", 3)])
def test_size_and_colour(tree, size, colour, channels):
    faces = tree.read(size, colour)
    assert faces.images.shape == (len(tree.rows), channels, size, size) and faces.images.dtype == np.uint8


def test_parts_are_official_ones_in_their_order(tree):
    metadata = tree.read().metadata
    if "split" in metadata and tree.kind != "images":
        positions = [("train", "val", "test").index(part) for part in metadata["split"]]
        assert positions == sorted(positions)
        if "subject" in metadata:
            assert (metadata.groupby("subject")["split"].nunique() == 1).all()


def test_a_copy_elsewhere_is_the_same_data_set(folder, tmp_path):
    first = folder.read()
    moved = tmp_path / "elsewhere" / folder.path.name
    shutil.copytree(folder.path, moved)
    folder.path = moved
    assert folder.read().fingerprint == first.fingerprint == folder.read().fingerprint


def test_nothing_is_written_beside_the_source(tree, tmp_path):
    def state() -> dict:
        return {file: (file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(tmp_path.rglob("*"))}

    before = state()
    tree.read()
    assert state() == before


def test_junk_is_passed_over(folder):
    before = folder.read()
    for directory in {folder.path, *(folder.path / source.split("#")[0] for source, _, _ in folder.rows)}:
        directory = directory if directory.is_dir() else directory.parent
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._face.jpg", ".hidden.png"):
            (directory / name).write_bytes(b"junk")
        (directory / "__MACOSX").mkdir(exist_ok=True)
        (directory / "__MACOSX" / "._face.jpg").write_bytes(b"junk")
    assert folder.read().fingerprint == before.fingerprint


def test_suffixes_in_capitals_are_the_same_pictures(folder):
    before = folder.read()
    for source, _, _ in folder.rows:
        file = folder.path / source.split("#")[0]
        if file.exists() and folder.kind not in ("imdb_wiki",) and "Manually" not in source and folder.kind != "ferplus":
            file.rename(file.with_suffix(file.suffix.upper()))
    after = folder.read()
    assert np.array_equal(np.sort(after.labels), np.sort(before.labels)) and len(after) == len(before)


def test_a_loop_of_links_ends(folder):
    before = folder.read()
    directory = (folder.path / folder.rows[0][0].split("#")[0]).parent
    (directory / "loop").symlink_to(folder.path, target_is_directory=True)
    assert folder.read().fingerprint == before.fingerprint


def png_of(width: int, height: int) -> bytes:
    """Return a PNG whose header declares `width` x `height` pixels but whose data are too short."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (head, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("damage", ["truncated", "empty", "ten gigapixels", "a pipe"])
def test_a_picture_that_cannot_be_read_is_named(folder, damage):
    file = folder.path / folder.rows[0][0].split("#")[0]
    content = file.read_bytes()
    file.unlink()
    if damage == "a pipe":
        os.mkfifo(file)
    else:
        file.write_bytes({"truncated": content[:60], "empty": b"", "ten gigapixels": png_of(100_000, 100_000)}[damage])
    try:
        faces = folder.read()
    except DataError as error:
        assert file.name in str(error) and "\n" not in str(error)
    else:  # one unreadable picture among many readable ones is left out
        assert len(faces) == len(folder.rows) - 1
        assert any(isinstance(note, Doubt) and file.name in note for note in faces.notes)


def test_few_such_pictures_among_many_are_left_out_and_noted(tmp_path):
    tree = TREES["images"](tmp_path)
    for number in range(40):
        shutil.copy(tree.path / "a.jpg", tree.path / f"c{number}.jpg")
    (tree.path / "b" / "1.png").write_bytes(b"")
    faces = tree.read()
    assert len(faces) == 42 and faces.notes[0].startswith("1 of 43 images cannot be read and are left out; the first: ")


def test_a_missing_label_file_is_named(folder, tmp_path):
    for file in folder.labels:
        aside = (folder.path / file).rename(tmp_path / "aside")
        assert str(folder.path) in refused(folder)
        aside.rename(folder.path / file)


def test_what_is_no_such_folder_is_one_line(tree, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (tmp_path / "nowhere", empty):
        tree.path = path
        assert str(path) in refused(tree)


def test_populations_are_answered_or_refused(tree):
    for population in ("children", "adults"):
        if tree.population not in ("", population) or (population == "children" and not tree.knows_ages):
            assert tree.path.name in refused(tree, population=population) or population in str(tree.path)
        else:
            try:
                faces: FaceDataset = tree.read(population=population)
            except DataError as error:
                assert "no image is left" in str(error)
                continue
            assert 0 < len(faces) <= len(tree.rows)
            if population == "adults" and not tree.knows_ages:
                assert any(note.startswith("adults: used whole, children among them") for note in faces.notes)
            if "age" in faces.metadata:
                ages = faces.metadata["age"].dropna()
                assert (ages <= 16).all() if population == "children" else (ages >= 18).all()


def test_labels_are_the_same_in_every_population(tree):
    whole = tree.read()
    label_of = dict(zip(whole.metadata["source"], whole.labels, strict=True))
    for population in ("children", "adults"):
        try:
            part = tree.read(population=population)
        except DataError:
            continue
        assert part.classes == whole.classes
        assert [label_of[source] for source in part.metadata["source"]] == part.labels.tolist()


def test_the_summaries_are_single_lines():
    for kind, reader in readers().items():
        assert reader.summary and not re.search(r"\n|—", reader.summary), kind
        assert len(reader.summary) < 140, kind
        if kind != "faces":
            assert reader.source and reader.licence, kind
