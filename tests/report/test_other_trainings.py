"""A page says what its folder holds beyond it: "140 of 140" became "20 of 20" without a word."""

import json
from pathlib import Path

import pytest

from platform.report.other_trainings import describe_other_trainings
from platform.report.write_report import write_report
from search_spaces.study import STUDIES, Study
from tests.fake_run import fake_run, finish
from trainables.cell import Cell
from trainables.storage.store import RunFolder


@pytest.fixture
def study() -> Study:
    return STUDIES.find("adults_as_augmentation")("pocket").narrow_axis("method", ["SC(c)", "SL(c)"]).with_seeds(2)


def run_again(folder: RunFolder, study: Study, cells: list[Cell]) -> list[Cell]:
    """Write the grid of another command, with every training done."""
    again = study.make_cells({role: data for cell in cells for role, data in cell.data.items()})
    folder.put_grid(study.name, study.scale, again)
    for cell in again:
        if folder.get_result(cell.key) is None:
            finish(folder, study, cell)
    return again


def test_a_whole_grid_has_nothing_beside_it(study: Study, tmp_path: Path) -> None:
    folder, cells = fake_run(tmp_path, study)
    assert describe_other_trainings(folder, cells) == ""


def test_other_values_and_other_settings_are_counted_and_named(study: Study, tmp_path: Path) -> None:
    folder, cells = fake_run(tmp_path, study)
    narrow = study.narrow_axis("method", ["SL(c)"]).narrow_axis("split", ["0.5"])
    again = run_again(folder, narrow, cells)
    said = describe_other_trainings(folder, again)
    assert said.startswith("This page covers 4 of 16 trainings in this folder. The others differ: ")
    assert ("4 in method;" in said and "4 in split;" in said) or "4 in method, split" in said
    other = run_again(folder, narrow.with_setting("momentum", 0.5), cells)
    said = describe_other_trainings(folder, other)
    assert said.startswith("This page covers 4 of 20 trainings in this folder.") and "4 in momentum" in said


def test_page_json_and_markdown_say_it(study: Study, tmp_path: Path) -> None:
    folder, cells = fake_run(tmp_path, study)
    again = study.narrow_axis("method", ["SL(c)"])
    run_again(folder, again, cells)
    write_report(folder, again)
    (note,) = json.loads(Path(folder.get_path("report", "report.json")).read_text())["notes"]
    assert note == "This page covers 8 of 16 trainings in this folder. The others differ: 8 in method."
    assert (
        note in Path(folder.get_path("report", "index.html")).read_text()
        and note in Path(folder.get_path("report", "report.md")).read_text()
    )


def test_what_others_start_from_is_no_training_of_the_page(tmp_path: Path) -> None:
    ciao = STUDIES.find("ciao")("pocket").narrow_axis("data", ["FER2013"]).with_seeds(1)
    folder, cells = fake_run(tmp_path, ciao)
    shown = [cell for cell in cells if not ciao.is_prerequisite(cell)]
    assert describe_other_trainings(folder, shown) == ""
    narrow = ciao.narrow_axis("encoder", ["VGG"])
    again = [cell for cell in run_again(folder, narrow, cells) if not narrow.is_prerequisite(cell)]
    assert describe_other_trainings(folder, again) == "This page covers 6 of 12 trainings in this folder. The others differ: 6 in encoder."
