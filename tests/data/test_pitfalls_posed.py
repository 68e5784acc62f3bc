"""Pitfalls of posed sets, of clips and of plain folders, with the names that really occur: read correctly, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.tree import edit, portrait, refused, save, write
from tests.data.trees import TREES
from trainables.data.dataset import DataError, Doubt, find_reader
from trainables.data.readers import ddcf, nimh_chefs, rafd
from trainables.data.readers.liris_cse import _read_participants

# JAFFE, CK+


def test_jaffe_repeats_of_web_copies(tmp_path):
    tree = TREES["jaffe"](tmp_path)
    save(tree.path / "copy/KA.AN1.39.tiff", portrait("anger", 0))
    refused(tree, r"KA\.AN1\.39\.tiff and copy/KA\.AN1\.39\.tiff are one picture by their names")
    (tree.path / "copy/KA.AN1.39.tiff").rename(tree.path / "copy/KA.AN1.39.tiff.1")
    save(tree.path / "montage.tiff", portrait("anger", 0))
    assert "1 images are not named like KA.AN1.39.tiff and are left out; the first: montage.tiff" in tree.read().notes


def test_jaffe_ratings_stop_before_the_second_block(tmp_path):
    faces = TREES["jaffe"](tmp_path).read()
    assert faces.metadata.filter(like="rating_").notna().any(axis=1).sum() == 2
    tree = TREES["jaffe"](tmp_path / "other")
    edit(tree.path / "README_FIRST.txt", ("2 4.87", "2 9.87"))
    refused(tree, r"README_FIRST\.txt, line 5: rating '9\.87' is not a number from 1 to 5")


def test_ckplus_official_tree(tmp_path):
    tree = TREES["ckplus"](tmp_path)
    assert any(note.startswith("7 of 8 sequences are labelled") for note in tree.read().notes)
    assert len(tree.read(peak="9")) == 7 * 4
    refused(tree, "peak='0' is not a number of frames", peak="0")
    write(tree.path / "Emotion/S001/001/S001_001_00000004_emotion.txt", "9.0\n")
    refused(tree, r"S001_001_00000004_emotion\.txt: '9\.0' is not one code from 0 to 7")
    write(tree.path / "Emotion/S001/001/S001_001_00000004_emotion.txt", "1.0\n")
    write(tree.path / "Emotion/S555/001/S555_001_00000004_emotion.txt", "1.0\n")
    refused(tree, "sequence S555/001 has a label and no images")


def test_ck48_sequences_have_one_class(tmp_path):
    tree = TREES["ck48"](tmp_path)
    save(tree.path / "surprise/S010_004_00000018.png", portrait("surprise", 1))
    refused(tree, "sequence S010/004 is happiness in another file")


# posed and children's sets


def test_rafd_persons_and_angles(tmp_path):
    tree = TREES["rafd"](tmp_path)
    assert len(tree.read(angle="090")) == 8 and set(tree.read(population="children").metadata["subject"]) == {"41"}
    refused(tree, "angle='91' is none of 000, 045", angle="91")
    save(tree.path / "Rafd090_41_Caucasian_male_happy_frontal.jpg", portrait("happiness", 1))
    refused(tree, "model 41 is .* in another file")


@pytest.mark.parametrize(("pleased", "count", "classes"), [("", 2, True), ("happiness", 3, False), ("drop", 1, False)])
def test_ddcf_pleased(tmp_path, pleased, count, classes):
    faces = TREES["ddcf"](tmp_path).read(**({"pleased": pleased} if pleased else {}))
    assert ("pleased" in faces.classes) == classes
    names = [faces.classes[label] for label in faces.labels]
    assert names.count("pleased" if classes else "happiness") == count


def test_shuffled_folders_are_refused_and_a_slip_is_noted(tmp_path):
    for name, first, second in (("ddcf", "Happy", "Sad"), ("nimh_chefs", "Afraid_averted", "Happy_averted")):
        tree = TREES[name](tmp_path / name)
        (tree.path / first).rename(tree.path / "aside")
        (tree.path / second).rename(tree.path / first)
        (tree.path / "aside").rename(tree.path / second)
        refused(tree, "contradict their folders or tables; the first: ")
    tree = TREES["nimh_chefs"](tmp_path / "slip")
    save(tree.path / "Happy_averted/F02SA_1111.jpg", portrait("happiness", 1))
    notes = [note for note in tree.read().notes if "contradict" in note]
    assert len(notes) == 1 and isinstance(notes[0], Doubt) and "F02SA_1111.jpg (its name says sadness)" in notes[0]


@given(st.from_regex(rafd._NAME, fullmatch=True))
def test_every_rafd_name_has_a_class(name):
    assert rafd._NAME.fullmatch(name)[5].lower() in rafd.EMOTIONS


@given(st.integers(1, 199), st.integers(6, 16), st.sampled_from("MFmf"), st.sampled_from(sorted(ddcf.TOKENS)), st.sampled_from(ddcf.VIEWS))
def test_ddcf_names(number, years, sex, token, view):
    for tail in (" 1", "_3892", "_1a.JPG", ""):
        match = ddcf._NAME.fullmatch(f"S{number}_{years}yo{sex}_{token}_{view}{tail}")
        assert match and match.groups() == (str(number), str(years), sex, token, view)


@given(st.sampled_from("FM"), st.integers(1, 59), st.sampled_from(sorted(nimh_chefs.LETTERS)), st.sampled_from("AS"), st.integers(0, 9999))
def test_nimh_names(sex, number, letter, gaze, shot):
    for name in (
        f"{sex}{number}{letter}{gaze}_{shot:04}",
        f"{sex}{number}_1_{letter}{gaze}_{shot:04}",
        f"{sex}{number}_{letter}{gaze}_{shot}",
    ):
        assert nimh_chefs._SUBJECT.match(name).groups() == (sex, str(number))
        assert nimh_chefs._EMOTION.match(name)[1] == letter


# clips


def test_liris_unknown_words_are_refused(tmp_path):
    tree = TREES["liris_cse"](tmp_path)
    (tree.path / "videos_208/S8_suprise.mp4").rename(tree.path / "videos_208/S8_bored.mp4")
    refused(tree, r"S8_bored\.mp4: 'bored' is not an expression of LIRIS-CSE")


def test_liris_participants_from_a_spreadsheet(tmp_path):
    import zipfile

    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    texts = ["Sr. No", "Sex", "Age", "S1", "F"]
    shared = "".join(f"<si><t>{text}</t></si>" for text in texts)
    rows = (
        '<row><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="C1" t="s"><v>2</v></c></row>'
        '<row><c r="A2" t="s"><v>3</v></c><c r="B2" t="s"><v>4</v></c><c r="C2"><v>9</v></c></row>'
    )
    with zipfile.ZipFile(tmp_path / "summaryParticipansts.xlsx", "w") as book:
        book.writestr("xl/sharedStrings.xml", f'<sst xmlns="{namespace}">{shared}</sst>')
        book.writestr("xl/worksheets/sheet1.xml", f'<worksheet xmlns="{namespace}"><sheetData>{rows}</sheetData></worksheet>')
    assert _read_participants(tmp_path) == {"S1": {"sex": "F", "age": 9.0}}
    (tmp_path / "summaryParticipansts.xlsx").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"summaryParticipansts\.xlsx: cannot be read as a spreadsheet"):
        _read_participants(tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("Labels/train_labels.text", "0,0,0,1,0,0,0,0,7\n", "", "1 lines of labels, but Train_names.txt has 2 names"),
        ("Labels/train_labels.text", "0,0,0,1", "0,0,0,2", r"train_labels\.text, line 1: label '2' is not a number from 0 to 1"),
        ("Labels/train_labels.text", ",7\n", ",9\n", "valence '9' is not a number from 1 to 7"),
        ("Train_names.txt", "iPOD93_2", "80''sTOYS115_2", "is named twice"),
    ],
)
def test_emoreact_lists_that_do_not_fit(tmp_path, file, old, new, message):
    tree = TREES["emoreact"](tmp_path)
    edit(tree.path / file, (old, new))
    refused(tree, message)


def test_emoreact_frames_may_be_pictures_in_a_folder(tmp_path):
    tree = TREES["emoreact"](tmp_path)
    (tree.path / "Data/Test/ZOOM_3.mp4").unlink()
    for number in range(1, 13):
        save(tree.path / f"Data/Test/ZOOM_3/frame{number}.png", portrait("disgust", number))
    faces = tree.read()
    sources = faces.metadata["source"][faces.metadata["clip"] == "ZOOM_3"].tolist()
    assert sources == ["Data/Test/ZOOM_3/frame1.png", "Data/Test/ZOOM_3/frame12.png"]


def test_emoreact_subjects_by_a_file(tmp_path):
    tree = TREES["emoreact"](tmp_path)
    clips = sorted({metadata["clip"] for _, _, metadata in tree.rows})
    write(tmp_path / "who.csv", "clip,subject\n" + "".join(f'"{clip}.mp4",child {number}\n' for number, clip in enumerate(clips)))
    faces = tree.read(subjects=tmp_path / "who.csv")
    assert faces.metadata.groupby("clip")["subject"].nunique().eq(1).all()
    write(tmp_path / "who.csv", "clip,subject\nZOOM_3,a\n")
    refused(tree, r"who\.csv: has no line for", subjects=tmp_path / "who.csv")


# subjects, ages, folders


def test_a_person_in_two_parts_is_refused(tmp_path):
    tree = TREES["vggface2"](tmp_path)
    save(tree.path / "test/n000002/0009_01.jpg", portrait("anger", 1))
    refused(tree, "subject n000002 is in test and in train")


def test_vggface2_takes_a_number_of_each_and_other_folders(tmp_path):
    tree = TREES["vggface2"](tmp_path)
    assert len(tree.read(each="1")) == 3
    (tree.path / "train").rename(tree.path / "Train")
    assert len(tree.read(each="1")) == 3
    for subject in "ab":
        save(tmp_path / "lab" / subject / "1.png", portrait("neutral", 1))
    tree.path = tmp_path / "lab"
    faces = tree.read()
    assert (
        faces.metadata["subject"].tolist() == ["a", "b"]
        and faces.title == "subjects of lab, unlabelled"
        and faces.labels.tolist() == [-1, -1]
    )


def test_imdb_wiki_tables_that_are_none(tmp_path):
    tree = TREES["imdb_wiki"](tmp_path)
    assert len(tree.read(score="2")) == 2
    refused(tree, "score='high' is not a number", score="high")
    (tree.path / "wiki.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    refused(tree, r"wiki\.mat: is not a table of IMDB-WIKI")


def test_imdb_wiki_keeps_a_range_of_ages(tmp_path):
    """Both ends are included, and a population narrows it further: its children are 12 or younger."""
    tree = TREES["imdb_wiki"](tmp_path)

    def ages(**options: str) -> list[float]:
        return sorted(tree.read(**options).metadata["age"])

    assert ages() == [8, 8, 28] and ages(years="8-28") == [8, 8, 28]
    assert ages(years="1-10") == ages(years="8-8") == ages(years="0-27") == [8, 8]
    assert ages(years="9-100") == [28] == ages(years="1-100", population="adults")
    faces = tree.read(years="1-10", population="children")
    assert faces.title == "IMDB-WIKI (wiki), unlabelled, children, ages 1-10"
    assert "children, ages 1-10: 2 images, by the age when they were taken" in faces.notes


@pytest.mark.parametrize("years", ["10", "10-1", "-10", "1-", "a-b", "1-10-20", "1.5-3", " 1-10", "\u0661-\u0662", "1-1000"])
def test_imdb_wiki_refuses_what_is_no_range_of_ages(tmp_path, years):
    refused(TREES["imdb_wiki"](tmp_path), "is not a range of ages, the lower one first, such as years=1-10", years=years)


def test_imdb_wiki_without_an_image_of_these_ages_is_refused(tmp_path):
    refused(TREES["imdb_wiki"](tmp_path), "no image", years="1-7")


def test_folders_called_by_numbers_need_names(tmp_path):
    root = tmp_path / "copy"
    for code in range(3):
        save(root / str(code) / "a.png", portrait("neutral", code))
    read = find_reader("folders").read
    with pytest.raises(DataError, match="the folder '0' is not a class by its name"):
        read(str(root), size=32, colour="grey")
    write(tmp_path / "names.csv", "folder,label\n0,Angry\n1,contempt\n2,-\n")
    faces = read(str(root), size=32, colour="grey", labels=tmp_path / "names.csv")
    assert [faces.classes[label] for label in faces.labels] == ["anger", "contempt"]
    write(tmp_path / "names.csv", "folder,label\n0,Angry\n0,fear\n")
    with pytest.raises(DataError, match=r"names\.csv, line 3: the folder '0' has a second label"):
        read(str(root), size=32, colour="grey", labels=tmp_path / "names.csv")


def test_folders_find_a_subject_in_the_path(tmp_path):
    tree = TREES["folders"](tmp_path)
    refused(tree, "finds no person in this path", subject=r"person(\d+)")
    refused(tree, "has no group", subject="a")
    assert set(tree.read(subject=r"([ab])\.png").metadata["subject"]) == {"a", "b"}
