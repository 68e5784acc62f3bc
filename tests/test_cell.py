"""A cell's key is the same in every process for the same training and differs between different trainings."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.cell import Cell, Data
from trainables.data.source import Source

ROOT = Path(__file__).parents[1]
FACES = Data(
    Source("fer2013", "/data/fer2013.csv", "children", (("ages", "/data/ages.csv"),)), "0123456789abcdef", "children", ("11 duplicates",)
)
CELL = Cell(
    study="a_study",
    scale="pocket",
    axes={"method": "SC(c)", "split": 0.5, "ratio": 5, "seed": 3},
    task="balanced",
    task_settings={"split": 0.5, "per_class": None, "classes": ["anger", "fear"]},
    method="supcon",
    method_settings={"lr": 0.05, "encoder_settings": {"stem": "cifar"}, "milestones": [0.7, 0.8]},
    version=1,
    data={"children": FACES},
)
CANONICAL = (
    '{"axes":{"method":"SC(c)","ratio":5,"seed":3,"split":0.5},"data":{"children":"0123456789abcdef"},"method":"supcon",'
    '"method_settings":{"encoder_settings":{"stem":"cifar"},"lr":0.05,"milestones":[0.7,0.8]},"parent":null,"scale":"pocket",'
    '"study":"a_study","task":"balanced","task_settings":{"classes":["anger","fear"],"per_class":null,"split":0.5},"version":1}'
)
GOLDEN = "6770bf691a1fd23c0131"


def test_the_canonical_form_never_changes() -> None:
    """If this fails, stored results are no longer found."""
    assert hashlib.sha256(CANONICAL.encode()).hexdigest()[:20] == GOLDEN
    assert CELL.key == GOLDEN


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_every_process_finds_the_same_key(hash_seed: str) -> None:
    program = "import json, sys; from trainables.cell import Cell; print(Cell.from_json(json.load(sys.stdin)).key)"
    content = json.dumps(CELL.to_json() | {"key": "", "name": ""})
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", program]
    process = subprocess.run(command, input=content, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == GOLDEN


def test_order_of_axes_and_settings_does_not_matter() -> None:
    def turned(content: dict[str, Any]) -> dict[str, Any]:
        return dict(reversed(content.items()))

    other = replace(CELL, axes=turned(CELL.axes), task_settings=turned(CELL.task_settings), method_settings=turned(CELL.method_settings))
    assert other.key == CELL.key


def test_place_title_and_notes_of_data_do_not_matter() -> None:
    moved = Data(Source("fer2013", "s3://elsewhere/f.csv", "children", ()), FACES.fingerprint, "another title", ("another note",))
    assert replace(CELL, data={"children": moved}).key == CELL.key


def test_a_file_of_before_there_were_notes_still_loads() -> None:
    content = json.loads(json.dumps(CELL.to_json()))
    assert content["data"]["children"].pop("notes") == ["11 duplicates"]
    old = Cell.from_json(content)
    assert old.data["children"] == replace(FACES, notes=()) and old.key == GOLDEN


CHANGES: list[dict[str, Any]] = [
    {"study": "b_study"},
    {"scale": "paper"},
    *({"axes": CELL.axes | {axis: value}} for axis, value in {"method": "SL(c)", "split": 0.7, "ratio": 1, "seed": 4, "new": 0}.items()),
    {"task": "other"},
    *({"task_settings": CELL.task_settings | change} for change in ({"split": 0.7}, {"per_class": 5}, {"classes": ["fear", "anger"]})),
    {"method": "simclr"},
    *(
        {"method_settings": CELL.method_settings | change}
        for change in ({"lr": 0.01}, {"encoder_settings": {"stem": "imagenet"}}, {"milestones": [0.7]}, {"new": None})
    ),
    {"version": 2},
    {"data": {"children": replace(FACES, fingerprint="f" * 16)}},
    {"data": {"adults": FACES}},
    {"data": {"children": FACES, "adults": FACES}},
    {"parent": GOLDEN},
]


def test_all_that_decides_a_number_counts() -> None:
    keys = [replace(CELL, **change).key for change in CHANGES]
    assert len({*keys, CELL.key}) == len(CHANGES) + 1
    assert {name for change in CHANGES for name in change} == set(Cell.__dataclass_fields__), "a field of Cell is missing here"


def test_name() -> None:
    assert CELL.name == "SC(c)/split=0.5/ratio=5/seed=3"
    assert CELL.seed == 3


values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
settings = st.dictionaries(st.text(), st.one_of(values, st.lists(values), st.dictionaries(st.text(), values)))
cells = st.builds(
    Cell,
    study=st.text(),
    scale=st.text(),
    axes=st.dictionaries(st.text(), values, min_size=1),
    task=st.text(),
    task_settings=settings,
    method=st.text(),
    method_settings=settings,
    version=st.integers(),
    data=st.dictionaries(
        st.text(),
        st.builds(
            Data,
            st.builds(
                Source, st.text(), st.text(), st.sampled_from([None, "children"]), st.lists(st.tuples(st.text(), st.text())).map(tuple)
            ),
            st.text(),
            st.text(),
            st.lists(st.text()).map(tuple),
        ),
    ),
    parent=st.one_of(st.none(), st.text()),
)


@given(cells)
def test_json_there_and_back(cell: Cell) -> None:
    text = json.dumps(cell.to_json())
    again = Cell.from_json(json.loads(text))
    assert again == cell and again.key == cell.key and again.name == cell.name
    assert json.loads(text)["key"] == cell.key and json.loads(text)["name"] == cell.name
