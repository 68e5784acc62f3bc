"""Pseudo-labels: the ramp, what an unlabelled batch may change, and that with weight 0 it is supervised learning."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests import tiny
from trainables.cell import Data
from trainables.loop import make_method, make_task
from trainables.methods.method import Method
from trainables.methods.pseudo_label import PseudoLabelRecipe
from trainables.methods.transfer import Batches, TransferRecipe

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
    return [tensor.contiguous().numpy().tobytes() for name, tensor in method.modules.state_dict().items() if "num_batches" not in name]


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
