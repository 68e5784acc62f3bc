"""Several sources of a role: one data set whatever their order, with whose persons are whose, one split, one copy guard; and refusals."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from platform.cli.application import make_application
from platform.cli.study_options import narrow_study, read_roles
from platform.grid import __main__ as grid
from platform.report.read_run_folder import read_folder
from tests import tiny
from tests.data import layouts
from tests.data.tree import portrait, save
from trainables.cell import Cell, Data
from trainables.data.copy_guard import guard_task
from trainables.data.dataset import CLASSES, DataError, Doubt, FaceDataset
from trainables.data.image_hashes import IDENTICAL
from trainables.data.join_data_sets import join_data_sets, join_sources
from trainables.data.prediction_targets import TARGETS
from trainables.data.source import Source, SourceUnion, join_parts, parse_role
from trainables.data.splits import group_by_official
from trainables.data.task import TASKS, describe_groups
from trainables.settings import resolve_settings
from trainables.storage.store import RunFolder

SEVEN = tuple(name for name in CLASSES if name != "contempt")
COUNTS = {"anger": 30, "fear": 30, "happiness": 30}
CPU = torch.device("cpu")


def renamed(faces: FaceDataset, title: str, **columns: object) -> FaceDataset:
    return replace(faces, title=title, metadata=faces.metadata.assign(**columns))


def write_children(folder: Path) -> dict[str, str]:
    """Write CAFE, DDCF and RaFD's children, two persons of each and all seven classes, as (kind:path) by kind."""
    words = {"anger": "angry", "disgust": "disgust", "fear": "fearful", "happiness": "happy", "neutral": "neutral", "sadness": "sad"}
    words |= {"surprise": "surprise"}
    cafe = {}
    for number in range(6):
        for place, (emotion, word) in enumerate(words.items()):
            cafe[f"{6280 + number}/{number}{place}-{word}_F-EA-{number:02}.jpg"] = portrait(emotion, 7 * number + place)
            rafd = {"angry": "angry", "disgust": "disgusted", "sad": "sad", "surprise": "surprised"}.get(word, word)
            save(folder / "RaFD" / f"Rafd090_{40 + number}_Kid_female_{rafd}_frontal.jpg", portrait(emotion, 80 + 7 * number + place))
            ddcf = {"angry": "Angry", "disgust": "Disgusted", "fearful": "Afraid", "happy": "Happy", "surprise": "Surprised"}
            ddcf_folder, name = ddcf.get(word, word.title()), {"disgust": "Disgust", "surprise": "Surprise"}.get(word)
            name = name or ddcf.get(word, word.title())
            file = f"{ddcf_folder}/S0{number}/S0{number}_1{number}yoM_{name}_front_{place}.jpg"
            save(folder / "DDCF" / file, portrait(emotion, 160 + 7 * number + place))
    return {"cafe": f"cafe:{layouts.cafe(folder, cafe)}", "ddcf": f"ddcf:{folder / 'DDCF'}", "rafd": f"rafd:{folder / 'RaFD'}"}


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_children(tmp_path_factory.mktemp("children"))


def read(*sources: str, size: int = 32, colour: str = "rgb") -> FaceDataset:
    return join_parts([parse_role(f"children={source}")[1] for source in sources]).read_faces(size, colour)


