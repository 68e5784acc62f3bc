"""Pitfalls of data sets from the web, whose labels are in tables: read correctly, or refused with file and row."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data import layouts
from tests.data.tree import edit, portrait, refused, save, write
from tests.data.trees import HEADER, TREES
from trainables.data.dataset import DataError, find_reader
from trainables.data.readers import ferplus

# RAF-DB


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("train_00001.jpg 1", "train_00001.jpg 11", r"line 1: 'train_00001.jpg 11' is of the compound set"),
        ("train_00001.jpg 1", "train_0001.jpg 1", "line 1: .* is of the compound set"),
        ("train_00001.jpg 1", "train_00001.jpg 0", "line 1: 'train_00001.jpg 0' is not a name and code from 1 to 7"),
        ("train_00001.jpg 1", "train_00001.jpg happy", "line 1: .* is not a name and code"),
        ("train_00001.jpg 1", "../train_00001.jpg", "line 1: .* is not a name and code"),
        ("test_0001.jpg 1", "train_00001.jpg 2", "line 2: train_00001.jpg is listed a second time"),
        ("train_00001.jpg 1", "im1.jpg 1", "line 1: .* is not named like"),
    ],
)
def test_rafdb_lists_that_are_not_the_basic_set(tmp_path, old, new, message):
    tree = TREES["rafdb"](tmp_path)
    edit(tree.path / "EmoLabel/list_patition_label.txt", (old, new))
    refused(tree, message)


def test_rafdb_folders_are_codes_from_1(tmp_path):
    root = tmp_path / "DATASET"
    for code, emotion in enumerate(("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"), 1):
        save(root / f"train/{code}/train_{code:05}_aligned.jpg", portrait(emotion, code))
        save(root / f"test/{code}/test_{code:04}_aligned.jpg", portrait(emotion, code + 10))
    faces = find_reader("rafdb").read(str(root), size=32, colour="grey")
    official = TREES["rafdb"](tmp_path / "other").read()
    assert [faces.classes[label] for label in faces.labels] == [official.classes[label] for label in official.labels]
    save(root / "train/0/train_00009_aligned.jpg", portrait("anger", 1))
    with pytest.raises(DataError, match="the folder '0' is not a code from 1 to 7"):
        find_reader("rafdb").read(str(root), size=32, colour="grey")


def test_rafdb_ages_by_a_file_or_by_the_annotation(tmp_path):
    tree = TREES["rafdb"](tmp_path)
    young = tree.read(population="children").metadata
    assert set(young["age_group"]) == {"0-3", "4-19"}
    lines = [f"{Path(source).name},{years}" for (source, _, _), years in zip(tree.rows, itertools.cycle((-1, 12, 13, 25)), strict=False)]
    write(tmp_path / "ages.csv", "file,age\n" + "\n".join(lines) + "\n")
    children = tree.read(population="children", ages=tmp_path / "ages.csv")
    assert set(children.metadata["age"]) == {0, 12} and children.title == "RAF-DB, children of 12 or under"
    assert set(tree.read(population="adults", ages=tmp_path / "ages.csv").metadata["age"]) == {25}
    write(tmp_path / "ages.csv", "file,age\n" + "\n".join(lines[1:]) + "\n")
    refused(tree, r"ages\.csv: has no line for Image/aligned/train_00001_aligned.jpg", ages=tmp_path / "ages.csv")


def test_rafdb_without_annotations_does_not_say_who_is_a_child(tmp_path):
    tree = TREES["rafdb"](tmp_path)
    (tree.path / "Annotation").rename(tmp_path / "gone")
    assert "age_group" not in tree.read().metadata
    refused(tree, "does not say who is a child", population="children")
    assert any("children among them" in note for note in tree.read(population="adults").notes)


def test_rafdb_annotations_must_be_codes(tmp_path):
    tree = TREES["rafdb"](tmp_path)
    write(tree.path / "Annotation/manual/train_00001_manu_attri.txt", "1\t2\n3\t4\n")
    refused(tree, r"train_00001_manu_attri\.txt: its last three lines are")


# FER+

VOTES = st.lists(st.integers(0, 10), min_size=10, max_size=10)


def by_the_published_steps(votes: list[int], rule: str) -> tuple[int, list[int]]:
    """Apply the rules step by step, as the paper describes them. Return the label, 8 (unknown) if there is none, and the votes kept."""
    votes_left = [vote if vote > 1 else 0 for vote in votes]
    total = sum(votes_left)
    if rule == "majority":
        return (votes_left.index(max(votes_left)) if 2 * max(votes_left) > total else 8), votes_left
    kept_votes, covered, taken, unknown_met = [0] * 10, 0, 0, False
    while 4 * covered < 3 * total and taken < 3 and not unknown_met:
        most = max(votes_left)
        for index in range(10):
            if votes_left[index] == most and not unknown_met:
                votes_left[index], covered, taken = 0, covered + most, taken + 1
                unknown_met = index >= 8
                if unknown_met and sum(kept_votes):
                    taken -= 1
                else:
                    kept_votes[index] = most
    return (kept_votes.index(max(kept_votes)) if 2 * sum(kept_votes) > total and taken <= 3 else 8), kept_votes


@given(VOTES, st.sampled_from(ferplus.RULES))
def test_ferplus_rules_are_the_published_ones(votes, rule):
    label, kept_votes = ferplus.decide_label(np.array(votes), rule)
    expected_label, expected_votes = by_the_published_steps(votes, rule)
    assert label == expected_label
    if label < 8:
        assert kept_votes.tolist() == expected_votes


@pytest.mark.parametrize(
    ("votes", "majority", "probability"),
    [
        ([4, 0, 0, 1, 3, 2, 0, 0, 0, 0], 8, 0),  # the first line of the release: 4 of 9 is no majority
        ([5, 0, 0, 5, 0, 0, 0, 0, 0, 0], 8, 0),  # exactly half is no majority
        ([6, 0, 0, 4, 0, 0, 0, 0, 0, 0], 0, 0),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 8, 8),  # single votes are outliers
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 10], 9, 9),
        ([2, 0, 0, 0, 0, 0, 0, 0, 8, 0], 8, 8),
        ([2, 2, 2, 2, 2, 0, 0, 0, 0, 0], 8, 8),  # five classes tie: too many
    ],
)
def test_ferplus_labels(votes, majority, probability):
    assert ferplus.decide_label(np.array(votes), "majority")[0] == majority
    assert ferplus.decide_label(np.array(votes), "probability")[0] == probability


def joined(folder: Path, *, names: bool = True) -> tuple[Path, list[str | None]]:
    """Write fer2013.csv and fer2013new.csv of six rows, the second row without a face. Return the csv and the classes of the rows."""
    grey = np.random.default_rng(0).integers(0, 256, (6, 48, 48), dtype=np.uint8)
    usages = ["Training", "Training", "Training", "PublicTest", "PrivateTest", "PrivateTest"]
    csv = layouts.fer2013(folder / "fer2013.csv", grey, [0, 1, 2, 3, 4, 5], usages)
    lines = ["Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"]
    votes = ("0,9,0,0,0,0,0,1,0,0", "0,0,0,0,0,0,0,0,0,10", "0,0,0,0,0,0,0,9,0,0", "0,0,0,0,10,0,0,0,0,0", "0,0,10,0,0,0,0,0,0,0")
    for row, (usage, text) in enumerate(zip(usages, (*votes, "0,0,0,0,0,0,0,0,10,0"), strict=True)):
        name = "" if row == 1 else f"fer{row - (row > 1):07}.png"
        lines.append(f"{usage},{name},{text}")
    write(folder / "fer2013new.csv", "\n".join(lines) + "\n")
    return csv, ["happiness", None, "contempt", "anger", "surprise", None]


def test_ferplus_is_joined_by_the_order_of_rows_not_by_the_number_in_a_name(tmp_path):
    csv, classes = joined(tmp_path)
    faces = find_reader("ferplus").read(str(csv), size=48, colour="grey")
    assert faces.metadata["source"].tolist() == [f"fer2013.csv row {row}" for row in (0, 2, 3, 4)]
    assert [faces.classes[label] for label in faces.labels] == [name for name in classes if name]
    pictures = np.random.default_rng(0).integers(0, 256, (6, 48, 48), dtype=np.uint8)
    np.testing.assert_array_equal(faces.images[:, 0], pictures[[0, 2, 3, 4]])
    assert faces.metadata["votes_contempt"].tolist() == [0, 9, 0, 0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("PublicTest,fer", "Training,fer", r"line 5: Usage is Training, but PublicTest in row 3 of fer2013\.csv"),
        ("PrivateTest,fer0000004.png,0,0,0,0,0,0,0,0,10,0\n", "", r"5 rows, but fer2013\.csv has 6"),
        (",0,9,0", ",0,nine,0", "line 2: vote 'nine' is not a number from 0 to 10"),
        (",0,9,0", ",0,99,0", "line 2: vote '99' is not a number from 0 to 10"),
        ("neutral,", "calm,", "the header is .*; expected the columns Usage,Image name,neutral"),
    ],
)
def test_ferplus_votes_of_another_file_are_refused(tmp_path, old, new, message):
    csv, _ = joined(tmp_path)
    edit(tmp_path / "fer2013new.csv", (old, new))
    with pytest.raises(DataError, match=message):
        find_reader("ferplus").read(str(csv), size=48, colour="grey")


def test_ferplus_copies_are_dropped_unless_kept(tmp_path):
    tree = TREES["ferplus"](tmp_path)
    save(tree.path / "FER2013Test/fer0032221.png", portrait("sadness", 2))
    for file in ("FER2013Train/fer0000006.png", "FER2013Test/fer0032221.png"):
        save(tree.path / file, portrait("sadness", 2))
    with open(tree.path / "FER2013Test/label.csv", "a") as file:
        file.write('fer0032221.png,"(0, 0, 48, 48)",0,0,0,10,0,0,0,0,0,0\n')
    assert len(tree.read(copies="keep")) == 6
    faces = tree.read()
    assert len(faces) == 5 and not faces.metadata["source"].str.contains("fer0032221").any()
    assert any("0 within one split, 1 across splits" in note for note in faces.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("../fer0000000.png", r"label\.csv, line 1: '\.\./fer0000000\.png' is not a file within the data set's folder"),
        ("/etc/passwd", "line 1: '/etc/passwd' is not a file within"),
        ("C:\\\\faces\\\\fer0000000.png", "is not a file within"),
    ],
)
def test_a_path_outside_the_folder_is_refused(tmp_path, text, message):
    tree = TREES["ferplus"](tmp_path)
    edit(tree.path / "FER2013Train/label.csv", ("fer0000000.png", text))
    refused(tree, message)


# AffectNet


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",0,0.0,0.0\n", ",11,0.0,0.0\n", r"training\.csv, line 2: expression '11' is not one of the codes 0 to 10"),
        (",0,0.0,0.0\n", ",0,1.5,0.0\n", r"line 2: valence '1\.5' is not a number from -2 to 1"),
        (",0,0.0,0.0\n", ",0,-1.5,0.0\n", r"line 2: valence -1\.5 is neither from -1 to 1 nor -2"),
        (",0,0.0,0.0\n", ",0,x,0.0\n", "line 2: valence 'x' is not a number"),
        ("0train/", "../../0train/", r"line 2: '\.\./\.\./0train.* is not a file within"),
        ("0,0,64,64", "0,0,64", "line 2: 8 columns, not 9 or more"),
        ("0,0,64,64", "0,0,wide,64", "line 2: box 'wide' is not a number"),
        ("expression", "label", "expected the columns subDirectory_filePath"),
    ],
)
def test_affectnet_lists_that_are_wrong(tmp_path, old, new, message):
    tree = TREES["affectnet"](tmp_path)
    edit(tree.path / "Manually_Annotated_file_lists/training.csv", (old, new))
    if "columns sub" in message:
        with pytest.raises(DataError):
            tree.read()
        return
    refused(tree, message)


def test_affectnet_cuts_out_the_box_of_the_list(tmp_path):
    tree = TREES["affectnet"](tmp_path)
    face = portrait("anger", 3)
    wide = np.zeros((200, 300, 3), np.uint8)
    wide[50:114, 200:264] = face
    file = tree.path / "Manually_Annotated/Manually_Annotated_Images/9/a.png"
    save(file, wide)
    list_ = tree.path / "Manually_Annotated_file_lists/training.csv"
    list_.write_text(f"{HEADER}\n9/a.png,200,50,64,64,1;2,6,0.5,-0.5\n")
    faces = tree.read(size=64, colour="rgb")
    row = faces.metadata.index[faces.metadata["source"].str.endswith("9/a.png")][0]
    np.testing.assert_array_equal(faces.images[row].transpose(1, 2, 0), face)


def test_affectnet_leaves_out_what_shows_no_expression_and_says_so(tmp_path):
    notes = TREES["affectnet"](tmp_path).read().notes
    assert {"left out: 2 images that are none", "left out: 2 images that are uncertain", "left out: 2 images that are no face"} <= set(
        notes
    )


def test_affectnet_unrated_images_have_no_valence(tmp_path):
    tree = TREES["affectnet"](tmp_path)
    edit(tree.path / "Manually_Annotated_file_lists/training.csv", (",0,0.0,0.0\n", ",0,-2,-2\n"))
    faces = tree.read()
    assert faces.metadata["valence"].isna().sum() == faces.metadata["arousal"].isna().sum() == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("1_exp.npy", b"", "is not one number in numpy's format"),
        ("1_exp.npy", None, r"1_exp\.npy: is missing"),
        ("1_exp.npy", "eight", "expression 'eight' is not one of the codes"),
        ("1_val.npy", "-3", "valence '-3' is not a number from -2 to 1"),
        ("1_aro.npy", object(), "is not one number in numpy's format"),
    ],
)
def test_affectnet_annotations_that_are_wrong(tmp_path, name, content, message):
    tree = TREES["affectnet_sets"](tmp_path)
    file = tree.path / "train_set/annotations" / name
    if content is None:
        file.unlink()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    elif isinstance(content, str):
        np.save(file, np.array(content))
    else:
        np.save(file, np.array([{"code": "that would run"}], object), allow_pickle=True)
    refused(tree, message)


def test_fer2013_in_folders_alphabetical_order_is_not_the_order_of_codes(tmp_path):
    tree = TREES["fer2013_folders"](tmp_path)
    for number in range(2):
        save(tree.path / f"train/disgust/Training_5.jpg{number}.jpg", portrait("disgust", number))
    faces = tree.read()
    assert len(faces) == 9 and any(note.startswith("2 pictures that an augmentation made") for note in faces.notes)
    save(tree.path / "train/happy/PublicTest_1.jpg", portrait("happiness", 1))
    refused(tree, "its name says PublicTest, its folder train")
