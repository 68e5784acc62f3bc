"""Tests of parents.

Parents are trained first, children start from exactly their parameters, reports show them only where they are arms, and a failed parent
fails its children.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from platform.launch.unfinished_cells import list_cells_to_train
from platform.report.read_run_folder import read_folder
from platform.tensorboard.board_writer import Board
from search_spaces.study import Arm, Study
from tests import tiny
from tests.faults.test_integrity import harm
from tests.test_dispatcher import DONE, OneByOne, run, started
from trainables.cell import Cell, Data
from trainables.loop import Stopped, train_cell
from trainables.methods.method import METHODS
from trainables.methods.supervised import Supervised
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder
from trainables.workers.worker import Worker

Roles = dict[str, Data]


class Heir(Supervised):
    """A method that starts from its parent's network."""

    def inherit_parameters(self, modules: dict[str, torch.Tensor]) -> None:
        self.modules.load_state_dict(modules)


@pytest.fixture(autouse=True)
def heir() -> Iterator[None]:
    METHODS.register("heir")(Heir)
    yield
    METHODS._things.pop("heir")


def study(**settings: Any) -> Study:
    """`base` is only a prerequisite, from which `child` starts. `sibling` starts from `once`, a prerequisite with a single seed."""
    arms = {
        "alone": Arm("supervised", {"domain": "c"}),
        "base": Arm("supervised", {"domain": "c+a"}),
        "once": Arm("supervised", {"domain": "c"}, fixed={"seed": 7}),
        "child": Arm("heir", {"domain": "c"}, parent="base"),
        "sibling": Arm("heir", {"domain": "c+a"}, parent="once"),
    }
    axes: dict[str, Any] = {"method": ("alone", "child", "sibling"), "split": (0.5,), "ratio": (1,), "seed": (0, 1)}
    return replace(tiny.study(**settings), arms=arms, axes=axes)


def worker(runs: Path, told: list[tuple[str, dict[str, Any]]], **options: Any) -> Worker:
    def report(key: str, event: dict[str, Any]) -> bool:
        told.append((key, event))
        return True

    return Worker(str(runs), {}, report, lambda kind: None, lambda *_: None, lambda: False, 20.0, 1, **options)


def work(runs: Path, cells: list[Cell], **options: Any) -> dict[str, dict[str, Any]]:
    """Train the cells with one worker, one after another. Return each cell's end event by name."""
    events: list[tuple[str, dict[str, Any]]] = []
    trainer = worker(runs, events, **options)
    for cell in cells:
        job, error = {"trial": "t", "cell": cell.to_json(), "slot_pid": 1, "deaths": 0}, None
        try:
            for _ in trainer.start_job(job):
                pass
        except Exception as caught:
            error = caught
        trainer.end_job(job, error)
    names = {cell.key: cell.name for cell in cells}
    return {names[key]: event for key, event in events if event["kind"] != "row"}


def test_parents_come_first_and_once(roles: Roles) -> None:
    cells = study().make_cells(roles)
    names = [cell.name.replace("/split=0.5/ratio=1", "") for cell in cells]
    first = ["alone/seed=0", "base/seed=0", "once/seed=7", "child/seed=0", "sibling/seed=0"]
    assert names == [*first, "alone/seed=1", "base/seed=1", "child/seed=1", "sibling/seed=1"]
    by_name = {name: cell for name, cell in zip(names, cells, strict=True)}
    assert by_name["child/seed=1"].parent == by_name["base/seed=1"].key and by_name["base/seed=1"].parent is None
    assert by_name["sibling/seed=0"].parent == by_name["sibling/seed=1"].parent == by_name["once/seed=7"].key
    assert [cell.name for cell in cells if study().is_prerequisite(cell)] == [
        by_name[name].name for name in ("base/seed=0", "once/seed=7", "base/seed=1")
    ]


def test_a_parent_outside_the_grid_at_hand_is_a_step(roles: Roles) -> None:
    whole = replace(study(), axes=study().axes | {"method": ("base", "child")})
    narrow = whole.narrow_axis("method", ["child"])
    assert not any(whole.is_prerequisite(cell) for cell in whole.make_cells(roles))
    assert {cell.key for cell in narrow.make_cells(roles)} == {cell.key for cell in whole.make_cells(roles)}
    assert [narrow.is_prerequisite(cell) for cell in narrow.make_cells(roles)] == [True, False] * 2