def test_a_union_is_all_images_with_what_each_set_knows_of_them(children: dict[str, str]) -> None:
    union, parts = read(*children.values()), {kind: read(source) for kind, source in children.items()}
    assert union.title == "CAFE, children of 2 to 8 (42 images) and DDCF, children of 6 to 16 (42 images) and RaFD, children (42 images)"
    assert union.notes[:3] == tuple(f"{faces.title}: {len(faces)} images" for faces in parts.values())
    assert sum(map(len, parts.values())) == len(union) == 3 * 42
    assert set(union.classes) == {name for faces in parts.values() for name in faces.classes}
    for faces in parts.values():
        rows = np.flatnonzero(union.metadata["data_set"] == faces.name)
        np.testing.assert_array_equal(union.images[rows], faces.images)
        np.testing.assert_array_equal(union.hashes[rows], faces.hashes)
        assert [union.classes[label] for label in union.labels[rows]] == [faces.classes[label] for label in faces.labels]
        assert union.metadata["source"].iloc[rows].tolist() == faces.metadata["source"].tolist()
        assert union.metadata["subject"].iloc[rows].tolist() == [f"{faces.name}: {name}" for name in faces.metadata["subject"]]
        if "age" in faces.metadata:
            assert union.metadata["age"].iloc[rows].tolist() == faces.metadata["age"].tolist()
    assert union.metadata.index.tolist() == list(range(len(union)))
    doubts = [note for note in union.notes if isinstance(note, Doubt)]
    assert doubts and doubts[0].startswith("CAFE, children of 2 to 8: 42 photographs of 6 children")


def test_the_order_in_which_sources_are_named_changes_nothing(children: dict[str, str]) -> None:
    forth, back = read(*children.values()), read(*reversed(children.values()))
    np.testing.assert_array_equal(forth.images, back.images)
    np.testing.assert_array_equal(forth.labels, back.labels)
    pd.testing.assert_frame_equal(forth.metadata, back.metadata)
    assert forth.fingerprint == back.fingerprint and forth.classes == back.classes
    assert back.title.startswith("RaFD")  # the page names them as the user did
    assert forth.fingerprint != read(children["cafe"], children["ddcf"]).fingerprint


def test_one_source_is_that_source(children: dict[str, str]) -> None:
    assert join_parts([Source("cafe", "/p")]) == Source("cafe", "/p")
    assert "data_set" not in read(children["cafe"]).metadata


@given(st.lists(st.sampled_from(["RaFD", "RaFD, angle 45", "CAFE, children", "DDCF"]), min_size=2, max_size=4))
def test_persons_are_those_of_their_data_set(titles: list[str]) -> None:
    sets = [renamed(tiny.faces(COUNTS, seed=seed, subjects=5), title) for seed, title in enumerate(titles)]
    union = join_data_sets(sets, [faces.name for faces in sets])
    assert union.metadata["subject"].nunique() == 5 * len({title.partition(",")[0] for title in titles})
    assert Counter(union.metadata["data_set"]) == Counter(name for faces in sets for name in [faces.name] * len(faces))


def test_a_union_in_a_union_keeps_its_names() -> None:
    one, two, three = (renamed(tiny.faces(COUNTS, seed=seed, subjects=5), title) for seed, title in enumerate(("A", "B", "C")))
    nested, flat = join_data_sets([join_data_sets([one, two], ["A", "B"]), three], ["A", "C"]), join_data_sets([one, two, three], "ABC")
    assert nested.fingerprint == flat.fingerprint


def test_folders_of_one_name_at_two_places_are_two_data_sets(tmp_path: Path) -> None:
    for number, place in enumerate(("a", "b")):
        for emotion in SEVEN:
            save(tmp_path / place / "faces" / emotion / "p1_x.png", portrait(emotion, number))
    options = ",subject=(p[0-9])_"
    union = read(*(f"folders:{tmp_path / place / 'faces'}{options}" for place in ("a", "b")))
    assert sorted(set(union.metadata["subject"])) == ["images of faces (2): p1", "images of faces: p1"]
    assert sorted(union.title.split(" and ")) == ["images of faces, children (2) (7 images)", "images of faces, children (7 images)"]


