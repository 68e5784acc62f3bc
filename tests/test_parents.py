"""Parents: trained first, taken over bit for bit, shown only where they are arms; what a failed one means for its children."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from platform.board import Board
from platform.grid import undone
from platform.reporting.folder import read_folder
from search_spaces.study import Arm, Study
from tests import tiny
from tests.test_dispatcher import DONE, OneByOne, run, started
from trainables.cell import Cell, Data
from trainables.loop import Stopped, train
from trainables.methods.method import METHODS
from trainables.methods.supervised import Supervised
from trainables.registry import BadRequest
from trainables.store import RunFolder
from trainables.worker import Worker

Roles = dict[str, Data]


class Heir(Supervised):
    """Starts from its parent's network, and says so by the first thing it does."""

    def inherit(self, modules: dict[str, torch.Tensor]) -> None:
        self.modules.load_state_dict(modules)


@pytest.fixture(autouse=True)
def heir() -> Iterator[None]:
    METHODS.add("heir")(Heir)
    yield
    METHODS._things.pop("heir")


def study(**settings: Any) -> Study:
    """`base` is only a step; `child` starts from it; `once` from a step that one seed serves."""
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
    """How each ended, by name, as a worker trains them one after the other."""
    told: list[tuple[str, dict[str, Any]]] = []
    one = worker(runs, told, **options)
    for cell in cells:
        job, error = {"trial": "t", "cell": cell.to_json(), "slot_pid": 1, "deaths": 0}, None
        try:
            for _ in one.begin(job):
                pass
        except Exception as caught:
            error = caught
        one.end(job, error)
    names = {cell.key: cell.name for cell in cells}
    return {names[key]: event for key, event in told if event["kind"] != "row"}


def test_parents_come_first_and_once(roles: Roles) -> None:
    cells = study().cells(roles)
    names = [cell.name.replace("/split=0.5/ratio=1", "") for cell in cells]
    first = ["alone/seed=0", "base/seed=0", "once/seed=7", "child/seed=0", "sibling/seed=0"]
    assert names == [*first, "alone/seed=1", "base/seed=1", "child/seed=1", "sibling/seed=1"]
    at = {name: cell for name, cell in zip(names, cells, strict=True)}
    assert at["child/seed=1"].parent == at["base/seed=1"].key and at["base/seed=1"].parent is None
    assert at["sibling/seed=0"].parent == at["sibling/seed=1"].parent == at["once/seed=7"].key
    assert [cell.name for cell in cells if study().is_step(cell)] == [
        at[name].name for name in ("base/seed=0", "once/seed=7", "base/seed=1")
    ]


def test_a_parent_outside_the_grid_at_hand_is_a_step(roles: Roles) -> None:
    whole = replace(study(), axes=study().axes | {"method": ("base", "child")})
    narrow = whole.narrowed("method", ["child"])
    assert not any(whole.is_step(cell) for cell in whole.cells(roles))
    assert {cell.key for cell in narrow.cells(roles)} == {cell.key for cell in whole.cells(roles)}
    assert [narrow.is_step(cell) for cell in narrow.cells(roles)] == [True, False] * 2


def test_a_parents_settings_are_in_its_childs_key(roles: Roles) -> None:
    def child(lr: float) -> Cell:
        arms = study().arms
        changed = replace(study(), arms=arms | {"base": replace(arms["base"], settings=arms["base"].settings | {"lr": lr})})
        return next(cell for cell in changed.cells(roles) if cell.axes["method"] == "child")

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
        replace(study(), arms=study().arms | arms).cells(roles)


def test_a_child_starts_from_what_its_parent_kept(roles: Roles, tmp_path: Path) -> None:
    still = Arm("heir", {"domain": "c", "lr": 1e-30, "weight_decay": 0.0}, parent="base")  # so small a rate moves no weight
    cells = replace(study(), arms=study().arms | {"child": still}).cells(roles)[1:4:2]
    ends = work(tmp_path, cells, keep="none", parents=frozenset([cells[0].key]))
    assert [event["kind"] for event in ends.values()] == ["done", "done"]
    folder = RunFolder(str(tmp_path))
    assert folder.kept() == {cells[0].key}  # a parent keeps its parameters whatever the grid keeps
    again = RunFolder(str(tmp_path / "again"))
    train(cells[0], again)
    train(cells[1], again)
    base, child = (again.checkpoint(cell.key)["modules"] for cell in cells)
    weights = [name for name in base if "running" not in name and "num_batches" not in name]
    assert weights and all(torch.allclose(base[name], child[name], rtol=0, atol=1e-20) for name in weights)
    assert folder.result(cells[1].key)["metrics"] == again.result(cells[1].key)["metrics"]  # type: ignore[index]


