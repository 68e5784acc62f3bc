"""A grid that `ferray` starts in another folder, on a Ray of its own: its workers find the checkout, and paths mean what they say there."""

import os
from pathlib import Path

from tests.running import ROOT, run
from trainables.storage.store import RunFolder

GRID = ["--only", "method=SL(c)", "--only", "split=.5", "--only", "ratio=1", "--seeds", "1", "--set", "steps=4", "--slots", "1"]


def test_a_grid_runs_from_a_folder_that_is_not_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "platform.py").write_text("raise AssertionError('imported')")  # a user's own file, which stands in for nothing
    environment = {"PYTHONPATH": "", "RAY_ADDRESS": "", "FERRAY_CACHE": os.environ["FERRAY_CACHE"]}
    code, said = run([str(ROOT / "platform" / "cli" / "launcher.py"), "grid", *GRID, "--runs", "mine"], environment, tmp_path)
    assert code == 0, said
    folder = RunFolder(str(tmp_path / "mine" / "adults_as_augmentation-pocket"))
    (cell,) = folder.get_cells()
    assert folder.get_result(cell.key)["provenance"]["pid"] and (tmp_path / "mine").is_dir()
