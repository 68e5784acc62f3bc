"""The steps that --dry-run counts, compared with those of real trainings. The times that it estimates cannot be tested."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from platform.cli.study_options import read_roles
from platform.grid.estimate import Pace, Rates, Size, Way, count_steps, estimate_grid, measure_rates
from search_spaces.study import STUDIES, Study
from trainables.cell import Cell
from trainables.execution.config import ExecutionConfig
from trainables.loop import make_method, make_task, train_cell
from trainables.methods.method import PhaseSize
from trainables.storage.store import RunFolder

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the first measurement final, because no test looks at times. Restore the number of threads afterwards."""
    monkeypatch.setattr("platform.grid.estimate.LONG_S", 0.05)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def cells_of(study: Study) -> list[Cell]:
    return study.make_cells(read_roles(study, []))


@pytest.fixture(scope="module")
def pocket() -> Study:
    return STUDIES.find("adults_as_augmentation")("pocket")


@pytest.fixture
def tiny(pocket: Study) -> Study:
    settings = {"budget": "epochs", "steps": None, "epochs": 2, "probe_steps": None, "probe_epochs": 3, "per_class": 7, "batch": 24}
    return replace(pocket, settings=pocket.settings | settings).with_seeds(2)


def rows_of(text: str) -> dict[str, list[str]]:
    """Return the table's rows by their first column."""
    return {line.split("  ")[0]: re.split(r"\s{2,}", line)[1:] for line in text.split("\n\n")[1].splitlines()[1:]}


@pytest.mark.parametrize("arm", ["SL(c+a)", "UC(c)", "SC(c<-a)"])
def test_counted_steps_are_those_a_training_makes(tiny: Study, arm: str, tmp_path: Path) -> None:
    study = tiny.narrow_axis("method", [arm]).narrow_axis("split", ["0.9"]).narrow_axis("ratio", ["5"]).with_seeds(1)
    (cell,) = cells_of(study)
    trained = train_cell(cell, RunFolder(str(tmp_path)))["trained"].values()
    steps, images = (" + ".join(f"{phase[what]:,}" for phase in trained) for what in ("steps", "images"))
    assert rows_of(estimate_grid(study, [cell], set(), 1))[arm][:3] == ["1", steps, images]


@pytest.mark.parametrize("changes", [{}, {"budget": "steps", "steps": 23, "probe_steps": 7}, {"budget": "images", "images_seen": 600}])
@pytest.mark.parametrize("pool", ["fixed", "fresh"])
def test_counted_images_are_those_a_training_sees(tiny: Study, changes: dict[str, Any], pool: str, tmp_path: Path) -> None:
    """Also where the last epoch is shorter than the others."""
    study = replace(tiny, settings=tiny.settings | changes | {"pool": pool, "probe_pool": pool}).with_seeds(1)
    for cell in cells_of(study.narrow_axis("method", ["SL(c+a)", "SC(c<-a)"]).narrow_axis("split", ["0.9"]).narrow_axis("ratio", ["5"])):
        trained = train_cell(cell, RunFolder(str(tmp_path)))["trained"]
        size = count_steps(cell, CPU)
        assert [phase.total for phase in size.phases] == [phase["steps"] for phase in trained.values()]
        assert [phase.total_images for phase in size.phases] == [phase["images"] for phase in trained.values()]
        if "steps" in changes:
            assert [phase["steps"] for phase in trained.values()] == [23, 7][: len(trained)]


@pytest.mark.parametrize("name", ["children_cnn", "annealed_label_transfer", "ciao"])
def test_a_part_of_the_images_counts_for_all(name: str) -> None:
    """Compared with phases of all images and real networks: the error is at most one step in sixteen."""
    study = STUDIES.find(name)("pocket").with_seeds(1)
    for cell in list({cell.method: cell for cell in cells_of(study) if cell.parent is None}.values()):
        phases = make_method(cell, make_task(cell, CPU)).build_phases()
        for phase, counted in zip(phases, count_steps(cell, CPU).phases, strict=True):
            phase.begin_phase()
            steps = phase.start_epoch(0)
            assert counted.epochs == phase.epochs and counted.images == phase.count_images()
            assert abs(counted.steps - steps) <= 1 + steps / 16


