"""Settings on the page: all of them, and those that differ from the paper's, found again in the cells themselves."""

import json
from pathlib import Path

import pytest

from platform.report.settings_summary import summarise_settings
from platform.report.write_report import write_report
from search_spaces.study import STUDIES, Study
from tests.fake_run import fake_run
from trainables.cell import Cell, Data
from trainables.registry import BadRequest

NAMES = ["adults_as_augmentation", "annealed_label_transfer", "children_cnn", "ciao"]


def make_cells(study: Study) -> list[Cell]:
    cells = study.make_cells({role: Data(source, "", "") for role, source in study.roles.items()})
    return [cell for cell in cells if not study.is_prerequisite(cell)]


@pytest.mark.parametrize("name", NAMES)
def test_at_the_papers_scale_nothing_differs(name: str) -> None:
    study = STUDIES.find(name)("paper").with_seeds(1)
    summary = summarise_settings(study, make_cells(study))
    assert len(summary.rows) > 15 and not summary.changed


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_of_the_users_is_told_at_the_papers_scale(name: str) -> None:
    """A page of the paper scale with few epochs looked like a real one."""
    study = STUDIES.find(name)("paper").with_seeds(1).with_setting("epochs", 3)
    (row,) = summarise_settings(study, make_cells(study)).changed
    assert row.name == "epochs" and row.here.startswith("3") and row.paper is not None and not row.paper.startswith("3 ")


def test_a_value_of_another_condition_of_the_paper_differs() -> None:
    """.003 is the paper's rate of FER2013 with the network PK, and not with VGG."""
    study = STUDIES.find("ciao")("paper").with_seeds(1).with_setting("lr", 0.003).narrow_axis("data", ["FER2013"])
    for encoder, expected in (("VGG", ["lr"]), ("PK", [])):
        narrowed = study.narrow_axis("encoder", [encoder])
        assert [row.name for row in summarise_settings(narrowed, make_cells(narrowed)).changed] == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_of_every_training_is_there(name: str) -> None:
    study = STUDIES.find(name)("pocket").with_seeds(1)
    rows = {row.name: row for row in summarise_settings(study, make_cells(study)).rows}
    left_out = set(study.axes) | {key for meanings in study.meanings.values() for settings in meanings.values() for key in settings}
    for cell in make_cells(study):
        for key, value in {**cell.task_settings, **cell.method_settings}.items():
            if key not in left_out and not isinstance(value, dict):
                assert key in rows
            if key == "lr":
                assert f"{value:.6g}" in rows["lr"].here


def test_page_json_and_markdown_have_them(tmp_path: Path) -> None:
    study = STUDIES.find("annealed_label_transfer")("pocket").narrow_axis("scenario", ["wild"])
    folder, _ = fake_run(tmp_path, study)
    write_report(folder, study)
    page, markdown = (Path(folder.get_path("report", name)).read_text() for name in ("index.html", "report.md"))
    report = json.loads(Path(folder.get_path("report", "report.json")).read_text())
    settings = {row["name"]: row for row in report["settings"]}
    assert settings["lr"] == {"name": "lr", "here": "0.06", "paper": "0.001", "differs": True}
    assert not settings["momentum"]["differs"] and "| lr | 0.06 | 0.001 |" in markdown
    names = [row["name"] for row in report["settings"] if row["differs"]]
    assert f"{len(names)} settings are not the paper's: {', '.join(names)}" in page.replace("&#39;", "'")
    assert f"All {len(settings)} settings" in page and "Settings: lr 0.06; momentum 0.9" in page
    assert page.index("settings are not the paper") < page.index("What was found"), "on the first screen"


def test_a_study_that_cannot_be_made_at_the_papers_scale_has_settings_without_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    study = STUDIES.find("ciao")("pocket").with_seeds(1)
    cells = make_cells(study)

    def refuse(*given: object) -> list[Cell]:
        raise BadRequest("no")

    monkeypatch.setattr(Study, "make_cells", refuse)
    rows = summarise_settings(study, cells).rows
    assert rows and all(row.paper is None and not row.differs for row in rows)