def test_a_cell_with_several_sources_survives_json_and_its_report_names_them(tmp_path: Path) -> None:
    union = SourceUnion((Source("cafe", "/c", "children"), Source("rafd", "/r", "children", (("angle", "090"),))))
    cell = tiny.cell({"children": Data(union, "print", "A and B", ("note",)), "adults": Data(Source("faces"), "other", "C")})
    assert Cell.from_json(json.loads(json.dumps(cell.to_json()))) == cell
    assert union.list_files() == ["/c", "/r"] and union.population == "children"
    assert union.to_text() == "cafe:/c,population=children and rafd:/r,population=children,angle=090"
    folder = RunFolder(str(tmp_path / "run"))
    folder.put_grid(cell.study, cell.scale, [cell])
    shown = read_folder(folder).data["children"]
    assert (shown["source"], shown["title"], shown["notes"]) == (union.to_text(), "A and B", ("note",))
    assert cell.task_settings["by"] == "auto"  # no paper's set is split image by image without being asked to


def build(task: str, faces: dict[str, FaceDataset], seed: int = 0, **settings: object):
    kind = TASKS.find(task)
    return kind.build(resolve_settings(kind.settings, {"size": 32, **settings}, task), faces, seed, CPU)


def join(*sets: FaceDataset) -> FaceDataset:
    return join_sources(sets, [f"folders:/{number}" for number in range(len(sets))])


