"""A report is written again if anything in it may have changed, and only then."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from platform.grid.run import draw_results
from platform.report.write_report import write_report
from search_spaces.study import STUDIES, Study
from tests.fake_run import fake_run, finish
from trainables.cell import Cell
from trainables.storage.store import RunFolder

Run = tuple[Study, list[Cell], RunFolder]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Run:
    study = (
        STUDIES.find("adults_as_augmentation")("pocket")
        .with_seeds(2)
        .narrow_axis("method", ["SL(c)", "SC(c)"])
        .narrow_axis("split", [".5"])
    )
    folder, cells = fake_run(tmp_path_factory.mktemp("current") / "run", study)
    draw_results(study, cells, folder)
    return study, cells, folder


def drawn_anew(run: Run) -> bool:
    study, cells, folder = run
    page = Path(folder.get_path("report", "index.html"))
    before = page.stat().st_mtime_ns if page.exists() else 0
    draw_results(study, cells, folder)
    return page.stat().st_mtime_ns != before


def test_what_has_not_changed_is_left_alone(reported: Run) -> None:
    assert not drawn_anew(reported)


def other_result(run: Run) -> None:
    study, cells, folder = run
    finish(folder, study, cells[0], flags=("collapsed: it answers one class",))


def lost_file(run: Run) -> None:
    os.remove(run[2].get_path("report", "runs.csv"))


def edited_page(run: Run) -> None:
    with open(run[2].get_path("report", "index.html"), "a") as page:
        page.write("<p>mine</p>")


def other_baseline(run: Run) -> None:
    write_report(run[2], baseline="SL(c)")


def other_grid(run: Run) -> None:
    study, cells, folder = run
    folder.put_grid(study.name, study.scale, list(reversed(cells)))


def something_explained(run: Run) -> None:
    run[2].put(b"", "explain", "gradcam", "sheet-0.svg")


@pytest.mark.parametrize("change", [other_result, lost_file, edited_page, other_baseline, other_grid, something_explained])
def test_what_may_have_changed_is_made_anew(reported: Run, change: Callable[[Run], None]) -> None:
    change(reported)
    assert drawn_anew(reported) and not drawn_anew(reported)


def test_of_an_unfinished_run_the_report_is_always_made(reported: Run) -> None:
    _, cells, folder = reported
    result = folder.get("cells", cells[0].key, "result.json")
    folder.remove("cells", cells[0].key, "result.json")
    assert drawn_anew(reported) and drawn_anew(reported)
    folder.put(result or b"", "cells", cells[0].key, "result.json")
    assert drawn_anew(reported) and not drawn_anew(reported)
