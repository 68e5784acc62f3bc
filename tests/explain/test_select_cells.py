"""Selection of the condition: the study's pictures where the run has them, the nearest value or another where it has not."""

from pathlib import Path

import pytest

from platform.explain.select_cells import REPLICATES, choose_cells
from search_spaces.pictures import choose_value
from search_spaces.study import STUDIES
from tests.fake_run import fake_run
from trainables.cell import Value
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder


@pytest.mark.parametrize(
    ("values", "wanted", "chosen"),
    [
        ([0.5, 0.7, 0.9], 0.7, 0.7),
        ([0.5, 0.9], 0.7, 0.5),  # equally near: the smaller
        ([0.9, 0.5], 0.7, 0.5),
        ([0.8, 0.9], 0.7, 0.8),
        ([1, 10, 20], 5, 1),
        ([1, 10, 20], 8, 10),
        ([1, 5, 20], None, 20),
        (["pocket", "ronnet"], "ronnet", "ronnet"),
        (["pocket", "googlenet"], "ronnet", "pocket"),
        (["b", "a"], None, "b"),
        ([1, "a"], 1, 1),
        ([2, "a"], 1, 2),
    ],
)
def test_the_value_of_an_axis(values: list[Value], wanted: Value | None, chosen: Value) -> None:
    assert choose_value(values, wanted) == chosen


@pytest.mark.parametrize("name", STUDIES.import_all())
@pytest.mark.parametrize("scale", ["pocket", "paper"])
def test_a_study_pictures_what_it_has(name: str, scale: str) -> None:
    study = STUDIES.find(name)(scale)
    pictures = study.pictures
    assert set(pictures.arms) <= set(study.axes[study.compared])
    assert pictures.condition.keys() <= study.condition_axes.keys() and pictures.columns in (None, *study.condition_axes)
    if scale == "paper":
        assert all(value in study.axes[axis] for axis, value in pictures.condition.items())


def with_parameters(folder: RunFolder) -> RunFolder:
    for cell in folder.get_cells():
        add_parameters(folder, cell.key)
    return folder


def add_parameters(folder: RunFolder, key: str) -> None:
    """Write a finished training's parameters, and its result, which is written last, again."""
    result = folder.get_result(key)
    assert result
    folder.put_checkpoint(key, {"modules": {}})
    folder.put_result(key, result)


def test_the_pictures_of_children_cnn_are_of_ronnet_and_transfer(tmp_path: Path) -> None:
    study = STUDIES.find("children_cnn")("paper").with_seeds(1)
    folder = with_parameters(fake_run(tmp_path / "all", study)[0])
    cells, condition, narrowed, notes = choose_cells(folder, study, [], together=True)
    assert [cell.axes["method"] for cell in cells] == ["transfer"] and not narrowed and not notes
    assert condition == {"encoder": "ronnet", "classes": 7, "colour": "rgb", "augment": "affine"}
    cells, condition, narrowed, _ = choose_cells(folder, study, ["method=children,adults(web)", "classes=5"], together=True)
    assert {cell.axes["method"] for cell in cells} == {"adults(web)", "children"} and condition["classes"] == 5
    assert narrowed == {"method": ("adults(web)", "children"), "classes": (5,)}
    few = study.narrow_axis("encoder", ["googlenet", "pocket"]).narrow_axis("method", ["adults(lab)", "adults(web)"])
    cells, condition, _, _ = choose_cells(with_parameters(fake_run(tmp_path / "few", few)[0]), study, [], together=True)
    assert condition["encoder"] == "pocket" and {cell.axes["method"] for cell in cells} == {"adults(lab)", "adults(web)"}


def test_more_replicates_than_fit_are_left_out_and_said(tmp_path: Path) -> None:
    study = STUDIES.find("adults_as_augmentation")("pocket").with_seeds(12).narrow_axis("split", ["0.5"]).narrow_axis("ratio", ["5"])
    folder = with_parameters(fake_run(tmp_path / "run", study)[0])
    cells, _, _, notes = choose_cells(folder, study, [], together=True)
    assert [cell.axes["method"] for cell in cells] == ["SC(c<-a)"] * REPLICATES + ["SC(c)"] * REPLICATES
    assert {cell.axes["seed"] for cell in cells} == set(range(REPLICATES)) and notes == [
        "the first 10 of 12 seeds; --only seed=V,V shows others"
    ]
    cells, _, _, notes = choose_cells(folder, study, ["seed=11,2"], together=True)
    assert {cell.axes["seed"] for cell in cells} == {2, 11} and not notes


def test_of_several_values_one_is_drawn_and_a_note_says_so(tmp_path: Path) -> None:
    study = STUDIES.find("adults_as_augmentation")("pocket").with_seeds(1)
    folder, cells = fake_run(tmp_path / "run", study)
    for cell in cells:
        add_parameters(folder, cell.key)
    chosen, condition, _, notes = choose_cells(folder, study, ["split=0.5,0.9"], together=False)
    assert condition["split"] == 0.5 and {cell.axes["split"] for cell in chosen} == {0.5}
    assert notes == ["of --only split=0.5,0.9 only 0.5 is drawn: name one value at a time"]


def test_columns_stay_open_unless_one_is_named(tmp_path: Path) -> None:
    study = STUDIES.find("ciao")("pocket").with_seeds(1)
    folder = with_parameters(fake_run(tmp_path / "run", study)[0])
    cells, condition, _, _ = choose_cells(folder, study, [], together=True)
    assert condition == {"encoder": "VGG"} and {cell.axes["data"] for cell in cells} == set(study.axes["data"]) and len(cells) == 6 * 8
    cells, condition, _, _ = choose_cells(folder, study, ["data=FER+"], together=True)
    assert condition == {"encoder": "VGG", "data": "FER+"} and len(cells) == 6
    assert choose_cells(folder, study, [], together=False)[1]["data"] == study.axes["data"][0]  # for pictures of the user's own
    with pytest.raises(BadRequest, match=r"^unknown value of axis data 'FER'"):
        choose_cells(folder, study, ["data=FER"], together=True)
