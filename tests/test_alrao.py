"""ALRAO: one log-uniform learning rate per unit, the switch against a plain hidden Markov model, and the loss of each parameter."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.nn import functional

from tests import tiny
from trainables.loop import make_method, make_task
from trainables.methods.pseudo_label_alrao import Parallel, draw_unit_rates
from trainables.models import build_encoder


def test_the_rates_are_log_uniform() -> None:
    network = nn.Sequential(nn.Linear(2, 20_000), nn.BatchNorm1d(5_000))
    rates = draw_unit_rates(network, 1e-5, 1.0, np.random.default_rng(0))
    for units in (rates[0].flatten(), rates[2]):
        logs = units.log10().numpy()
        assert logs.min() >= -5.00001 and logs.max() <= 0.00001
        assert stats.kstest(logs, stats.uniform(-5, 5).cdf).pvalue > 1e-3


def test_a_unit_has_one_rate_for_its_weights_and_bias() -> None:
    """In layers without units each element has a rate of its own."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(5, 6))
    rates = draw_unit_rates(network, 0.1, 10, np.random.default_rng(0))
    for rate, parameter in zip(rates, network.parameters(), strict=True):
        assert (rate * torch.ones_like(parameter)).shape == parameter.shape
    assert rates[0].shape == (4, 1, 1, 1) and torch.equal(rates[0].flatten(), rates[1])
    assert rates[2].shape == rates[3].shape == (4,) and not torch.equal(rates[2], rates[3])
    assert rates[4].shape == (6, 1) and torch.equal(rates[4].flatten(), rates[5])
    assert len(draw_unit_rates(build_encoder("pocket", channels=1, size=32), 0.1, 1, np.random.default_rng(0)))


def oracle(losses: np.ndarray, stay: float) -> list[np.ndarray]:
    """Return the posteriors of the layers after 0, 1, ... batches, in plain probabilities: forward filtering of a chain with 2 n states.

    A state is a layer and whether it may still be left. After batch t, a layer that may be left is left with probability 1 / (t + 1). The
    next layer is uniform over all layers and may be left again with probability `stay`.
    """
    n = losses.shape[1]
    belief = np.concatenate((np.full(n, stay / n), np.full(n, (1 - stay) / n)))
    posteriors = [belief[:n] + belief[n:]]
    for t, row in enumerate(losses, start=1):
        move = np.eye(2 * n)
        for k in range(n):
            move[k, k] -= 1 / (t + 1)
            move[k, :n] += stay / n / (t + 1)
            move[k, n:] += (1 - stay) / n / (t + 1)
        belief = (belief * np.exp(-np.concatenate((row, row)))) @ move
        belief /= belief.sum()
        posteriors.append(belief[:n] + belief[n:])
    return posteriors


@given(st.integers(2, 6), st.integers(1, 30), st.sampled_from([0.5, 0.9, 0.9999]), st.integers(0, 2**32 - 1))
def test_the_switch_is_a_hidden_markov_model(layers: int, batches: int, stay: float, seed: int) -> None:
    losses = np.random.default_rng(seed).uniform(0, 5, (batches, layers))
    head = Parallel(3, 2, layers, stay)
    for expected, row in zip(oracle(losses, stay), (*losses, None), strict=True):
        assert head.log_weights.logsumexp(0).exp().numpy() == pytest.approx(expected, rel=1e-3, abs=1e-6)
        if row is not None:
            head.update_switch(torch.from_numpy(row).float())


def test_the_switch_follows_the_better_layer() -> None:
    head = Parallel(3, 2, 2, 0.9999)
    for _ in range(50):
        head.update_switch(torch.tensor([1.0, 0.5]))
    assert head.log_weights.logsumexp(0).exp()[1] > 0.9
    for _ in range(80):
        head.update_switch(torch.tensor([0.5, 1.0]))
    assert head.log_weights.logsumexp(0).exp()[0] > 0.9


def test_the_average_is_of_probabilities() -> None:
    head = Parallel(5, 3, 4, 0.9)
    head.update_switch(torch.tensor([1.0, 0.2, 3.0, 0.5]))
    features = torch.randn(7, 5)
    weights = head.log_weights.logsumexp(0).exp()
    probabilities = [functional.linear(features, head.weight[k], head.bias[k]).softmax(1) for k in range(4)]
    torch.testing.assert_close(head(features).exp(), sum(weight * share for weight, share in zip(weights, probabilities, strict=True)))
    torch.testing.assert_close(head(features).softmax(1), head(features).exp())  # so the training loop's softmax changes nothing


def test_each_learns_from_its_own_loss(tmp_path: Any) -> None:
    """A step moves the encoder by rate x the gradient of the averaged loss, a last layer by rate x that of its own, with weight decay."""
    roles = tiny.data(tiny.files(tmp_path))
    settings: dict[str, Any] = {"batch": 8, "epochs": 4, "weight": 0.0, "layers": 3, "rates": (1e-3, 1e-1), "weight_decay": 0.01}
    cell = tiny.transfer(roles, "pseudo_label_alrao", **settings)
    method, twin = (make_method(cell, make_task(cell, torch.device("cpu"))) for _ in range(2))
    (phase,), (other,) = method.build_phases(), twin.build_phases()
    for item in (phase, other):
        item.begin_phase()
        item.start_epoch(0)
        item.model.train()
    phase.train_step(0)

    images, labels = other.labelled[0]
    encoder, head = twin.modules["encoder"], twin.modules["classifier"]
    rates = [item for item in other.rates]
    features = encoder(images)
    weights = head.log_weights.logsumexp(0).exp()
    layers = [functional.linear(features, head.weight[k].detach(), head.bias[k].detach()).softmax(1) for k in range(3)]
    averaged = functional.nll_loss(sum(weights[k] * layers[k] for k in range(3)).log(), labels)
    gradients = torch.autograd.grad(averaged, list(encoder.parameters()))
    own = [functional.cross_entropy(functional.linear(features.detach(), head.weight[k], head.bias[k]), labels) for k in range(3)]
    gradients += torch.autograd.grad(sum(own), [head.weight, head.bias])
    before = [*encoder.parameters(), head.weight, head.bias]
    after = [*method.modules["encoder"].parameters(), method.head.weight, method.head.bias]
    for old, new, gradient, rate in zip(before, after, gradients, rates, strict=True):
        torch.testing.assert_close(new, old - rate * (gradient + 0.01 * old), rtol=1e-4, atol=1e-6)
    assert other.rates[-1].flatten().tolist() == pytest.approx([1e-3, 1e-2, 1e-1])
    head.update_switch(torch.stack(own).detach())
    torch.testing.assert_close(method.head.log_weights, head.log_weights)
    assert math.isclose(float(method.head.log_weights.exp().sum()), 1, rel_tol=1e-5)
