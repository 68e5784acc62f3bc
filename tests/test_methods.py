"""The contract of every method in every domain that it accepts: what its phases may change, what they learn, and their warnings."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from tests import tiny
from trainables import loop
from trainables.cell import Cell, Data
from trainables.data.augment import normalise_images
from trainables.data.augmented_pool import Domain
from trainables.data.dataset import DataError
from trainables.loop import make_method, make_task, train_cell
from trainables.methods.contrastive import Contrastive
from trainables.methods.method import METHODS, Method, Phase
from trainables.methods.transfer import TransferMethod
from trainables.settings import resolve_settings
from trainables.storage.store import RunFolder

CPU = torch.device("cpu")
Roles = dict[str, Data]
DOMAINS = [
    (name, domain)
    for name, kind in METHODS.import_all().items()
    for domain in (get_args(Domain) if "domain" in kind.Settings.model_fields else ("",))
]
TAKEN = [(name, domain) for name, domain in DOMAINS if not domain or domain in METHODS.find(name).domains]  # type: ignore[attr-defined]
REFUSED = sorted(set(DOMAINS) - set(TAKEN))
assert {("identity", "c<-a"), ("simclr", "c<-a"), ("supervised", "c<-a")} <= set(REFUSED)  # their losses do not compare views by label


def cell(roles: Roles, name: str, domain: str, seed: int = 0, **settings: Any) -> Cell:
    """Return a cell of any registered method, whether or not a study has an arm of it."""
    kind = METHODS.find(name)
    if issubclass(kind, TransferMethod):
        return tiny.transfer(roles, name, seed, **settings)
    base = tiny.cell(roles, seed=seed)
    candidates = tiny.SETTINGS | ({"domain": domain} if domain else {}) | {"ratio": 2} | settings
    own = {setting: value for setting, value in candidates.items() if setting in kind.Settings.model_fields}
    return replace(
        base, method=name, method_settings=resolve_settings(kind.Settings, own, name).model_dump(mode="json"), version=kind.version
    )


def built(cell: Cell) -> Method:
    return make_method(cell, make_task(cell, CPU))


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def moved(module: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in module.state_dict().items() if tensor.numpy().tobytes() != before[name].numpy().tobytes()}


def drive(phase: Phase) -> Iterator[dict[str, float]]:
    """Run a whole phase in the order of calls that the contract gives; yield each step's logs."""
    phase.begin_phase()
    for epoch in range(phase.epochs):
        steps = phase.start_epoch(epoch)
        phase.model.train()
        for step in range(steps):
            yield {name: float(value) for name, value in phase.train_step(step).items()}
        assert all(isinstance(value, float) for value in phase.finish_epoch(epoch).values())


@pytest.mark.parametrize(("name", "domain"), REFUSED)
def test_a_domain_that_makes_no_sense_is_refused(roles: Roles, name: str, domain: str) -> None:
    with pytest.raises(DataError, match=rf"^{name}: {domain} pairs .*; choose c or c\+a$"):
        built(cell(roles, name, domain))


@pytest.mark.parametrize(("name", "domain"), TAKEN)
def test_a_step_moves_what_its_phase_trains_and_nothing_else(roles: Roles, name: str, domain: str) -> None:
    method = built(cell(roles, name, domain))
    for phase in method.build_phases():
        own = {tensor.data_ptr() for tensor in (*phase.model.parameters(), *phase.model.buffers())}
        state = method.modules.state_dict(keep_vars=True)
        trained = {key for key, tensor in state.items() if tensor.data_ptr() in own}
        parameters = {key for key in trained if isinstance(state[key], nn.Parameter)}
        before = snapshot(method.modules)
        steps = drive(phase)
        first = next(steps)
        assert all(torch.tensor(value).isfinite() for value in first.values()) and "train/loss" in first
        assert parameters and parameters <= moved(method.modules, before) <= trained
        losses = [first["train/loss"], *(logs["train/loss"] for logs in steps)]
        assert torch.tensor(losses).isfinite().all()
        assert moved(method.modules, before) <= trained


@pytest.mark.parametrize(("name", "domain"), [pair for pair in TAKEN if issubclass(METHODS.find(pair[0]), Contrastive)])
@pytest.mark.parametrize("pool", ["fixed", "fresh"])
def test_the_probe_leaves_every_byte_of_the_encoder(roles: Roles, name: str, domain: str, pool: str) -> None:
    method = built(cell(roles, name, domain, pool=pool))
    contrast, probe = method.build_phases()
    list(drive(contrast))
    encoder = method.modules["encoder"]
    before = snapshot(encoder)
    statistics = {key for key in before if "running" in key or "num_batches" in key}
    assert statistics and any(before[key].any() for key in statistics)
    list(drive(probe))
    method.compute_logits(method.task.test.pixels)
    assert moved(encoder, before) == set()


@pytest.mark.parametrize(("name", "domain"), TAKEN)
def test_a_seed_gives_the_numbers(roles: Roles, name: str, domain: str) -> None:
    def losses(seed: int) -> list[dict[str, float]]:
        return [logs for phase in built(cell(roles, name, domain, seed)).build_phases() for logs in drive(phase)]

    assert losses(0) == losses(0) != losses(1)