def test_a_resumed_child_goes_on_from_its_own_checkpoint(roles: Roles, tmp_path: Path) -> None:
    base, child = study().cells(roles)[1:4:2]
    whole, broken = RunFolder(str(tmp_path / "whole")), RunFolder(str(tmp_path / "broken"))
    for folder in (whole, broken):
        train(base, folder)
    train(child, whole)
    steps = iter(range(100))
    with pytest.raises(Stopped):
        train(child, broken, halt=lambda: next(steps) == 1)
    train(child, broken)
    expected, found = (folder.checkpoint(child.key)["modules"] for folder in (whole, broken))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_failed_parent_fails_its_children_with_its_reason(roles: Roles, tmp_path: Path) -> None:
    broken = study()
    broken = replace(broken, arms=broken.arms | {"base": Arm("supervised", {"domain": "c", "lr": 1e30})})
    base, child = broken.cells(roles)[1:4:2]
    ends = work(tmp_path, [base, child])
    reason = ends[base.name]["reason"]
    assert reason.startswith("the loss of phase fit is ")
    assert ends[child.name]["kind"] == "failed" and ends[child.name]["reason"] == f"its parent {base.key} failed: {reason}"
    assert RunFolder(str(tmp_path)).error(child.key)["reason"] == ends[child.name]["reason"]  # type: ignore[index]


def test_a_method_without_an_inheritance_refuses_one(roles: Roles, tmp_path: Path) -> None:
    wrong = replace(study(), arms=study().arms | {"child": Arm("supervised", {"domain": "c"}, parent="base")})
    ends = work(tmp_path, wrong.cells(roles)[1:4:2])
    assert [event.get("reason") for event in ends.values()] == [None, "Supervised takes nothing over from a parent; give it an `inherit`"]


def test_what_is_kept(roles: Roles, tmp_path: Path) -> None:
    cell, folder = tiny.cell(roles, epochs=3), RunFolder(str(tmp_path))
    assert train(cell, folder, keep="none") and folder.kept() == set() and folder.done() == {cell.key}
    train(cell, folder)
    assert list(folder.checkpoint(cell.key)) == ["modules"]
    best = folder.checkpoint(cell.key)["modules"]
    train(cell, folder, keep="all")
    both = folder.checkpoint(cell.key)
    assert all(torch.equal(best[name], both["modules"][name]) for name in best) and list(both["last"]) == list(best)
    selected = (folder.result(cell.key) or {})["selected_epoch"]
    assert (selected == 2) == all(torch.equal(best[name], both["last"][name]) for name in best)


def test_a_parent_that_kept_nothing_is_trained_again_for_new_children(roles: Roles, tmp_path: Path) -> None:
    base, child = study().cells(roles)[1:4:2]
    folder = RunFolder(str(tmp_path))
    first = train(base, folder, keep="none")["metrics"]
    with pytest.raises(BadRequest, match=rf"^its parent {base.key} has left no parameters to start from; run the grid again$"):
        train(child, folder)
    assert undone([base, child], folder) == [base, child]
    assert train(base, folder)["metrics"] == first
    assert undone([base, child], folder) == [child]
    train(child, folder, keep="none")
    assert undone([base, child], folder) == []


def test_steps_are_neither_arms_nor_missing(roles: Roles, tmp_path: Path) -> None:
    wanted = study().with_seeds(1)
    cells = wanted.cells(roles)
    folder = RunFolder(str(tmp_path))
    folder.put_grid(wanted.name, wanted.scale, cells, steps=[cell.key for cell in cells if wanted.is_step(cell)])
    work(tmp_path, cells[:4])  # the sibling stays undone
    runs = read_folder(folder, wanted)
    assert runs.arms == ["alone", "child", "sibling"] and runs.counts == {"done": 2, "failed": 0, "missing": 1}
    board = Board(folder, wanted)
    board.complete(cells)
    found = {str(path.parent.relative_to(tmp_path / "tb")) for path in (tmp_path / "tb").rglob("events.*")}
    place = "split=0.5/ratio=1"
    assert {f"step/base/{place}/seed=0", f"step/once/{place}/seed=7", f"mean/child/{place}"} < found
    assert not any(name.startswith(("mean/base", "mean/once", "base", "once")) for name in found)


def test_a_child_posted_before_its_parent_waits_for_it() -> None:
    child, parent = {"key": "child", "parent": "parent"}, {"key": "parent", "parent": None}

    async def scenario(mailbox: Any) -> None:
        await mailbox.post("children", [child])
        waiting = await started(mailbox.take(0))
        assert not waiting.done()
        await mailbox.post("parents", [parent])
        assert (await waiting)["cell"] == parent
        other = await started(mailbox.take(1))
        await mailbox.report(0, DONE)
        assert (await other)["cell"] == child

    run(scenario, lambda: OneByOne(["child", "parent"]))