@given(st.integers(0, 1000))
def test_a_split_of_a_union_keeps_persons_together_and_takes_of_every_class(seed: int) -> None:
    union = join(*(renamed(tiny.faces(COUNTS, seed=k, subjects=12), f"set {k}") for k in range(3)))
    task = build("populations", {"children": union}, seed, classes=tuple(COUNTS), test_share=0.2, validation=0.2)
    parts = [set(part.groups["subject"]) for part in (task.train, task.val, task.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 36
    assert set(task.metadata["data_set"]) <= {"set 0", "set 1", "set 2"} and task.unit == "subject"
    nameless = join(renamed(tiny.faces(COUNTS, seed=4), "nameless"), union)
    assert describe_groups(nameless.metadata) == "subject (image, where none is known)"
    counts = np.bincount(task.test.labels.numpy())
    assert (counts > 9).all() and (counts < 27).all()  # a fifth of 90, as nearly as persons allow


@pytest.mark.parametrize("task", ["populations", "adaptation", "transfer"])
def test_a_set_with_an_official_split_keeps_it_and_the_others_are_divided(task: str) -> None:
    official = ["train" if row % 3 else "test" for row in range(90)]
    union = join(renamed(tiny.faces(COUNTS), "with", split=official), renamed(tiny.faces(COUNTS, seed=1), "without"))
    assert len(group_by_official(union.metadata)) == 2
    roles = {"children": union, "pool": tiny.faces(COUNTS, seed=2)}
    settings = {
        "populations": {"classes": tuple(COUNTS), "test_share": 0.2, "validation": 0.2},
        "adaptation": {"classes": tuple(COUNTS), "role": "children", "test": 0.2},
        "transfer": {"labelled": {"children": tuple(COUNTS)}, "test": 0.2, "validation": 0.2},
    }[task]
    built = build(task, roles, **settings)
    of = union.metadata["data_set"].to_numpy(object)
    tested = Counter(of[built.test.rows])
    assert tested["with"] == 30 and set(union.metadata["split"].iloc[[r for r in built.test.rows if of[r] == "with"]]) == {"test"}
    assert 15 <= tested["without"] <= 21  # not one image of it would be tested if it had been taken for training as a whole
    assert built.unit.startswith("official split where there is one")


def test_a_set_without_an_official_split_is_named_where_all_is_official() -> None:
    union = join(renamed(tiny.faces(COUNTS), "with", split=["train", "test"] * 45), renamed(tiny.faces(COUNTS, seed=1), "without"))
    with pytest.raises(DataError, match=r"^without: has no official split, which other data sets of its role have"):
        build("held_out", {"adults": union}, classes=tuple(COUNTS))


def test_the_copy_guard_sees_copies_across_the_sources() -> None:
    first = renamed(tiny.faces(COUNTS, subjects=9), "first")
    rows = np.arange(0, 90, 2)
    copies = renamed(first.take_rows(rows), "second", subject=[f"other {row}" for row in rows])
    mirrored = replace(copies, images=np.ascontiguousarray(copies.images[..., ::-1]), parts=(), title="third")
    task = build("populations", {"children": join(first, copies, mirrored)}, classes=tuple(COUNTS), test_share=0.2, validation=0.2)
    test = set(task.test.hashes[:, IDENTICAL])
    assert test & set(task.train.hashes[:, IDENTICAL])
    guarded = guard_task(task, "drop", 0)
    assert guarded.copies["sides"]["training"]["copies"] > 0
    assert not set(guarded.test.hashes[:, IDENTICAL]) & set(guarded.train.hashes[:, IDENTICAL])
    assert not set(guarded.test.hashes[:, IDENTICAL]) & set(guarded.val.hashes[:, IDENTICAL])


def test_votes_that_a_set_does_not_take_are_none() -> None:
    three = renamed(tiny.faces(COUNTS), "three", **{f"votes_{name}": 5 for name in COUNTS})
    four = renamed(tiny.faces(COUNTS, seed=1), "four", **{f"votes_{name}": 3 for name in (*COUNTS, "disgust")})
    answers = TARGETS["votes"].read_answers(join(three, four), tuple(COUNTS))
    assert len(answers.faces) == 180 and not np.isnan(answers.values).any()


def test_the_exemplars_of_a_union_are_those_of_each_set() -> None:
    numbered = renamed(tiny.faces(COUNTS, subjects=10), "numbered", exemplar=[row // 10 % 3 + 1 for row in range(90)])
    plain = renamed(tiny.faces(COUNTS, seed=1, subjects=10), "plain")
    task = build("adaptation", {"faces": join(numbered, plain)}, classes=tuple(COUNTS), by="exemplar")
    assert {"numbered", "plain"} == set(task.metadata["data_set"])
    nameless = renamed(tiny.faces(COUNTS, seed=2), "nameless")
    for by in ("exemplar", "subject"):
        with pytest.raises(DataError, match=f"90 images have no subject, which by={by} goes by"):
            build("adaptation", {"faces": join(numbered, nameless)}, classes=tuple(COUNTS), by=by)


AFFECT = {"valence": 0.1, "arousal": 0.2}


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([{}, {}], "^folders:/0 and folders:/1 hold the same images; name this data set once$"),
        ([{"title": "rendered faces, adults"}, {"seed": 1}], "^folders:/0: rendered faces and photographs in one role"),
        (
            [{}, {"seed": 1, "labels": False, **AFFECT}],
            "^folders:/0 has labels, but folders:/1 has valence and arousal; the data sets of one role need the same kind of answer$",
        ),
        (
            [{"labels": False}, {"seed": 1, "labels": False, "emoreact_joy": 1}, {"seed": 2}, {"seed": 3, **AFFECT}],
            "^folders:/1 has several labels an image, but folders:/2 has labels; the data sets",
        ),
    ],
)
def test_sets_that_cannot_be_one_are_refused_in_one_line(sets: list[dict], message: str) -> None:
    made = []
    for given_ in sets:
        options = dict(given_)
        faces = tiny.faces(COUNTS, seed=options.pop("seed", 0))
        if not options.pop("labels", True):
            faces = replace(faces, labels=np.full(len(faces), -1))
        made.append(renamed(faces, options.pop("title", "faces"), **options))
    with pytest.raises(DataError, match=message) as caught:
        join(*made)
    assert "\n" not in str(caught.value)


def test_an_answer_that_a_set_lacks_is_named() -> None:
    both, labels = renamed(tiny.faces(COUNTS), "both", **AFFECT), renamed(tiny.faces(COUNTS, seed=1), "labels alone")
    unlabelled = renamed(replace(tiny.faces(COUNTS, seed=2), labels=np.full(90, -1)), "pool")
    rated = renamed(replace(tiny.faces(COUNTS, seed=3), labels=np.full(90, -1)), "rated", **AFFECT)
    classes = tuple(COUNTS)
    with pytest.raises(DataError, match=r"^labels alone: has no valence and arousal, which other data sets of its role have; leave it out"):
        TARGETS["affect"].read_answers(join(both, labels), ())
    for union in (join(labels, unlabelled), join(both, rated)):
        with pytest.raises(DataError, match=r"^(pool|rated): has no labels, which other data sets of its role have"):
            TARGETS["label"].read_answers(union, classes)
        with pytest.raises(DataError, match=r"^(pool|rated): has no labels"):
            build("populations", {"children": union}, classes=classes)
    pool = {"children": labels, "pool": join(both, unlabelled)}  # where labels are not needed, they may be missing
    assert len(build("transfer", pool, labelled={"children": classes}, test=0.2, validation=0.3).partners["pool"].rows) == 180


# the commands


POCKET = ["children_cnn", "--only", "method=children", "--seeds", "1", "--dry-run"]


def run_grid(tmp_path: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(make_application(grid.main), [*words, "--runs", str(tmp_path / "runs")])
    return result.exit_code, result.output


def test_a_grid_takes_a_role_named_several_times(tmp_path: Path, children: dict[str, str]) -> None:
    named = [word for kind in ("cafe", "ddcf") for word in ("--data", f"children={children[kind]}")]
    code, said = run_grid(tmp_path, *POCKET, *named)
    assert code == 0, said
    assert "children: CAFE, children of 2 to 8: 42 images" in said and "children: DDCF, children of 6 to 16: 42 images" in said
    study = narrow_study("children_cnn", "pocket", [], 1, [], [])
    (tmp_path / "data.yaml").write_text(f"children: [{children['ddcf']}, '{children['cafe']}']\n")
    by_file, by_options = read_roles(study, [str(tmp_path / "data.yaml")]), read_roles(study, named[1::2])
    assert by_file["children"].fingerprint == by_options["children"].fingerprint
    assert {cell.key for cell in study.make_cells(by_file)} == {cell.key for cell in study.make_cells(by_options)}


def test_a_role_that_no_training_uses_is_no_silence(tmp_path: Path, children: dict[str, str]) -> None:
    unused = "no training of this grid uses the role"
    code, said = run_grid(tmp_path, "--dry-run", "--seeds", "1", "--set", "partner=null", "--data", "adults=faces")
    assert code == 2 and said.splitlines()[-1] == f"--data adults=faces: {unused} adults; roles in use: children"
    code, said = run_grid(tmp_path, *POCKET, "--data", f"children={children['cafe']}", "--data", "web=fer2013:/nowhere")  # --only: a note
    assert code == 0 and f"--data web=fer2013:/nowhere: {unused} web; roles in use: children" in said
    (tmp_path / "data.yaml").write_text(f"children: {children['cafe']}\nweb: fer2013:/nowhere\n")  # a file may serve several grids
    code, said = run_grid(tmp_path, *POCKET, "--data", str(tmp_path / "data.yaml"))
    assert code == 0 and f"--data {tmp_path}/data.yaml: {unused} web; roles in use: children" in said
    code, said = run_grid(tmp_path, *POCKET, "--data", "children_2=faces")
    assert code == 2 and "unknown role of children_cnn 'children_2'; did you mean children?" in said


def test_grey_and_coloured_sets_in_one_role_are_refused_where_colour_is_used(tmp_path: Path, children: dict[str, str]) -> None:
    for number in range(6):
        for place, emotion in enumerate(SEVEN):
            grey = portrait(emotion, 200 + 7 * number + place).mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
            save(tmp_path / "grey" / emotion / f"{number}.png", grey)
    named = ["--data", f"children={children['cafe']}", "--data", f"children=folders:{tmp_path / 'grey'}"]
    code, said = run_grid(tmp_path, *POCKET, *named)
    assert code == 2
    assert said.splitlines()[-1].startswith("role children: images of grey is grey and CAFE is in colour; train on grey images (--set")
    code, said = run_grid(tmp_path, *POCKET, "--only", "colour=grey", *named)
    assert code == 0, said