@pytest.mark.parametrize(("name", "domain"), TAKEN)
@pytest.mark.parametrize("pool", ["fixed", "fresh"])
def test_an_epoch_is_the_same_whenever_it_is_asked_for(roles: Roles, name: str, domain: str, pool: str) -> None:
    """Epoch 1 of a new method starts as epoch 1 does after epoch 0 with the same parameters."""

    def first_step(epochs: tuple[int, ...]) -> dict[str, float]:
        method = built(cell(roles, name, domain, pool=pool))
        phase = method.build_phases()[0]
        phase.begin_phase()
        phase.model.train()
        for epoch in epochs:
            phase.start_epoch(epoch)
        return {name: float(value) for name, value in phase.train_step(0).items()}

    assert first_step((0, 1)) == first_step((1,)) == first_step((1, 1)) != first_step((0,))


@pytest.mark.parametrize(("name", "domain"), TAKEN)
def test_evaluation_treats_each_image_alone(roles: Roles, name: str, domain: str) -> None:
    method = built(cell(roles, name, domain))
    pixels, before = method.task.test.pixels, snapshot(method.modules)
    with torch.no_grad():
        together = method.compute_logits(pixels)
        alone = torch.cat([method.compute_logits(image[None]) for image in pixels])
    assert together.shape == (len(pixels), len(tiny.CLASSES))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert moved(method.modules, before) == set()


@pytest.mark.parametrize("name", sorted(METHODS.import_all()))
def test_the_network_that_pictures_are_drawn_of_answers_as_the_method_does(roles: Roles, name: str) -> None:
    method = built(cell(roles, name, "c" if (name, "c") in TAKEN else ""))
    pixels = method.task.test.pixels
    images = normalise_images(pixels).requires_grad_()
    scores = method.build_network().eval()(images)
    torch.testing.assert_close(scores.softmax(1), method.compute_logits(pixels).softmax(1), rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(scores[:, 0].sum(), images)
    assert gradient.abs().sum((1, 2, 3)).gt(0).all()


@pytest.mark.parametrize(("name", "views"), [("supervised", 1), ("supcon", 2)])
def test_an_epoch_has_full_batches_of_augmented_images(roles: Roles, name: str, views: int) -> None:
    """5 images per class, ratio 3, as many adults: 90 items, in batches of 16 images."""
    phase = built(cell(roles, name, "c+a", ratio=3)).build_phases()[0]
    phase.begin_phase()
    assert phase.start_epoch(0) == 90 // (16 // views)


def test_the_rate_falls_at_the_milestones(roles: Roles, tmp_path: Path) -> None:
    scheduled = cell(roles, "supcon", "c", epochs=20, ratio=1, lr=0.02, probe_epochs=10, probe_lr=0.04, milestones=[0.5, 0.75])
    train_cell(scheduled, folder := RunFolder(str(tmp_path)))
    rates = [row["lr"] for row in folder.get_history(scheduled.key)]
    expected = [0.02] * 10 + [0.002] * 5 + [0.0002] * 5 + [0.04] * 5 + [0.004] * 3 + [0.0004] * 2
    assert rates == pytest.approx(expected)


LEARNT = {"epochs": 8, "lr": 0.02, "ratio": 4, "probe_epochs": 30, "per_class": 20}


@pytest.mark.parametrize(("name", "domain"), [("supervised", "c"), ("supcon", "c"), ("supcon", "c<-a")])
def test_what_can_be_learnt_is_learnt_and_nothing_is_flagged(roles: Roles, tmp_path: Path, name: str, domain: str) -> None:
    result = train_cell(cell(roles, name, domain, **LEARNT), RunFolder(str(tmp_path)))
    assert result["metrics"]["test/accuracy"] > 0.8, "chance is .33"
    assert result["flags"] == []


@pytest.mark.parametrize("seed", range(3))
def test_a_probe_that_has_not_converged_is_flagged(roles: Roles, tmp_path: Path, seed: int) -> None:
    for probe in ({"probe_lr": 1e-8}, {"probe_lr": 1e-4}, {"probe_epochs": 2}):
        result = train_cell(cell(roles, "supcon", "c", seed, **LEARNT | {"epochs": 2} | probe), RunFolder(str(tmp_path)))
        assert any(flag.startswith("probe not converged") for flag in result["flags"]), probe


class Constant(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return 1 + 0 * features[:, :8]


@pytest.mark.parametrize("name", ["simclr", "supcon"])
def test_a_collapsed_encoder_is_flagged(roles: Roles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def constant(*given: Any) -> Method:
        method = make_method(*given)
        method.modules["projection"] = Constant()
        return method

    monkeypatch.setattr(loop, "make_method", constant)
    result = train_cell(cell(roles, name, "c", **LEARNT | {"epochs": 2}), RunFolder(str(tmp_path)))
    assert "collapsed: spread 0.00, loss 2.71 of ln(b-1) = 2.71" in result["flags"]  # b is 16 images: ln 15
