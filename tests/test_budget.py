"""Equal budgets: what every method gets equally much of, how a budget is divided, and which settings make no sense together."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from platform.cli.study_options import read_roles
from search_spaces.study import STUDIES
from tests.test_methods import Roles, built, cell
from trainables.loop import train_cell
from trainables.methods.method import METHODS
from trainables.methods.sgd_training import PARTS, Recipe, SGDPhase
from trainables.registry import BadRequest
from trainables.settings import resolve_settings
from trainables.storage.store import RunFolder

METHODS_OF_THE_STUDY = [("supervised", "c"), ("supervised", "c+a"), ("simclr", "c"), ("supcon", "c+a"), ("supcon", "c<-a")]
STEPS = {"budget": "steps", "steps": 37, "probe_steps": 11}


def test_every_method_makes_as_many_steps_and_is_validated_as_often(roles: Roles, tmp_path: Path) -> None:
    for name, domain in METHODS_OF_THE_STUDY:
        trained_cell = cell(roles, name, domain, **STEPS)
        result = train_cell(trained_cell, folder := RunFolder(str(tmp_path)))
        first, *probe = result["trained"].values()
        assert first == {"steps": 37, "images": 37 * 16}
        assert probe == [{"steps": 11, "images": 11 * 16}] * (name != "supervised")
        rows = Counter(row["phase"] for row in folder.get_history(trained_cell.key))
        assert rows.pop("probe", 6) == 6  # 11 steps in parts of 2
        assert list(rows.values()) == [PARTS]  # 37 steps in parts of 4


def test_a_budget_of_images_follows_the_batch(roles: Roles, tmp_path: Path) -> None:
    for batch, steps in ((16, 6), (8, 12)):
        result = train_cell(
            cell(roles, "supcon", "c<-a", budget="images", images_seen=100, batch=batch), RunFolder(str(tmp_path / str(batch)))
        )
        assert result["trained"]["contrast"] == {"steps": steps, "images": steps * batch}


def test_a_batch_larger_than_the_pool_is_the_pool(roles: Roles, tmp_path: Path) -> None:
    """15 images: a step takes all of them, and none is empty."""
    for name, settings in (("supervised", {"batch": 64}), ("supcon", {"batch": 16, "probe_batch": 256})):
        result = train_cell(cell(roles, name, "c", ratio=1, **STEPS | settings), RunFolder(str(tmp_path / name)))
        assert list(result["trained"].values())[-1] == (
            {"steps": 37, "images": 37 * 15} if name == "supervised" else {"steps": 11, "images": 11 * 15}
        )
        assert result["metrics"]["train/loss"] < 2


@pytest.mark.parametrize("name", ["supervised", "supcon"])
def test_a_budget_passes_over_all_items_before_it_repeats_one(roles: Roles, name: str) -> None:
    """15 images a pass, twice: 30 items, in batches of 16 or 8 items."""
    phase = built(cell(roles, name, "c", budget="steps", steps=20)).build_phases()[0]
    assert isinstance(phase, SGDPhase)
    phase.begin_phase()
    order: list[int] = []
    for epoch in range(phase.epochs):
        steps = phase.start_epoch(epoch)
        order += phase.order[: steps * phase.batch].tolist()
    per_pass = 30 // phase.batch * phase.batch
    assert len(order) == 20 * phase.batch
    for start in range(0, len(order) - per_pass, per_pass):
        assert len(set(order[start : start + per_pass])) == per_pass


def test_the_milestones_are_stretched(roles: Roles, tmp_path: Path) -> None:
    scheduled = cell(roles, "supcon", "c", budget="steps", steps=200, lr=0.02, milestones=[0.5, 0.75], warm_up=0.1, probe_steps=10)
    train_cell(scheduled, folder := RunFolder(str(tmp_path)))
    rates = [row["lr"] for row in folder.get_history(scheduled.key) if row["phase"] == "contrast"]
    assert rates == pytest.approx([0.02] * 5 + [0.002] * 2 + [0.0002] * 3)  # at the end of each part of 20 steps


def test_the_rate_rises_linearly_in_the_warm_up(roles: Roles) -> None:
    phase = built(cell(roles, "supervised", "c", budget="steps", steps=100, warm_up=0.1, lr=0.5)).build_phases()[0]
    assert isinstance(phase, SGDPhase)
    assert [phase.get_learning_rate(step) for step in (0, 4, 9, 10, 69, 70)] == pytest.approx([0.05, 0.25, 0.5, 0.5, 0.5, 0.05])


@pytest.mark.parametrize("pool", ["fixed", "fresh"])
def test_every_probe_has_as_many_items(roles: Roles, pool: str) -> None:
    """The contrast's own pools have 30, 60 or 30 items of two views; every probe has 30 images, all of them the target's."""
    probes = {}
    for name, domain in METHODS_OF_THE_STUDY[2:]:
        method = built(cell(roles, name, domain, probe_pool=pool))
        _, probe = method.build_phases()
        probe.begin_phase()
        steps = probe.start_epoch(0)
        assert isinstance(probe, SGDPhase)
        probes[name, domain] = steps, len(probe.labels), torch.bincount(probe.labels).tolist()  # type: ignore[attr-defined]
    assert set(map(repr, probes.values())) == {repr((1, 30, [10, 10, 10]))}


def test_a_fresh_probe_sees_other_crops_in_every_epoch(roles: Roles) -> None:
    fixed, fresh = (built(cell(roles, "supcon", "c", probe_pool=pool)).build_phases()[1] for pool in ("fixed", "fresh"))
    seen: dict[str, list[Any]] = {"fixed": [], "fresh": []}
    for name, probe in (("fixed", fixed), ("fresh", fresh)):
        probe.begin_phase()
        for epoch in range(2):
            probe.start_epoch(epoch)
            seen[name].append(probe.features.clone())  # type: ignore[attr-defined]
    assert torch.equal(*seen["fixed"]) and not torch.equal(*seen["fresh"])


def test_partners_drawn_anew_change_the_pool_and_fixed_ones_do_not(roles: Roles) -> None:
    for partners, same in (("once", True), ("anew", False)):
        method: Any = built(cell(roles, "supcon", "c<-a", partners=partners))
        first, second = (method.build_pool(2, epoch) for epoch in (0, 1))
        assert torch.equal(first.views[0][0], second.views[0][0])
        assert torch.equal(first.views[1][0], second.views[1][0]) is same


def test_adults_drawn_once_are_the_same_adults_in_a_fresh_pool(roles: Roles) -> None:
    """Their crops are drawn anew, like the children's."""
    plain = {"scale": [1, 1], "ratio": [1, 1], "flip": 0, "jitter": 0}
    for partners, same in (("once", True), ("anew", False)):
        method: Any = built(cell(roles, "supcon", "c<-a", partners=partners, pool="fresh", augmentation=plain))
        first, second = (method.build_pool(2, epoch).views[1][0] for epoch in (0, 1))
        assert torch.equal(first, second) is same
    augmented: Any = built(cell(roles, "supcon", "c<-a", pool="fresh"))
    assert not torch.equal(*(augmented.build_pool(2, epoch).views[1][0] for epoch in (0, 1)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": "steps"}, "budget=steps needs a number: set steps=N as well"),
        ({"budget": "images"}, "budget=images needs a number: set images_seen=N as well"),
        ({"steps": 10}, "steps=10 has no effect with budget=epochs: set steps=null, or budget=steps"),
        ({"budget": "steps", "steps": 0}, "steps=0"),
        ({"budget": "images", "images_seen": 31}, "images_seen=31 leaves no step: a step takes batch=32 images"),
        ({"milestones": [0.7, 1.2]}, "milestones=[0.7, 1.2]: shares of the training"),
        ({"augmentation": {"scale": [0.0, 1.0]}}, "scale=[0.0, 1.0]: two shares of the image area"),
        ({"augmentation": {"scale": [0.8, 1.2]}}, "scale=[0.8, 1.2]: two shares of the image area"),
        ({"augmentation": {"scale": [0.9, 0.2]}}, "the smaller one first"),
        ({"augmentation": {"flip": 1.5}}, "flip=1.5: a probability"),
        ({"augmentation": {"hue": 0.7}}, "hue=0.7: from 0 to 0.5 turns"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        resolve_settings(Recipe, settings, "method supcon")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_equal_steps_are_refused_by_a_study_without_them() -> None:
    for name in ("children_cnn", "annealed_label_transfer"):
        with pytest.raises(BadRequest, match=f"unknown setting of {name} 'budget'"):
            STUDIES.find(name)("pocket").with_setting("budget", "steps")
    study = STUDIES.find("ciao")("pocket").with_setting("budget", "steps")  # only its pre-training is a recipe with a budget
    with pytest.raises(BadRequest, match="setting budget='steps' of method identity: input should be 'epochs'"):
        study.make_cells(read_roles(study, []))


def test_the_papers_methods_state_one_version() -> None:
    """Their numbers changed together: no result of the former probe is reused."""
    assert {METHODS.find(name).version for name in ("supervised", "simclr", "supcon")} == {2}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([("epochs", 20)], ("epochs", 20, None, None)),
        ([("steps", 50)], ("steps", 250, 50, None)),
        ([("images_seen", 6400)], ("images", 250, None, 6400)),
        ([("budget", "epochs")], ("epochs", 250, None, None)),
        ([("budget", "images"), ("images_seen", 6400)], ("images", 250, None, 6400)),
        ([("images_seen", 6400), ("budget", "images")], ("images", 250, None, 6400)),
        ([("budget", "steps")], ("steps", 250, 320, None)),
        ([("epochs", 20), ("steps", 50)], ("steps", 250, 50, None)),
    ],
)
def test_a_users_budget_replaces_the_scales(chosen: list[tuple[str, Any]], expected: tuple[Any, ...]) -> None:
    """The pocket scale has a budget of steps. Whoever sets epochs means epochs."""
    study = STUDIES.find("adults_as_augmentation")("pocket").with_seeds(1)
    for name, value in chosen:
        study = study.with_setting(name, value)
    settings = study.make_cells(read_roles(study, []))[0].method_settings
    assert settings["budget"] == expected[0] and (settings["steps"], settings["images_seen"]) == expected[2:]
    if expected[0] == "epochs":
        assert settings["epochs"] == expected[1]