def test_it_knows_what_is_done(tiny: Study) -> None:
    study = tiny.narrow_axis("method", ["SL(c)", "SL(c+a)"])
    cells = cells_of(study)
    done = {cell.key for cell in cells if cell.axes["method"] == "SL(c)"} | {cells[-1].key, "a key of another grid"}
    text = estimate_grid(study, cells, done, 3)
    assert text.startswith("adults_as_augmentation, pocket scale: 16 trainings, 9 done, 7 to do\n")
    rows = rows_of(text)
    assert list(rows) == ["SL(c+a)"]
    assert rows["SL(c+a)"][0] == "7"
    assert "with 3 at once" in text
    assert (
        estimate_grid(study, cells, {cell.key for cell in cells}, None)
        == "adults_as_augmentation, pocket scale: 16 trainings, 16 done, 0 to do"
    )


def test_no_more_slots_than_cells(tiny: Study) -> None:
    study = tiny.narrow_axis("method", ["SL(c)"]).narrow_axis("split", ["0.5"]).narrow_axis("ratio", ["1"])
    assert "with 2 at once" in estimate_grid(study, cells_of(study), set(), 64)


def test_a_study_with_other_axes(tiny: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """The axes have any names. Each value of a non-numeric axis is measured by itself; a numeric axis is scaled."""
    study = replace(
        tiny,
        axes={"batch": (24, 48), "seed": (0, 1, 2), "pool": ("fixed", "fresh"), "arm": ("SL(c)", "SL(c+a)")},
        compared="arm",
    )
    measured = []

    def spy(cell: Cell, way: Way) -> Rates:
        measured.append((cell.axes["arm"], cell.axes["pool"], cell.axes["batch"]))
        return measure_rates(cell, way)

    monkeypatch.setattr("platform.grid.estimate.measure_rates", spy)
    cells = cells_of(study)
    rows = rows_of(estimate_grid(study, cells, set(), 1))
    assert sorted(measured) == [(arm, pool, 48) for arm in ("SL(c)", "SL(c+a)") for pool in ("fixed", "fresh")]
    assert [row[0] for row in rows.values()] == ["12", "12"]


def test_nothing_moves_but_the_clock(tiny: Study) -> None:
    """Measuring leaves no trace: a cell's network has the same initial parameters after it."""
    (cell, *_) = cells_of(tiny.narrow_axis("method", ["SC(c)"]))
    before = make_method(cell, make_task(cell, CPU)).modules.state_dict()
    rates = measure_rates(cell, Way(CPU, ExecutionConfig("bf16"), pack=2))
    assert len(rates.phases) == 2
    after = make_method(cell, make_task(cell, CPU)).modules.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_seconds_add_up() -> None:
    """Computed by hand: 2 epochs of 10 and 8 steps with 40 items, then 1 epoch of 3 with 5; 5 validation and 7 test images."""
    rates = Rates(build=1.0, phases=(Pace(0.5, 0.25, 0.1, 0.01), Pace(2.0, 9.0, 0.3, 0.0)), logits=0.02)
    by_hand = 1.0 + (40 * 0.5 + 40 * 0.25 + 18 * 0.1 + 2 * 5 * 0.01) + (5 * 2.0 + 3 * 0.3) + 12 * 0.02
    phases = (PhaseSize(2, 10, 18, items=40, images=32), PhaseSize(1, 3, 3, items=5, images=8))
    assert rates.estimate_seconds(Size(phases, val=5, test=7)) == pytest.approx(by_hand)
    assert Size(phases, 5, 7).total_steps == 21 and [phase.total_images for phase in phases] == [18 * 32, 3 * 8]
