"""The embedded pack and its reader."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.data.dataset import CLASSES, DataError, find_reader
from trainables.data.readers import faces
from trainables.data.render import faces_archive

SEVEN = [name for name in CLASSES if name != "contempt"]
ADULTS = ("adults/posed", "adults/wild", "adults/game")


@pytest.fixture(scope="module")
def content():
    return faces_archive.read_archive()


def of(content, domain):
    return content.metadata[content.metadata["domain"] == domain]


def test_the_pack_is_at_most_12_mb():
    assert faces_archive.PACK.stat().st_size <= 12_000_000


def test_counts_are_as_promised(content):
    children = of(content, "children")
    assert len(children) >= 1250 and children["subject"].nunique() >= 160
    assert (children["label"].value_counts()[SEVEN] >= 150).all()
    assert {"contempt", "anxiety"} <= set(children["label"])
    for domain in ADULTS:
        adults = of(content, domain)
        assert len(adults) >= 1200
        assert (adults["label"].value_counts()[SEVEN] >= 150).all()
    assert content.metadata.loc[content.metadata["domain"].isin(ADULTS), "subject"].nunique() >= 160
    assert len(of(content, "unlabelled")) == 3000
    clips = of(content, "clips")
    assert (clips.groupby("clip")["frame"].apply(sorted) == pd.Series([list(range(8))] * 120)).all()
    assert (clips.groupby("clip")["subject"].nunique() == 1).all()
    emoreact = clips[[f"emoreact_{name}" for name in faces_archive.EMOREACT]]
    assert emoreact.isin([0, 1]).all(axis=None) and emoreact.sum(axis=1).between(1, 2).all() and (emoreact.sum() > 0).all()


def test_ages_are_those_of_the_domain(content):
    for domain, low, high in (("children", 2, 8), *((name, 20, 70) for name in ADULTS), ("clips", 4, 12)):
        assert of(content, domain)["age"].between(low, high).all(), domain
    ages = of(content, "unlabelled")["age"]
    assert (ages.between(2, 8) | ages.between(20, 70)).all() and 0.4 < (ages < 18).mean() < 0.6


def test_nobody_is_in_two_domains_and_everybody_is_one_person(content):
    people = content.metadata.groupby("subject")
    assert (people["domain"].nunique() == 1).all()
    for column in ("sex", "age", "ethnicity", "african", "asian", "caucasian"):
        assert (people[column].nunique() == 1).all()


def test_facts_are_in_their_ranges(content):
    known = content.metadata
    assert (known[[f"votes_{name}" for name in CLASSES]].sum(axis=1) == 10).all()
    assert known["valence"].between(-1, 1).all() and known["arousal"].between(-1, 1).all() and known["intensity"].between(0, 1).all()
    assert known["sex"].isin(["F", "M"]).all() and known["mouth_open"].isin([0, 1]).all()
    shares = known[["african", "asian", "caucasian"]]
    assert (shares.sum(axis=1) - 1).abs().max() < 0.02
    assert (shares.max(axis=1) - [row[name] for row, name in zip(shares.to_dict("records"), known["ethnicity"], strict=True)]).max() < 0.011
    units = known[[name for name in known if name.startswith("au_")]]
    assert units.shape[1] == 52 and units.ge(0).all(axis=None) and units.le(100).all(axis=None)


def test_regions_lie_in_the_picture_and_where_they_should(content):
    known = content.metadata
    for region in faces_archive.REGIONS:
        x0, y0, x1, y1 = (known[f"{region}_{edge}"] for edge in faces_archive.EDGES)
        assert ((x0 >= 0) & (x0 < x1) & (x1 <= faces_archive.SIZE) & (y0 >= 0) & (y0 < y1) & (y1 <= faces_archive.SIZE)).all(), region
    upright = known[known["roll"].abs() < 5]
    assert (upright["mouth_y0"] > upright["left_eye_y1"] - 3).all()
    assert (upright["left_eye_x0"] > upright["right_eye_x0"]).all()
    assert (upright["left_brow_y0"] <= upright["left_eye_y1"]).all()


def test_pictures_are_faces_not_blanks(content):
    rows = np.arange(0, len(content.metadata), 37)
    images = content.decode_images(rows).astype(float)
    brightness, contrast = images.mean(axis=(1, 2, 3)), images.std(axis=(1, 2, 3))
    assert (brightness > 25).all() and (brightness < 235).all() and (contrast > 12).all()


def test_an_open_mouth_is_seen_in_the_units(content):
    known = content.metadata
    assert ((known["au_jawOpen"] >= 12) == known["mouth_open"].astype(bool))[(known["au_jawOpen"] - 12).abs() > 1].all()


@pytest.mark.parametrize("path", list(faces.TITLES))
@pytest.mark.parametrize(("size", "colour", "channels"), [(48, "grey", 1), (64, "rgb", 3)])
def test_reader_contract(path, size, colour, channels):
    dataset = find_reader("faces").read(path, size=size, colour=colour)
    assert dataset.images.shape == (len(dataset), channels, size, size) and dataset.images.dtype == np.uint8
    assert dataset.labels.dtype == np.int64
    canonical = [name for name in dataset.classes if name in CLASSES]
    assert list(dataset.classes[: len(canonical)]) == sorted(canonical, key=CLASSES.index)
    assert dataset.metadata["source"].str.fullmatch(r"faces\.pack:[a-z/]+/[\d/]+").all() and dataset.metadata["source"].is_unique
    assert dataset.metadata["subject"].notna().all() and not dataset.metadata.isna().any(axis=None)
    if path == "unlabelled":
        assert (dataset.labels == -1).all() and dataset.metadata["truth"].isin(CLASSES).all()
    else:
        assert set(dataset.labels) == set(range(len(dataset.classes))) and "truth" not in dataset.metadata
    if path == "clips":
        flags = [dataset.metadata[f"emoreact_{dataset.classes[label]}"].iat[row] for row, label in enumerate(dataset.labels)]
        assert set(dataset.classes) == set(faces_archive.EMOREACT) and all(flags)


def test_labels_survive_the_reader(content):
    dataset = find_reader("faces").read("children", size=64, colour="rgb")
    known = of(content, "children")
    assert dataset.classes == (*CLASSES, "anxiety")
    assert [dataset.classes[label] for label in dataset.labels] == known["label"].tolist()
    assert (dataset.images.transpose(0, 2, 3, 1) == content.decode_images(known.index.to_numpy())).all()
    assert dataset.fingerprint == find_reader("faces").read("children", size=64, colour="rgb").fingerprint


def test_the_population_is_a_path_and_a_filter(content):
    read = find_reader("faces").read
    assert read("", size=48, colour="grey", population="children").fingerprint == read("children", size=48, colour="grey").fingerprint
    assert len(read("adults", size=48, colour="grey", population="adults")) == content.metadata["domain"].isin(ADULTS).sum()
    young = read("unlabelled", size=48, colour="grey", population="children")
    assert 0 < len(young) < 3000 and (young.metadata["age"] < 18).all()
    for path, population in (("children", "adults"), ("adults", "children"), ("adults/wild", "children"), ("clips", "adults")):
        with pytest.raises(DataError, match=f"faces:{path} has no {population}"):
            read(path, size=48, colour="grey", population=population)


@pytest.mark.parametrize("path", ["", "child", "adults/", "adults/tame", "/faces"])
def test_an_unknown_path_names_the_known_ones(path):
    with pytest.raises(DataError, match=r"known: children, adults, adults/posed, .*clips"):
        find_reader("faces").read(path, size=48, colour="grey")


def test_a_missing_pack_is_one_clear_line(tmp_path):
    with pytest.raises(DataError, match=r"gone\.pack: cannot be read.*rebuild") as error:
        faces_archive.read_archive(tmp_path / "gone.pack")
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Write a pack of three pictures. Return its path."""
    full = faces_archive.read_archive()
    path = tmp_path_factory.mktemp("pack") / "small.pack"
    faces_archive.write_archive(path, full.metadata.head(3).drop(columns="bytes"), [full.get_coded(k) for k in range(3)])
    return path


def test_what_is_written_is_read(small, content):
    again = faces_archive.read_archive(small)
    assert (again.decode_images(np.arange(3)) == content.decode_images(np.arange(3))).all()
    assert again.metadata["name"].tolist() == content.metadata["name"].head(3).tolist()
    assert [path.name for path in small.parent.iterdir()] == ["small.pack"]


@settings(deadline=None)
@given(st.data())
def test_a_cut_or_altered_pack_is_refused(small, tmp_path_factory, data):
    content = small.read_bytes()
    offset = data.draw(st.integers(0, len(content) - 1))
    damage = data.draw(st.sampled_from(["cut", "flip", "append"]))
    broken = {
        "cut": content[:offset],
        "flip": content[:offset] + bytes([content[offset] ^ data.draw(st.integers(1, 255))]) + content[offset + 1 :],
        "append": content + b"\0",
    }[damage]
    path = tmp_path_factory.mktemp("broken") / "faces.pack"
    path.write_bytes(broken)
    with pytest.raises(DataError, match=r"faces\.pack: .*rebuild") as error:
        faces_archive.read_archive(path)
    assert "\n" not in str(error.value)
