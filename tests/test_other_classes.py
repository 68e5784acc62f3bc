"""Data sets without some of a study's classes: every study runs with the shared ones, and marks the paper's numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from platform.cli.study_options import read_roles
from platform.report.other_classes import describe_other_classes
from platform.report.read_run_folder import read_folder
from search_spaces.study import STUDIES, list_classes
from tests import tiny
from trainables.cell import Data
from trainables.data.dataset import CLASSES
from trainables.data.source import Source
from trainables.loop import make_task
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

ALL = (*CLASSES, "anxiety")
CPU = torch.device("cpu")


def make_data(study_name: str, lacking: dict[str, tuple[str, ...]]) -> dict[str, Data]:
    """Return data of each role of a study, of which some lack classes."""
    study = STUDIES.find(study_name)("pocket")
    return {
        role: Data(source, role, role, classes=tuple(name for name in ALL if name not in lacking.get(role, ())))
        for role, source in study.roles.items()
    }


@pytest.mark.parametrize("name", sorted(STUDIES.import_all()))
def test_nothing_changes_where_the_data_have_all_classes(name: str) -> None:
    study = STUDIES.find(name)("pocket").with_seeds(1)
    unknown = {role: Data(source, role, role) for role, source in study.roles.items()}
    known = study.make_cells(make_data(name, {}))
    assert [cell.key for cell in known] == [cell.key for cell in study.make_cells(unknown)]
    assert describe_other_classes(study, known) == []


@pytest.mark.parametrize("name", sorted(STUDIES.import_all()))
def test_every_study_leaves_out_what_its_data_lack(name: str) -> None:
    """As with CK+48, which has no neutral faces."""
    study = STUDIES.find(name)("pocket").with_seeds(1)
    cells = study.make_cells(make_data(name, {role: ("neutral",) for role in study.roles}))
    labelled = [cell for cell in cells if cell.task != "adaptation" or cell.task_settings["target"] == "label"]
    classed = [list_classes(cell.task_settings) for cell in labelled if list_classes(cell.task_settings)]
    assert classed and not any("neutral" in names for names in classed)
    assert any("without neutral" in line for line in describe_other_classes(study, cells))


def test_too_few_shared_classes_are_refused() -> None:
    study = STUDIES.find("adults_as_augmentation")("pocket")
    lacking = {"children": tuple(name for name in ALL if name != "anger")}
    with pytest.raises(BadRequest, match=r"the data sets share anger of its classes; two are needed \(children has anger; adults has "):
        study.make_cells(make_data(study.name, lacking))


def test_a_class_that_the_user_names_and_no_set_has_is_refused() -> None:
    study = STUDIES.find("adults_as_augmentation")("pocket").with_setting("classes", ("anger", "happiness", "saddness"))
    with pytest.raises(BadRequest, match=r"classes: not all data sets have the class saddness \(children has anger, contempt"):
        study.make_cells(make_data(study.name, {}))


def test_classes_that_the_user_chose_are_not_the_papers() -> None:
    """The command's own report and `platform.report`, which does not know the command's settings, say the same."""
    registered = STUDIES.find("adults_as_augmentation")("pocket").with_seeds(1)
    chosen = registered.with_setting("classes", ("anger", "happiness"))
    cells = chosen.make_cells(make_data(chosen.name, {}))
    (line,) = describe_other_classes(chosen, cells)
    assert line.startswith("other classes: 2 instead of the paper's 7") and describe_other_classes(registered, cells) == [line]


def write_folders(folder: Path, classes: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(24):
            Image.fromarray(rng.integers(0, 256, (32, 32), np.uint8)).save(folder / name / f"{number}.png")


def test_a_grid_on_them_is_marked_in_the_report(tmp_path: Path) -> None:
    write_folders(tmp_path / "set", ("anger", "fear", "happiness", "sadness"))
    study = replace(
        STUDIES.find("adults_as_augmentation")("pocket").with_seeds(1), settings=tiny.SETTINGS | {"per_class": None, "partner": None}
    )
    study = replace(study, settings={name: value for name, value in study.settings.items() if name != "classes"})
    data = read_roles(study, [f"children=folders:{tmp_path / 'set'}"])
    assert data["children"].classes == ("anger", "fear", "happiness", "sadness")
    cells = study.make_cells(data)
    task = make_task(cells[0], CPU)
    assert task.classes == ("anger", "fear", "happiness", "sadness") and len(task.train.rows) > 0
    folder = RunFolder(str(tmp_path / "run"))
    folder.put_grid(study.name, study.scale, cells)
    (note,) = read_folder(folder).notes
    assert note.startswith("other classes: 4 instead of the paper's 7, without disgust, neutral, surprise")
    assert folder.get_cells()[0].data["children"].classes == data["children"].classes
    assert isinstance(data["children"].source, Source)
