"""A method, a network, a reader and a study are one new file each. Contract suites and a grid accept them without any other edit."""

import shutil
from pathlib import Path

import pytest

from tests import running
from tests.forking import LOCAL
from trainables.storage.store import RunFolder

ROOT = Path(__file__).resolve().parent.parent
TOYS = {
    "method.py": "trainables/methods/toy_mixup.py",
    "network.py": "trainables/models/toy_network.py",
    "reader.py": "trainables/data/readers/toy_reader.py",
    "study.py": "search_spaces/toy_study.py",
}
SUITES = ("methods", "models", "inhibition", "study", "settings", "data_command")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy this checkout and add the four files. Return the copy's path."""
    target = tmp_path_factory.mktemp("toys") / "checkout"
    without = shutil.ignore_patterns("__pycache__")
    for name in ("platform", "search_spaces", "trainables", "tests"):
        shutil.copytree(ROOT / name, target / name, ignore=without)
    for name in ("conftest.py", "pyproject.toml", "README.md", "requirements.txt"):
        shutil.copy(ROOT / name, target / name)
    for toy, path in TOYS.items():
        assert not (target / path).exists()
        shutil.copy(ROOT / "tests" / "toys" / toy, target / path)
    return target


def run(checkout: Path, *words: str) -> str:
    code, output = running.run(["-m", *words], LOCAL, checkout)
    assert code == 0, output[-12000:]
    return output


@pytest.mark.slow
@pytest.mark.parametrize("toy", ["toy_mixup", "toy_network", "toy_reader", "toy_study"])
def test_the_contract_suites_take_a_new_file(checkout: Path, toy: str) -> None:
    files = ["tests/data/test_contract.py", *(f"tests/test_{name}.py" for name in SUITES)]
    output = run(checkout, "pytest", "-q", "-p", "no:cacheprovider", "-n0", "-k", toy, *files)
    assert " passed" in output and "failed" not in output


@pytest.mark.slow
def test_the_suites_stay_green_beside_them(checkout: Path) -> None:
    """Tests that count or list what exists include the new files."""
    files = [f"tests/{name}" for name in ("test_import_rules.py", "test_settings.py", "test_data_command.py", "test_inhibition.py")]
    assert "failed" not in run(checkout, "pytest", "-q", "-p", "no:cacheprovider", "-n0", *files)


@pytest.mark.slow
@pytest.mark.ray
def test_a_grid_takes_them(checkout: Path, tmp_path: Path) -> None:
    run(checkout, "platform.grid", "toy_study", "--slots", "1", "--runs", str(tmp_path))
    folder = RunFolder(str(tmp_path / "toy_study-pocket"))
    cells = folder.get_cells()
    assert len(cells) == 4 and {cell.key for cell in cells} == folder.list_done()
    assert Path(folder.get_path("report", "index.html")).exists()
