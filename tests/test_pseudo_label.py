"""Pseudo-labels: the ramp, what an unlabelled batch may change in each strategy, and that with weight 0 it is supervised learning."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests import tiny
from trainables.cell import Data
from trainables.loop import make_method, make_task
from trainables.methods.annealed_label_transfer import AnnealedLabelTransfer
from trainables.methods.method import Method
from trainables.methods.pseudo_label import PseudoLabelRecipe
from trainables.methods.transfer import Batches, TransferRecipe, keep_running_statistics

CPU = torch.device("cpu")
Make = Callable[..., Any]


@pytest.fixture
def made(roles: dict[str, Data]) -> Make:
    def make(method: str = "pseudo_label", **settings: Any) -> Method:
        cell = tiny.transfer(roles, method, **{"batch": 8, "epochs": 4, "lr": 0.02} | settings)
        return make_method(cell, make_task(cell, CPU))

    return make


def trained(method: Method, epochs: int) -> list[bytes]:
    (phase,) = method.build_phases()
    phase.begin_phase()
    for epoch in range(epochs):
        steps = phase.start_epoch(epoch)
        phase.model.train()
        for step in range(steps):
            phase.train_step(step)
    return [tensor.contiguous().numpy().tobytes() for tensor in method.modules.state_dict().values()]


def test_the_weight_is_lees_ramp() -> None:
    recipe = PseudoLabelRecipe(epochs=1000)
    assert [recipe.get_weight(epoch) for epoch in (0, 100, 350, 600, 999)] == pytest.approx([0, 0, 1.5, 3, 3])
    at_once = PseudoLabelRecipe(epochs=10, ramp=(0, 0), weight=2)
    assert [at_once.get_weight(epoch) for epoch in range(10)] == [2.0] * 10
    weights = [PseudoLabelRecipe(epochs=20).get_weight(epoch) for epoch in range(20)]
    assert weights == sorted(weights) and weights[12:] == [3.0] * 8


def test_without_weight_it_is_supervised_learning_to_the_bit(made: Make) -> None:
    """The running statistics are equal, too: an unlabelled batch does not change them."""
    assert trained(made(weight=0.0), 2) == trained(made("labelled"), 2)
    assert trained(made(ramp=(0.5, 1.0)), 2) == trained(made("labelled"), 2)
    assert trained(made(ramp=(0.0, 0.0)), 2) != trained(made("labelled"), 2)


def get_statistics_after_a_step(method: Any) -> dict[str, bytes]:
    """Return the bytes of the encoder's running statistics, numbers of batches included, after the first step."""
    (phase,) = method.build_phases()
    phase.begin_phase()
    phase.start_epoch(0)
    phase.model.train()
    logs = phase.train_step(0)
    assert logs.get("gate/accepted", 1) == 1, "the unlabelled pass would be undone"
    return {name: tensor.numpy().tobytes() for name, tensor in method.modules["encoder"].named_buffers()}


@pytest.mark.parametrize("name", ["pseudo_label", "pseudo_label_alrao", "annealed_label_transfer"])
def test_the_unlabelled_pass_moves_running_statistics_only_if_it_shall(made: Make, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Every strategy starts from the same network, so that its labelled pass leaves the statistics of supervised learning."""
    losses = itertools.count(100.0, -1.0)  # each is lower than the one before, so that the attempt is kept
    monkeypatch.setattr(AnnealedLabelTransfer, "compute_gate_loss", lambda self, reduction: torch.tensor(next(losses)))
    acting: dict[str, Any] = {"slope": 0.0} if name == "annealed_label_transfer" else {"ramp": (0.0, 0.0)}
    expected = get_statistics_after_a_step(made("labelled"))
    kept, moved = (get_statistics_after_a_step(made(name, statistics=statistics, **acting)) for statistics in ("kept", "moved"))
    assert len(kept) > 2 and kept == expected
    assert moved.keys() == kept.keys() and all(moved[buffer] != kept[buffer] for buffer in kept)
    assert made(name).settings.statistics == "kept"


def test_a_batch_that_overflows_leaves_kept_statistics(made: Make) -> None:
    method = made()
    before = {buffer: tensor.clone() for buffer, tensor in method.modules.named_buffers()}
    for statistics in ("kept", "moved"):
        method.modules.train()
        with keep_running_statistics(method.modules, statistics):
            method.compute_class_scores(torch.full((2, 1, 32, 32), float("inf")))
        assert statistics == "moved" or all(torch.equal(tensor, before[buffer]) for buffer, tensor in method.modules.named_buffers())
    assert any(tensor.isnan().any() for tensor in method.modules.buffers())


def test_the_gates_labels_can_be_trained_on(made: Make) -> None:
    alone, both = made("labelled"), made("labelled", with_gate=True)
    assert len(both.labelled.rows) == len(alone.labelled.rows) + len(alone.gate.rows)
    assert set(both.labelled.rows) == set(alone.labelled.rows) | set(alone.gate.rows)
    assert not set(both.labelled.rows) & set((*both.task.val.rows, *both.task.test.rows))


def test_the_rate_falls_to_a_tenth_twice() -> None:
    recipe = TransferRecipe()
    assert [recipe.get_learning_rate(epoch) for epoch in (0, 49, 50, 99, 100, 149)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


def test_an_epoch_sees_each_image_once_before_any_again(made: Make) -> None:
    method = made()
    train = method.task.train
    batches = Batches(train, "labelled", 7, method, epoch=0)
    rows = batches.rows.tolist()
    assert len(rows) == 56 and sorted(rows[:27]) == sorted(rows[27:54]) == list(range(27))
    images, labels = batches[6]
    assert images.shape == (8, 1, 32, 32) and images.dtype == torch.float32 and torch.equal(labels, train.labels[rows[48:]])
    again, other = (Batches(train, "labelled", 7, method, epoch=epoch) for epoch in (0, 1))
    assert torch.equal(again[6][0], images) and not torch.equal(other.rows, batches.rows)
    assert not torch.equal(Batches(train, "unlabelled", 7, method, epoch=0).rows, batches.rows)
