"""Tests of data source specifications: round trips, absolute paths, and errors that state the expected form."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from tests.data import layouts
from trainables.data.dataset import DataError
from trainables.data.source import Source, load_faces, parse_role, parse_role_file

paths = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20).map(
    lambda name: os.path.abspath("/" + name)
)
populations = st.sampled_from([None, "children", "adults"])
sources = st.one_of(
    st.builds(Source, st.just("cafe"), paths, populations),
    st.builds(Source, st.just("fer2013"), paths, populations, st.one_of(st.just(()), paths.map(lambda path: (("ages", path),)))),
)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (4, 48, 48), dtype=np.uint8)
    layouts.ages(tmp_path / "ages.csv", [5, 30, 8, 40])
    return layouts.fer2013(tmp_path / "fer2013.csv", images, [0, 1, 2, 3], ["Training"] * 4)


@given(sources)
@example(Source("fer2013", "/a,b=c\\,d:e", None, (("ages", "/x,ages=\\"),)))
def test_text_and_parse_are_inverse(source):
    assert parse_role(f"pool={source.to_text()}") == ("pool", source)
    if source.population:
        assert parse_role(f"{source.population}={source.to_text()}") == (source.population, source)


@given(sources)
def test_yaml_holds_any_path(tmp_path_factory, source):
    file = tmp_path_factory.getbasetemp() / "sources.yaml"
    entry = {"kind": source.kind, "path": source.path, **dict(source.options)} | (
        {"population": source.population} if source.population else {}
    )
    file.write_text(yaml.safe_dump({"pool": entry}), encoding="utf-8")
    assert parse_role_file(file) == {"pool": (source,)}
    file.write_text(yaml.safe_dump({"pool": [entry, source.to_text(), dict(entry)]}), encoding="utf-8")
    assert parse_role_file(file) == {"pool": (source,) * 3}


def test_the_documented_form():
    role, source = parse_role("children=fer2013:/p/fer2013.csv,ages=/p/ages.csv")
    assert role == "children"
    assert source == Source("fer2013", "/p/fer2013.csv", "children", (("ages", "/p/ages.csv"),))
    assert parse_role("pool = cafe:/p ") == ("pool", Source("cafe", "/p "))
    assert parse_role("adults=cafe") == ("adults", Source("cafe", "", "adults"))
    assert parse_role(r"pool=cafe:/p/a\,b,population=children") == ("pool", Source("cafe", "/p/a,b", "children"))


def test_a_domain_of_the_embedded_faces_is_no_path():
    role, source = parse_role("adults=faces:adults/posed")
    assert source == Source("faces", "adults/posed", "adults") and parse_role(f"{role}={source.to_text()}") == (role, source)
    assert source.read_faces(16, "grey").title == "rendered faces, adults 20-70, posed (embedded)"


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    _, source = parse_role("pool=fer2013:data/f.csv,ages=~/ages.csv")
    assert source == Source("fer2013", str(tmp_path / "data" / "f.csv"), None, (("ages", "/home/someone/ages.csv"),))
    assert parse_role("pool=cafe:s3://bucket/cafe")[1].path == "s3://bucket/cafe"
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "sources.yaml").write_text("pool: fer2013:f.csv,ages=ages.csv\nother: {kind: cafe, path: ../cafe}\n")
    sources = parse_role_file("lab/sources.yaml")
    assert sources["pool"] == (Source("fer2013", str(tmp_path / "lab" / "f.csv"), None, (("ages", str(tmp_path / "lab" / "ages.csv")),)),)
    assert sources["other"] == (Source("cafe", str(tmp_path / "cafe")),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a data source; expected ROLE=KIND:PATH"),
        ("children", r"is not a data source; expected ROLE=KIND:PATH\[,OPTION=VALUE\] with KIND one of .*cafe.*fer2013"),
        ("children=", "is not a data source"),
        ("=fer2013:/p", "'' is not a role"),
        ("fer2013:/p/f.csv,ages=/p/a.csv", "'fer2013:/p/f.csv,ages' is not a role"),
        ("children=:/p/f.csv", "names no kind of data set"),
        ("children=fer2012:/p/f.csv", r"'fer2012'; did you mean fer2013\? \(known: .*cafe.*\); expected ROLE="),
        ("children=/p/f.csv", "unknown kind of data set '/p/f.csv'"),
        ("children=fer2013:/p/f.csv,ages", r"'ages' is no OPTION=VALUE \(a comma in a path"),
        ("children=fer2013:/p/f.csv,ages=", "'ages=' is no OPTION=VALUE"),
        ("children=fer2013:/p/f.csv,", "'' is no OPTION=VALUE"),
        ("children=fer2013:/p/f.csv,ages=/a,ages=/b", "ages is given twice"),
        ("children=fer2013:/p/f.csv,path=/b", "path is given twice"),
        ("children=fer2013:/p/f.csv,age=/a", r"fer2013 has no option 'age' \(known: population, fixed_test, ages, part\)"),
        ("children=cafe:/p,ages=/a", r"cafe has no option 'ages' \(known: population, fixed_test, crop, landmarks, offset\)"),
        ("children=cafe:/p,population=teens", r"unknown population 'teens' \(known: children, adults\)"),
    ],
)
def test_a_malformed_source_says_what_is_expected(text, message):
    with pytest.raises(DataError, match=message) as caught:
        parse_role(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no roles"),
        ("- a\n- b\n", "holds no roles"),
        ("children", "holds no roles"),
        ("children: [unclosed\n", "cannot be read as YAML .*line 2"),
        ("children: fer2013:/a\nchildren: cafe:/b\n", "names a role twice"),
        ("children: 5\n", "children: 5 is neither KIND:PATH nor a mapping"),
        ("children: []\n", "children: the list of its sources is empty"),
        ("children: [cafe:/a, 5]\n", "children: 5 is neither KIND:PATH nor a mapping"),
        ("children: [[cafe:/a]]\n", r"children: \['cafe:/a'\] is neither KIND:PATH nor a mapping"),
        ("children: [cafe:/a, cafee:/b]\n", "did you mean cafe"),
        ("children: {path: /p}\n", "children: names no kind of data set"),
        ("children: {kind: fer2013, path: [/p]}\n", r"path is \['/p'\], which is not text"),
        ("children: {kind: fer2013, path: yes}\n", "path is True, which is not text"),
        ("children: {kind: fer2013, path: /p, age: /a}\n", "fer2013 has no option 'age'"),
        ("children: {kind: cafee, path: /p}\n", "did you mean cafe"),
        ("'a b': cafe:/p\n", "'a b' is not a role"),
    ],
)
def test_a_malformed_file_is_named(tmp_path, content, message):
    file = tmp_path / "sources.yaml"
    file.write_text(content)
    with pytest.raises(DataError, match=rf"sources\.yaml.*{message}") as caught:
        parse_role_file(file)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"children: \xff\n")
    messages = {"none.yaml": "no such file", "latin.yaml": "cannot be read as YAML", ".": "is a directory"}
    for name, message in messages.items():
        with pytest.raises(DataError, match=message):
            parse_role_file(tmp_path / name)


@given(st.text(max_size=40))
@example("~\0")
def test_any_text_is_a_source_or_refused(text):
    for specification in (text, f"pool={text}", f"pool=fer2013:{text}"):
        try:
            role, source = parse_role(specification)
        except DataError:
            continue
        assert parse_role(f"{role}={source.to_text()}") == (role, source)


def test_read_goes_through_the_reader(csv):
    _, source = parse_role(f"children=fer2013:{csv},ages={csv.with_name('ages.csv')}")
    faces = source.read_faces(24, "rgb")
    assert faces.images.shape == (2, 3, 24, 24)
    assert faces.metadata["source"].tolist() == ["fer2013.csv row 0", "fer2013.csv row 2"]
    with pytest.raises(DataError, match=r"fer2013 has no option 'votes' \(known: population, fixed_test, ages, part\)"):
        Source("fer2013", str(csv), options=(("votes", "/v.csv"),)).read_faces(24, "grey")


def test_load_reads_a_source_once(csv):
    _, source = parse_role(f"pool=fer2013:{csv}")
    first = load_faces(source, 48, "grey")
    csv.unlink()
    assert load_faces(parse_role(f"pool=fer2013:{csv}")[1], 48, "grey") is first
    with pytest.raises(DataError, match="no such file"):
        load_faces(source, 24, "grey")
