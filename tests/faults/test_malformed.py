"""A damaged file is refused in one line or read as what it now says: no traceback, and no old result for new bytes."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from platform.cli.best_settings import read_best_file
from platform.launch import driver_record
from platform.launch.run_lock import lock_run
from platform.launch.unfinished_cells import list_cells_to_train
from platform.report.findings import compute_findings
from platform.report.read_results_table import read_table
from platform.report.read_run_folder import read_folder
from platform.terminal.progress import make_printable
from search_spaces.study import STUDIES
from tests import tiny
from tests.fake_run import fake_run
from tests.faults.mutations import spoilt_bytes, spoilt_json
from trainables.cell import Cell, Data
from trainables.data.source import Source, parse_role_file
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

many = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def place() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def outcome(call: Callable[[], Any]) -> Any:
    """Return the result of the call, or None if it refused in one printable line. Any other exception fails the test."""
    try:
        return call()
    except (BadRequest, FileNotFoundError) as error:
        assert make_printable(str(error)).isprintable() and len(str(error)) < 2000, str(error)
        return None


FACES = tempfile.mkdtemp(prefix="malformed-")
SOURCE = tiny.files(Path(FACES))["children"]
CSV, AGES = (Path(path).read_bytes() for path in (SOURCE.path, SOURCE.options[0][1]))


@many
@given(spoilt_bytes(CSV))
def test_fer2013(place: Path, content: bytes) -> None:
    (file := place / "fer2013.csv").write_bytes(content)
    ages = place / "whole-ages.csv"
    ages.write_bytes(AGES)
    faces = outcome(lambda: Source("fer2013", str(file), "children", (("ages", str(ages)),)).read_faces(32, "grey"))
    assert faces is None or (len(faces) and faces.fingerprint)


@many
@given(spoilt_bytes(AGES))
def test_ages(place: Path, content: bytes) -> None:
    (file := place / "ages.csv").write_bytes(content)
    faces = outcome(lambda: Source("fer2013", SOURCE.path, "children", (("ages", str(file)),)).read_faces(32, "grey"))
    assert faces is None or len(faces)


def picture() -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Image.fromarray(np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)).save(file.name)
        return Path(file.name).read_bytes()


@many
@given(spoilt_bytes(picture()), st.sampled_from([b"a.png", b"\xff\xfe.png", b"\x1b[2J.png", b"a\nb.png", b"<b>.png", "ü.png".encode()]))
def test_pictures(place: Path, content: bytes, name: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=place) as folder:
        Path(folder, name.decode(errors="surrogateescape")).write_bytes(content)
        faces = outcome(lambda: Source("images", folder).read_faces(32, "rgb"))
    assert faces is None or faces.fingerprint


ROLES = b"children:\n  kind: fer2013\n  path: faces/fer2013.csv\n  ages: ages.csv\nadults: faces:adults/posed\n"
ODD_YAML = [
    b"&a [*a]",
    b"? {a: 1}",
    b"!!python/object/apply:os.system [id]",
    b"children: {kind: [], path: {}}",
    b"1: 2",
    b"- a",
    b"children: 2026-01-01",
]


@many
@given(spoilt_bytes(ROLES) | st.sampled_from(ODD_YAML))
def test_roles_in_yaml(place: Path, content: bytes) -> None:
    (file := place / "roles.yaml").write_bytes(content)
    roles = outcome(lambda: parse_role_file(file))
    assert roles is None or all(isinstance(source, Source) for sources in roles.values() for source in sources)


STUDY = STUDIES.find("annealed_label_transfer")("pocket")
BEST = {
    "study": STUDY.name,
    "scale": "pocket",
    "found": [{"arm": "ALT", "condition": {"encoder": "pocket", "scenario": "wild"}, "settings": {"temperature": 0.03, "noise": "logits"}}],
}
DATA = {role: Data(Source("faces"), f"print of {role}", role) for role in STUDY.roles}


@many
@given(spoilt_json(BEST))
def test_best_json(place: Path, content: bytes) -> None:
    (file := place / "best.json").write_bytes(content)
    best = outcome(lambda: read_best_file(str(file), STUDY))
    cells = best and outcome(lambda: replace(STUDY, found=best.found).make_cells(DATA))
    if cells and json.loads(content)["found"][0].get("settings") != BEST["found"][0]["settings"]:  # type: ignore[index]
        assert cells != replace(STUDY, found=read_best_file(written(place, BEST), STUDY).found).make_cells(DATA)


def written(place: Path, content: Any) -> str:
    (file := place / "whole.json").write_text(json.dumps(content))
    return str(file)


TABLE = pd.DataFrame(
    [(arm, split, seed, 0.5 + seed / 10, 0.4, "s") for arm in "AB" for split in (0.1, 0.5) for seed in range(3)],
    columns=["method", "split", "seed", "test", "val", "split_hash"],
)


@many
@given(spoilt_bytes(TABLE.to_csv(index=False).encode()))
def test_table(place: Path, content: bytes) -> None:
    (file := place / "table.csv").write_bytes(content)
    outcome(lambda: compute_findings(read_table(str(file), conditions=["split"])))


@many
@given(spoilt_bytes(TABLE.to_parquet()))
def test_parquet(place: Path, content: bytes) -> None:
    (file := place / "table.parquet").write_bytes(content)
    outcome(lambda: compute_findings(read_table(str(file), conditions=["split"])))


POCKET = (
    STUDIES.find("adults_as_augmentation")("pocket").narrow_axis("method", ["SL(c)", "SC(c)"]).narrow_axis("split", ["0.5"]).with_seeds(3)
)
RUN, CELLS = fake_run(Path(FACES) / "run", POCKET)
KEY = CELLS[0].key
RUN.put_checkpoint(KEY, {"modules": {"weight": torch.arange(500.0)}})


def content_of(name: str) -> bytes:
    return RUN.get("cells", KEY, name) or b""


def harmed(*parts: str, content: bytes) -> RunFolder:
    """Return the run folder with this content in one of its files. The next call restores the file."""
    for path, whole in WHOLE.items():
        path.write_bytes(whole)
    path = Path(RUN.get_path(*parts))
    WHOLE.setdefault(path, path.read_bytes() if path.exists() else b"")
    path.write_bytes(content)
    return RUN


WHOLE: dict[Path, bytes] = {}


@pytest.mark.parametrize("name", ["result.json", "history.jsonl", "predictions.npz"])
@many
@given(st.data())
def test_what_is_not_as_it_was_written_is_not_done(name: str, data: st.DataObject) -> None:
    """A result with a digit that the disk changed is not a result."""
    before = content_of(name) if Path(RUN.get_path("cells", KEY, name)) not in WHOLE else WHOLE[Path(RUN.get_path("cells", KEY, name))]
    mutate = spoilt_json(json.loads(before)) if name == "result.json" and data.draw(st.booleans()) else spoilt_bytes(before)
    content = data.draw(mutate)
    folder = harmed("cells", KEY, name, content=content)
    try:
        same = name == "result.json" and json.loads(content) == json.loads(before)
    except ValueError:
        same = False
    if content != before and not same:
        assert KEY not in folder.list_done() and [cell.key for cell in list_cells_to_train(CELLS, folder)] == [KEY]
    outcome(lambda: read_folder(folder))


@many
@given(st.data())
def test_checkpoint(data: st.DataObject) -> None:
    path = Path(RUN.get_path("cells", KEY, "checkpoint.pt"))
    before = WHOLE.get(path) or path.read_bytes()
    state = harmed("cells", KEY, "checkpoint.pt", content=data.draw(spoilt_bytes(before))).get_checkpoint(KEY)
    assert state is None or torch.equal(state["modules"]["weight"], torch.arange(500.0))


@many
@given(spoilt_json(json.loads(RUN.get("grid.json") or b"")))
def test_grid_json(content: bytes) -> None:
    folder = harmed("grid.json", content=content)
    runs = outcome(lambda: read_folder(folder))
    outcome(lambda: runs and compute_findings(runs, folder))
    if runs and json.loads(content).get("digest"):
        assert len(runs.table) == len(CELLS)


@many
@given(spoilt_json({"host": "h", "pid": 1, "since": "s", "born": "1", "beat": 1.0, "claim": "c", "supervisor": {"pid": 1, "born": "1"}}))
def test_driver_json(content: bytes) -> None:
    def both() -> bool:
        with lock_run(harmed("driver.json", content=content)):
            return True

    assert outcome(both)
    RUN.put(content, "driver.json")
    driver = driver_record.read_driver(RUN)
    assert driver_record.is_alive(driver) in (True, False) and driver_record.is_ending(driver) in (True, False)
    assert isinstance(driver_record.describe_driver(driver), str)


@many
@given(spoilt_json(CELLS[0].to_json()))
def test_cell_of_another_shape(content: bytes) -> None:
    """Cells are read only from the grid's list."""
    harmed("cells", KEY, "cell.json", content=content)
    assert RUN.get_cells() == CELLS and isinstance(RUN.get_cells()[0], Cell)