def test_a_parents_settings_are_in_its_childs_key(roles: Roles) -> None:
    def child(lr: float) -> Cell:
        arms = study().arms
        changed = replace(study(), arms=arms | {"base": replace(arms["base"], settings=arms["base"].settings | {"lr": lr})})
        return next(cell for cell in changed.make_cells(roles) if cell.axes["method"] == "child")

    assert child(0.01).method_settings == child(0.02).method_settings and child(0.01).key != child(0.02).key


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({"child": Arm("heir", parent="bass")}, r"^unknown parent of child in adults_as_augmentation 'bass'; did you mean base\?"),
        (
            {"base": Arm("heir", parent="child")},
            r"^adults_as_augmentation: the arms child, base are each other's parents; one must have none$",
        ),
        ({"base": Arm("heir", parent="base")}, r"^adults_as_augmentation: the arms child, base are each other's parents"),
        (
            {"base": Arm("supervised", fixed={"sede": 0})},
            r"^unknown axis of adults_as_augmentation, fixed for base, 'sede'; did you mean seed\?",
        ),
    ],
)
def test_wrong_parents_are_one_line(roles: Roles, arms: dict[str, Arm], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        replace(study(), arms=study().arms | arms).make_cells(roles)


def test_a_child_starts_from_what_its_parent_kept(roles: Roles, tmp_path: Path) -> None:
    frozen = Arm("heir", {"domain": "c", "lr": 1e-30, "weight_decay": 0.0}, parent="base")  # too small a rate to change a weight
    cells = replace(study(), arms=study().arms | {"child": frozen}).make_cells(roles)[1:4:2]
    ends = work(tmp_path, cells, keep="none", parents=frozenset([cells[0].key]))
    assert [event["kind"] for event in ends.values()] == ["done", "done"]
    folder = RunFolder(str(tmp_path))
    assert folder.list_kept() == {cells[0].key}  # a parent's parameters are kept whatever the grid keeps
    again = RunFolder(str(tmp_path / "again"))
    train_cell(cells[0], again)
    train_cell(cells[1], again)
    base, child = (again.get_checkpoint(cell.key)["modules"] for cell in cells)
    weights = [name for name in base if "running" not in name and "num_batches" not in name]
    assert weights and all(torch.allclose(base[name], child[name], rtol=0, atol=1e-20) for name in weights)
    assert folder.get_result(cells[1].key)["metrics"] == again.get_result(cells[1].key)["metrics"]  # type: ignore[index]


def test_a_resumed_child_goes_on_from_its_own_checkpoint(roles: Roles, tmp_path: Path) -> None:
    base, child = study().make_cells(roles)[1:4:2]
    whole, broken = RunFolder(str(tmp_path / "whole")), RunFolder(str(tmp_path / "broken"))
    for folder in (whole, broken):
        train_cell(base, folder)
    train_cell(child, whole)
    steps = iter(range(100))
    with pytest.raises(Stopped):
        train_cell(child, broken, halt=lambda: next(steps) == 1)
    train_cell(child, broken)
    expected, resumed = (folder.get_checkpoint(child.key)["modules"] for folder in (whole, broken))
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_a_failed_parent_fails_its_children_with_its_reason(roles: Roles, tmp_path: Path) -> None:
    broken = study()
    broken = replace(broken, arms=broken.arms | {"base": Arm("supervised", {"domain": "c", "lr": 1e30})})
    base, child = broken.make_cells(roles)[1:4:2]
    ends = work(tmp_path, [base, child])
    reason = ends[base.name]["reason"]
    assert reason.startswith("the loss of phase fit is ")
    assert ends[child.name]["kind"] == "failed" and ends[child.name]["reason"] == f"its parent {base.key} failed: {reason}"
    assert RunFolder(str(tmp_path)).get_error(child.key)["reason"] == ends[child.name]["reason"]  # type: ignore[index]


def test_a_method_without_an_inheritance_refuses_one(roles: Roles, tmp_path: Path) -> None:
    wrong = replace(study(), arms=study().arms | {"child": Arm("supervised", {"domain": "c"}, parent="base")})
    ends = work(tmp_path, wrong.make_cells(roles)[1:4:2])
    assert [event.get("reason") for event in ends.values()] == [
        None,
        "Supervised cannot start from a parent; give it an `inherit_parameters`",
    ]


def test_what_is_kept(roles: Roles, tmp_path: Path) -> None:
    cell, folder = tiny.cell(roles, epochs=3), RunFolder(str(tmp_path))
    assert train_cell(cell, folder, keep="none") and folder.list_kept() == set() and folder.list_done() == {cell.key}
    train_cell(cell, folder)
    assert list(folder.get_checkpoint(cell.key)) == ["modules"]
    best = folder.get_checkpoint(cell.key)["modules"]
    train_cell(cell, folder, keep="all")
    both = folder.get_checkpoint(cell.key)
    assert all(torch.equal(best[name], both["modules"][name]) for name in best) and list(both["last"]) == list(best)
    selected = (folder.get_result(cell.key) or {})["selected_epoch"]
    assert (selected == 2) == all(torch.equal(best[name], both["last"][name]) for name in best)


def test_a_parent_that_kept_nothing_is_trained_again_for_new_children(roles: Roles, tmp_path: Path) -> None:
    base, child = study().make_cells(roles)[1:4:2]
    folder = RunFolder(str(tmp_path))
    first = train_cell(base, folder, keep="none")["metrics"]
    with pytest.raises(BadRequest, match=rf"^its parent {base.key} kept no parameters to start from; run the grid again$"):
        train_cell(child, folder)
    assert list_cells_to_train([base, child], folder) == [base, child]
    assert train_cell(base, folder)["metrics"] == first
    assert list_cells_to_train([base, child], folder) == [child]
    train_cell(child, folder, keep="none")
    assert list_cells_to_train([base, child], folder) == []


@pytest.mark.parametrize("how", ["flipped", "truncated", "emptied", "swapped"])
def test_a_harmed_parent_is_trained_again(roles: Roles, tmp_path: Path, how: str) -> None:
    """A swapped one used to change its children's numbers under their keys, and a flipped bit made them fail at every run."""
    cells = study().make_cells(roles)
    base, other = (cell for cell in cells if cell.axes["method"] == "base")
    child = next(cell for cell in cells if cell.parent == base.key)
    folder, said = RunFolder(str(tmp_path)), []
    folder.say = said.append
    for cell in (base, other, child):
        train_cell(cell, folder)
    expected = [folder.get_result(cell.key)["metrics"] for cell in (base, child)]  # type: ignore[index]
    folder.remove("cells", child.key, "result.json")
    folder.remove("cells", child.key, "checkpoint.pt")
    file = Path(folder.get_path("cells", base.key, "checkpoint.pt"))
    times = os.stat(file)
    harm(folder, f"cells/{base.key}/checkpoint.pt", how, f"cells/{other.key}/checkpoint.pt")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(BadRequest, match=rf"^its parent {base.key} kept no parameters to start from; run the grid again$"):
        train_cell(child, folder)
    todo = list_cells_to_train([base, child], folder)
    assert todo == [base, child] and said == [line for line in said if line.startswith(f"{file}: ")] != []
    for cell in todo:
        train_cell(cell, folder)
    assert [folder.get_result(cell.key)["metrics"] for cell in (base, child)] == expected  # type: ignore[index]


def test_steps_are_neither_arms_nor_missing(roles: Roles, tmp_path: Path) -> None:
    small = study().with_seeds(1)
    cells = small.make_cells(roles)
    folder = RunFolder(str(tmp_path))
    folder.put_grid(small.name, small.scale, cells, steps=[cell.key for cell in cells if small.is_prerequisite(cell)])
    work(tmp_path, cells[:4])  # the sibling is not trained
    runs = read_folder(folder, small)
    assert runs.arms == ["alone", "child", "sibling"] and runs.state_counts == {"done": 2, "failed": 0, "missing": 1}
    board = Board(folder, small)
    board.complete_runs(cells)
    event_folders = {str(path.parent.relative_to(tmp_path / "tb")) for path in (tmp_path / "tb").rglob("events.*")}
    condition = "split=0.5/ratio=1"
    assert {f"step/base/{condition}/seed=0", f"step/once/{condition}/seed=7", f"mean/child/{condition}"} < event_folders
    assert not any(name.startswith(("mean/base", "mean/once", "base", "once")) for name in event_folders)


def test_a_child_posted_before_its_parent_waits_for_it() -> None:
    child, parent = {"key": "child", "parent": "parent"}, {"key": "parent", "parent": None}

    async def scenario(dispatcher: Any) -> None:
        await dispatcher.post_trial("children", [child])
        waiting = await started(dispatcher.take_cell(0))
        assert not waiting.done()
        await dispatcher.post_trial("parents", [parent])
        assert (await waiting)["cell"] == parent
        other = await started(dispatcher.take_cell(1))
        await dispatcher.report_event(0, DONE)
        assert (await other)["cell"] == child

    run(scenario, lambda: OneByOne(["child", "parent"]))
