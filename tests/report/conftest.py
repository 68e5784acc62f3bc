"""Run folders with plausible fake numbers, made once. A test that changes a folder gets a copy."""

import shutil
from pathlib import Path

import pytest
from fake_run import fake_run

from search_spaces.study import STUDIES, Study
from tests.report.pages import Report, made
from trainables.cell import Cell
from trainables.storage.store import RunFolder

Run = tuple[RunFolder, list[Cell]]


@pytest.fixture(scope="session")
def study() -> Study:
    pocket = STUDIES.find("adults_as_augmentation")("pocket")
    return pocket.narrow_axis("method", ["SL(c)", "UC(c)", "SC(c)", "SC(c<-a)"]).with_seeds(8)


@pytest.fixture(scope="session")
def finished(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fake_run(tmp_path_factory.mktemp("finished") / "run", study)


@pytest.fixture(scope="session")
def whole(finished: Run) -> Report:
    """Return the report of an unchanged run. Tests must only read it."""
    return made(finished[0], with_figures=True)


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    return RunFolder(str(shutil.copytree(finished[0].root, tmp_path / "run"))), finished[1]
