"""A run folder that is moved away under a real grid: one line, nothing at the old path, and moved back the same command goes on."""

from pathlib import Path

from tests.faults.ordeal import WELL, Ordeal, checkout


def test_a_grid_whose_folder_is_moved_ends_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    ordeal = Ordeal(checkout(tmp_path / "checkout"), tmp_path / "runs", seeds=6)
    run, elsewhere = Path(ordeal.folder.root), tmp_path / "elsewhere"
    ordeal.start()
    try:
        assert ordeal.wait(lambda: bool(ordeal.folder.done())), ordeal.said
        run.rename(elsewhere)
        assert ordeal.end() == 2, ordeal.said
    finally:
        if ordeal.process and ordeal.running:
            ordeal.process.kill()
    line = ordeal.said.strip().splitlines()[-1]
    assert line.startswith(f"{run} was moved or deleted while this command ran; nothing more is written there"), ordeal.said
    assert ordeal.said.count("moved or deleted") == 1 and "failed:" not in ordeal.said, ordeal.said
    assert not run.exists()

    elsewhere.rename(run)
    finished = {key: ordeal.folder.get("cells", key, "result.json") for key in ordeal.folder.done()}
    assert 0 < len(finished) < len(ordeal.folder.grid()) == 6 * len(WELL), "it was moved too late to test anything"
    assert ordeal.until_done() == 1, ordeal.said
    assert all(ordeal.folder.get("cells", key, "result.json") == content for key, content in finished.items()), "trained again"
    ordeal.whole()
