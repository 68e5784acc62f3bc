"""best.json: the settings that a grid takes from it, and the files that a grid refuses."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform.cli.best_settings import read_best_file
from platform.search.found_against_published import make_comparison_cells, make_comparison_study
from search_spaces.search_space import TunedSettings
from search_spaces.study import STUDIES
from trainables.cell import Data
from trainables.data.source import Source
from trainables.registry import BadRequest

STUDY = STUDIES.find("annealed_label_transfer")("pocket")
WILD = {"encoder": "pocket", "scenario": "wild"}
ENTRY = {"arm": "ALT", "condition": WILD, "settings": {"temperature": 0.03, "noise": "logits"}}
DATA = {role: Data(Source("faces"), f"print of {role}", role) for role in STUDY.roles}


def written(folder: Path, **changed: Any) -> str:
    file = folder / "best.json"
    file.write_text(json.dumps({"study": STUDY.name, "scale": "pocket", "found": [ENTRY]} | changed))
    return str(file)


def test_it_changes_the_arm_where_it_was_found_and_nothing_else(tmp_path: Path) -> None:
    (found,) = read_best_file(written(tmp_path), STUDY).found
    plain, tuned = STUDY.make_cells(DATA), replace(STUDY, found=(found,)).make_cells(DATA)
    for before, after in zip(plain, tuned, strict=True):
        if before.axes["method"] == "ALT" and before.axes["scenario"] == "wild":
            assert after.method_settings == before.method_settings | {"temperature": 0.03, "noise": "logits"}
            assert after.key != before.key
        else:
            assert after == before


def test_what_is_shared_changes_every_arm(tmp_path: Path) -> None:
    """CIAO's paper has one head for all networks; with the head for one alone, tuned networks would be compared with untuned ones."""
    ciao = STUDIES.find("ciao")("pocket")
    place = {"encoder": "VGG", "data": "FER2013"}
    entry = {"arm": "DL+CIAO", "shared": list(ciao.searches[0].shared), "condition": place, "settings": {"lr": 0.002}}
    file = tmp_path / "best.json"
    file.write_text(json.dumps({"study": "ciao", "found": [entry], "fixed_test": {"fer2013": 0.3}}))
    found, fixed_test = read_best_file(str(file), ciao)
    data = {role: Data(Source("faces"), f"print-{role}", role) for role in ciao.roles}
    cells = [cell for cell in replace(ciao.with_seeds(1), found=found).make_cells(data) if place.items() <= cell.axes.items()]
    assert len(cells) == 6 and {cell.method_settings["lr"] for cell in cells} == {0.002} and fixed_test == {"fer2013": 0.3}


def test_tuned_strategies_are_compared_with_tuned_ones() -> None:
    found = [TunedSettings((arm,), WILD, {"lr": lr}) for arm, lr in (("ALT", 0.1), ("PL", 0.2), ("SL", 0.3))]
    study = make_comparison_study(STUDY.narrow_axis("scenario", ["wild"]), found, range(2, 4))
    cells = make_comparison_cells(study, DATA)
    rates = {cell.axes["method"]: cell.method_settings["lr"] for cell in cells}
    own = STUDY.settings["lr"]
    assert rates == {"ALT": own, "ALT(found)": 0.1, "PL": own, "PL(found)": 0.2, "SL": own, "SL(found)": 0.3} and len(cells) == 12
    assert study.baseline == "SL(found)" and len(study.contrasts) == 3
    tuned = [(claim.a["method"], claim.b["method"]) for claim in study.claims if claim.text.endswith("all tuned")]
    assert tuned == [("ALT(found)", "PL(found)"), ("ALT(found)", "SL(found)"), ("PL(found)", "SL(found)")]


def test_against_the_text_each_condition_has_both_on_the_same_seeds() -> None:
    found = [TunedSettings(("ALT",), WILD, {"slope": 0.0})]
    study = make_comparison_study(STUDY.narrow_axis("scenario", ["wild"]), found, range(2, 5))
    cells = study.make_cells(DATA)
    assert [(cell.axes["method"], cell.seed) for cell in cells] == [(arm, seed) for seed in (2, 3, 4) for arm in ("ALT", "ALT(found)")]
    slopes = {cell.axes["method"]: cell.method_settings["slope"] for cell in cells}
    assert slopes == {"ALT": 0.75, "ALT(found)": 0.0}
    assert study.baseline == "ALT" and [claim.a for claim in study.claims] == [{"method": "ALT(found)"}]


def test_against_the_text_what_they_start_from_is_trained_first() -> None:
    ciao = STUDIES.find("ciao")("pocket").narrow_axis("encoder", ["VGG"]).narrow_axis("data", ["FER2013"])
    data = {role: Data(Source("faces"), f"print-{role}", role) for role in ciao.roles}
    study = make_comparison_study(ciao, [TunedSettings(("DL+CIAO",), {"encoder": "VGG", "data": "FER2013"}, {"lr": 0.002})], range(2, 4))
    cells = study.make_cells(data)
    parents, compared = [cell for cell in cells if study.is_prerequisite(cell)], [cell for cell in cells if not study.is_prerequisite(cell)]
    assert [cell.axes["network"] for cell in compared] == ["DL+CIAO", "DL+CIAO(found)"] * 2
    assert len(parents) == 1 and {cell.parent for cell in compared} == {parents[0].key}
    assert study.contrasts == ()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"study": "ciao"}, "was found for ciao, not for annealed_label_transfer"),
        ({"found": []}, "matches no arm and condition of this grid; it has none"),
        ({"found": [ENTRY | {"condition": {"scenario": "wild", "encoder": "vgg16"}}]}, "it has ALT, scenario=wild, encoder=vgg16"),
        ({"found": [ENTRY | {"arm": "XYZ"}]}, "matches no arm"),
        ({"found": [{"arm": "ALT"}]}, "is not the best.json of a search"),
        ({"found": [ENTRY | {"settings": [1]}]}, "is not the best.json of a search"),
        ({"found": "ALT"}, "is not the best.json of a search"),
        ({"fixed_test": ["wild"]}, "is not the best.json of a search"),
        ({"fixed_test": {"wild": 2.0}}, "is not the best.json of a search"),
        ({"spaces": {"ALT": {"lr": {"kind": "Real", "low": 0, "high": 1, "log": False}}}}, "in another search space of ALT"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_best_file(written(tmp_path, **changed), STUDY)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_setting_that_the_method_has_not_names_the_near_one(tmp_path: Path) -> None:
    found, _ = read_best_file(written(tmp_path, found=[ENTRY | {"settings": {"temprature": 0.1}}]), STUDY)
    with pytest.raises(BadRequest, match="did you mean temperature"):
        replace(STUDY, found=found).make_cells(DATA)


def test_a_value_out_of_range_is_one_line(tmp_path: Path) -> None:
    found, _ = read_best_file(written(tmp_path, found=[ENTRY | {"settings": {"cooling": 1.5}}]), STUDY)
    with pytest.raises(BadRequest, match=r"cooling=1\.5"):
        replace(STUDY, found=found).make_cells(DATA)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(st.sampled_from(["study", "found", "arm", "condition", "settings", "x"]), x, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_no_file_is_a_traceback(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    file = tmp_path_factory.mktemp("best") / "best.json"
    file.write_text(json.dumps(content))
    with pytest.raises(BadRequest):
        read_best_file(str(file), STUDY)


def test_no_file_no_json_no_text(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("{")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", "broken", "binary", ""):
        with pytest.raises(BadRequest):
            read_best_file(str(tmp_path / name), STUDY)
