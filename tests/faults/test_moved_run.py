"""Test of a run folder that is moved away while a real grid runs.

The grid ends with one line and leaves nothing at the old path. After the folder is moved back, the same command resumes.
"""

from pathlib import Path

from tests.faults.ordeal import check_whole
from tests.forking import SharedRay
from trainables.storage.store import RunFolder

GRID = ["--only", "method=SL(c)", "--only", "split=.5", "--only", "ratio=1", "--seeds", "4", "--slots", "1", "--set", "per_class=8"]
GRID += ["--set", "precision=fp32", "--set", "epochs=4"]


def test_a_grid_whose_folder_is_moved_ends_and_goes_on_when_it_is_back(shared_ray: SharedRay, tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "adults_as_augmentation-pocket"))
    run, elsewhere = Path(folder.root), tmp_path / "elsewhere"
    command = shared_ray.start("platform.grid", *GRID, "--runs", str(tmp_path))
    command.wait_for(folder.list_done)
    run.rename(elsewhere)
    code, output = command.end()
    assert code == 2, output
    line = output.strip().splitlines()[-1]
    assert line.startswith(f"{run} was moved or deleted while this command ran; nothing more is written there"), output
    assert output.count("moved or deleted") == 1 and "failed:" not in output, output
    assert not run.exists()

    elsewhere.rename(run)
    finished = {key: folder.get("cells", key, "result.json") for key in folder.list_done()}
    assert 0 < len(finished) < len(folder.get_cells()) == 4, "it was moved too late to test anything"
    code, output = shared_ray.run("platform.grid", *GRID, "--runs", str(tmp_path))
    assert code == 0 and "4/4 trainings done, 0 failed" in output, output
    assert all(folder.get("cells", key, "result.json") == content for key, content in finished.items()), "trained again"
    check_whole(folder, folder.get_cells())
