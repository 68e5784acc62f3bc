"""ALT: an undone step leaves no trace; conditions under which steps are kept; effect of the noise; cooling of the temperature."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch.nn import functional

from tests import tiny
from trainables.cell import Data
from trainables.data.dataset import DataError
from trainables.data.task import Images
from trainables.loop import make_method, make_task, train_cell
from trainables.methods.annealed_label_transfer import AnnealedLabelTransfer
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

CPU = torch.device("cpu")
SETTINGS: dict[str, Any] = {"batch": 8, "epochs": 4, "lr": 0.02}
NEVER = {"slope": 1e6, "cooling": 1.0}
"""settings of a gate that opens at no temperature above 0; with cooling 1 the temperature is above 0 in every epoch"""
READINGS = [
    {"gate_loss": gate_loss, "statistics": statistics, "noise": noise}
    for gate_loss, statistics, noise in itertools.product(("mean", "sum"), ("kept", "moved"), ("scale", "literal", "logits"))
]


@pytest.fixture
def made(roles: dict[str, Data]) -> Callable[..., AnnealedLabelTransfer]:
    def make(method: str = "annealed_label_transfer", **settings: Any) -> Any:
        cell = tiny.transfer(roles, method, **SETTINGS | settings)
        return make_method(cell, make_task(cell, CPU))

    return make


def begun(method: Any, epoch: int = 0) -> Any:
    (phase,) = method.build_phases()
    phase.begin_phase()
    phase.start_epoch(epoch)
    phase.model.train()
    return phase


def bytes_of(tensors: Any) -> list[bytes]:
    return [tensor.detach().contiguous().numpy().tobytes() for tensor in tensors]


def everything(phase: Any) -> list[bytes]:
    """Return the bytes of encoder and classifier: weights, running statistics, and the momenta of the weights."""
    modules = [phase.model["encoder"], phase.model["classifier"]]
    momenta = [phase.optimizer.state[parameter]["momentum_buffer"] for module in modules for parameter in module.parameters()]
    return bytes_of([tensor for module in modules for tensor in module.state_dict().values()] + momenta)


@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_with_a_gate_that_never_opens_it_is_supervised_learning_to_the_bit(made, reading: dict[str, str]) -> None:
    """Compares weights, running statistics and momentum after every step of the whole training."""
    annealed, supervised = made(**NEVER, **reading), made("labelled")
    phases = [method.build_phases()[0] for method in (annealed, supervised)]
    for phase in phases:
        phase.begin_phase()
    for epoch in range(4):
        steps = {phase.start_epoch(epoch) for phase in phases}
        assert steps == {3}
        for phase in phases:
            phase.model.train()
        for step in range(3):
            logs, expected = (phase.train_step(step) for phase in phases)
            assert logs["gate/accepted"] == 0 and logs["train/loss"] == expected["train/loss"]
            assert everything(phases[0]) == everything(phases[1])


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_an_attempt_that_breaks_the_network_leaves_nothing(
    made, monkeypatch: pytest.MonkeyPatch, reading: dict[str, str], broken: float
) -> None:
    """This holds even for a gate that keeps any step that lowers the loss."""
    supervised = begun(made("labelled"))
    supervised.train_step(0)
    phase = begun(made(slope=0.0, **reading))
    monkeypatch.setattr(phase, "compute_noisy_loss", lambda scores, pseudo, *noise: scores.sum() * broken)
    assert phase.train_step(0)["gate/accepted"] == 0
    assert everything(phase) == everything(supervised)


def take_labelled_step(phase: Any) -> None:
    """Make the first half of a step by hand."""
    images, labels = phase.labelled[0]
    phase.descend(functional.cross_entropy(phase.method.compute_class_scores(images), labels), {})


def take_pseudo_step(phase: Any) -> None:
    """Make the second half of a step by hand. A constant that is added to the loss has no gradient."""
    images, _ = phase.unlabelled[0]
    scores, xi, noise = phase.method.compute_class_scores(images), phase.xi[0], phase.method.settings.noise
    noisy_scores = scores + 0.2 * phase.method.reference * xi if noise == "logits" else scores
    phase.descend(functional.cross_entropy(noisy_scores, scores.argmax(1)) * (1 + 0.2 * xi if noise == "scale" else 1), {})


def give_back_statistics(phase: Any, before: dict[str, torch.Tensor]) -> None:
    for name, buffer in phase.model.named_buffers():
        buffer.copy_(before[name])


def get_statistics(phase: Any) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in phase.model.named_buffers()}


@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_a_step_that_helps_is_kept_whole(made, monkeypatch: pytest.MonkeyPatch, reading: dict[str, str]) -> None:
    """The result equals two steps of the same optimiser: one on the labelled batch, then one on the pseudo-labelled batch."""
    method, twin = made(slope=0.0, **reading), made(slope=0.0, **reading)
    phase, twin_phase = begun(method), begun(twin)
    losses = iter((2.0, 1.0, 1.5))
    monkeypatch.setattr(method, "compute_gate_loss", lambda reduction: torch.tensor(next(losses)))
    logs = phase.train_step(0)
    assert logs["gate/accepted"] == 1 and logs["gate/margin"] == 1
    halves = (logs["gate/margin_weights"], logs["gate/margin_statistics"])
    assert halves == ((1, 0) if reading["statistics"] == "kept" else (0.5, 0.5))

    take_labelled_step(twin_phase)
    before = get_statistics(twin_phase)
    take_pseudo_step(twin_phase)
    if reading["statistics"] == "kept":
        give_back_statistics(twin_phase, before)
    assert everything(phase) == everything(twin_phase)


def compute_losses(method: AnnealedLabelTransfer) -> np.ndarray:
    """Return the gate images' cross-entropies in double precision, by the definition."""
    scores = method.compute_logits(method.gate.pixels).detach().double().numpy()
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return -np.log(shares[np.arange(len(scores)), method.gate.labels.numpy()])


@pytest.mark.parametrize("statistics", ["kept", "moved"])
@hypothesis_settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lr=st.floats(0.005, 0.1), step=st.integers(0, 2))
def test_the_sums_margin_is_as_many_mean_margins_as_the_gate_has_images(made, statistics: str, lr: float, step: int) -> None:
    """Only the margin differs, and with it the share of kept steps. The temperature and beta are the same."""
    phases = {name: begun(made(gate_loss=name, statistics=statistics, lr=lr, **NEVER)) for name in ("mean", "sum")}
    logs = {name: phase.train_step(step) for name, phase in phases.items()}
    summed, mean = phases["sum"], phases["mean"]
    count = len(summed.method.gate.labels)
    assert count > 1 and summed.temperature == mean.temperature and summed.beta == mean.beta
    for name in ("gate/before", "gate/after", "gate/margin", "gate/margin_weights", "gate/margin_statistics"):
        assert logs["sum"][name].item() == pytest.approx(count * logs["mean"][name].item(), rel=1e-4, abs=count * 1e-6), name
    assert logs["sum"]["gate/before"].item() == pytest.approx(compute_losses(summed.method).sum(), rel=1e-5)  # every attempt was undone
    assert logs["mean"]["gate/before"].item() == pytest.approx(compute_losses(mean.method).mean(), rel=1e-5)


def test_the_halves_of_the_margin_are_what_weights_and_statistics_won(made) -> None:
    """By hand: the gate's loss with the new weights and the old statistics lies between the two halves."""
    phase, twin = begun(made(statistics="moved", gate_loss="sum")), begun(made(statistics="moved", gate_loss="sum"))
    logs = phase.train_step(0)
    take_labelled_step(twin)
    first, before = compute_losses(twin.method).sum(), get_statistics(twin)
    take_pseudo_step(twin)
    last = compute_losses(twin.method).sum()
    give_back_statistics(twin, before)
    between = compute_losses(twin.method).sum()
    expected = {"gate/margin": first - last, "gate/margin_weights": first - between, "gate/margin_statistics": between - last}
    assert abs(expected["gate/margin_statistics"]) > 1e-3
    assert {name: logs[name].item() for name in expected} == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("encoder", "statistics", "passes"), [("pocket", "kept", 2), ("pocket", "moved", 3), ("ronnet", "moved", 2)])
def test_the_halves_cost_a_pass_only_where_statistics_move(
    made, monkeypatch: pytest.MonkeyPatch, encoder: str, statistics: str, passes: int
) -> None:
    """RonNet has no batch normalisation."""
    method = made(encoder=encoder, encoder_settings={"widths": (4, 4, 4)} if encoder == "ronnet" else {}, statistics=statistics)
    phase, compute, calls = begun(method), method.compute_gate_loss, []
    monkeypatch.setattr(method, "compute_gate_loss", lambda reduction: calls.append(reduction) or compute(reduction))
    logs = phase.train_step(0)
    assert calls == ["sum"] * passes
    assert (logs["gate/margin_statistics"] == 0) == (passes == 2)


@pytest.mark.parametrize(("margin", "kept"), [(0.031, True), (0.029, False), (0.0, False), (-1.0, False)])
def test_the_gate_opens_above_beta(made, monkeypatch: pytest.MonkeyPatch, margin: float, kept: bool) -> None:
    """beta = slope x T = 0.75 x 0.2 x 0.2 if the loss at initialisation is 0.2."""
    method = made()
    method.modules["reference"].loss.fill_(0.2)
    phase = begun(method)
    losses = iter((1.0, 1.0 - margin))
    monkeypatch.setattr(method, "compute_gate_loss", lambda reduction: torch.tensor(next(losses)))
    assert phase.beta.item() == pytest.approx(0.03) and bool(phase.train_step(0)["gate/accepted"]) is kept


def test_without_temperature_the_gate_asks_that_the_loss_falls(made, monkeypatch: pytest.MonkeyPatch) -> None:
    for before, after, kept in ((1.0, 0.999, 1), (1.0, 1.0, 0), (1.0, 1.001, 0)):
        method = made()
        phase = begun(method, epoch=3)
        losses = iter((before, after))
        monkeypatch.setattr(method, "compute_gate_loss", lambda reduction, losses=losses: torch.tensor(next(losses)))
        assert phase.beta == 0 and phase.train_step(0)["gate/accepted"] == kept


def test_the_temperature_cools_to_nothing_at_three_quarters(made) -> None:
    phase = begun(made(epochs=20))
    reference = phase.method.reference.item()  # an image's, whatever the gate sums
    assert reference == pytest.approx(math.log(3), abs=0.2)
    temperatures = []
    for epoch in range(20):
        phase.start_epoch(epoch)
        temperatures.append(phase.finish_epoch(epoch)["temperature"])
        assert phase.finish_epoch(epoch)["beta"] == pytest.approx(0.75 * temperatures[-1])
        if epoch < 15:
            assert phase.xi.abs().max() <= 1
    expected = [0.2 * reference * max(0, 1 - epoch / 15) for epoch in range(20)]  # each epoch subtracts T0 / (.75 x 20)
    assert temperatures == pytest.approx(expected, abs=1e-6) and temperatures[15:] == [0.0] * 5


def test_the_reference_is_measured_once(made) -> None:
    """A resumed training begins its phase again with other weights. The reference comes from the checkpoint."""
    method = made()
    phase = begun(method)
    first = method.reference.item()
    phase.train_step(0)
    phase.begin_phase()
    assert method.reference.item() == first and method.compute_gate_loss("mean").item() != first
    state = method.modules.state_dict()
    other = made()
    other.modules.load_state_dict(state)
    begun(other)
    assert other.reference.item() == first


@pytest.mark.parametrize("noise", ["scale", "literal", "logits"])
def test_what_each_reading_of_the_noise_does(made, noise: str) -> None:
    """The noise changes the loss of pseudo-labels and its gradient. It has no effect once T is 0."""
    phase = begun(made(noise=noise))
    assert phase.xi.shape == ((3, 8, 3) if noise == "logits" else (3,))
    scores, pseudo = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), requires_grad=True), torch.arange(8) % 3
    plain = functional.cross_entropy(scores, pseudo)
    xi, temperature = phase.xi[1], phase.temperature
    loss = phase.compute_noisy_loss(scores, pseudo, phase.warmth, temperature, xi)
    gradient, expected = (torch.autograd.grad(value, scores)[0] for value in (loss, plain))
    if noise == "scale":
        torch.testing.assert_close(loss, plain * (1 + temperature * xi / phase.method.reference))
        torch.testing.assert_close(gradient, expected * (1 + 0.2 * xi))
    elif noise == "literal":
        torch.testing.assert_close(loss, plain + temperature * xi)
        assert torch.equal(gradient, expected)
    else:
        torch.testing.assert_close(loss, functional.cross_entropy(scores + temperature * xi, pseudo))
        assert (gradient - expected).abs().max() > 1e-3
    phase.start_epoch(3)
    torch.testing.assert_close(phase.compute_noisy_loss(scores, pseudo, phase.warmth, phase.temperature, phase.xi[1]), plain)


def test_pseudo_labels_are_measured_by_the_truth_and_never_learnt_from_it(made) -> None:
    def course(truth: Callable[[torch.Tensor], torch.Tensor]) -> tuple[list[bytes], list[Any]]:
        method = made(slope=0.0)
        pool = method.task.partners["pool"]
        method.task.partners["pool"] = Images(pool.pixels, truth(pool.labels), pool.rows)
        phase = begun(method)
        shares = [phase.train_step(step).get("pool/accuracy") for step in range(3)]
        return everything(phase), shares

    right, shares = course(lambda labels: labels)
    same, no_shares = course(lambda labels: torch.full_like(labels, -1))
    assert right == same and no_shares == [None] * 3
    half, half_shares = course(lambda labels: torch.where(torch.arange(len(labels)) % 2 == 0, labels, -1))
    assert right == half and 0 <= sum(map(float, half_shares)) / 3 <= 1 and 0 <= sum(map(float, shares)) / 3 <= 1


def test_the_accuracy_of_pseudo_labels_is_over_the_epochs_known_images(made) -> None:
    method = made()
    method.pool.labels[::3] = -1
    phase = begun(method)
    truth = phase.unlabelled.labels
    assert 0 < phase.known < len(truth)
    generator = torch.Generator().manual_seed(0)
    pseudo = torch.randint(0, 3, truth.shape, generator=generator)
    mean = (
        sum(
            phase.measure_pseudo_accuracy(pseudo[8 * step : 8 * step + 8], truth[8 * step : 8 * step + 8], phase.scale)["pool/accuracy"]
            for step in range(3)
        )
        / 3
    )
    assert float(mean) == pytest.approx((pseudo == truth).sum().item() / phase.known)


def test_a_gate_that_hardly_opened_is_flagged(made) -> None:
    phase = begun(made())
    first = {"gate/accepted": 0.0, "temperature": 0.4}
    assert phase.list_warnings([first, {"gate/accepted": 0.018, "temperature": 0.0}]) == [
        "ALT did not act: it kept 0.90% of its attempted steps"
    ]
    assert phase.list_warnings([first, {"gate/accepted": 0.02, "temperature": 0.0}]) == []


def test_the_hot_steps_are_those_with_a_temperature(made) -> None:
    rows = [{"gate/accepted": share, "temperature": warmth} for share, warmth in ((0.1, 0.4), (0.3, 0.2), (0.8, 0.0))]
    summary = begun(made()).summarise_phase(rows)
    assert summary == {"gate/accepted": pytest.approx(0.4), "gate/accepted_hot": pytest.approx(0.2)}


def test_its_course_and_its_flag_are_in_what_a_cell_leaves(roles: dict[str, Data], tmp_path: Any) -> None:
    cell, folder = tiny.transfer(roles, "annealed_label_transfer", **SETTINGS | NEVER), RunFolder(str(tmp_path))
    result = train_cell(cell, folder)
    assert result["flags"] == ["ALT did not act: it kept 0.00% of its attempted steps"]
    expected = {
        "temperature",
        "beta",
        "gate/accepted",
        "gate/before",
        "gate/after",
        "gate/margin",
        "gate/margin_weights",
        "gate/margin_statistics",
        "pool/accuracy",
        "pool/loss",
        "val/accuracy",
    }
    for row in folder.get_history(cell.key):
        assert expected <= row.keys()
        assert row["gate/margin"] == pytest.approx(row["gate/before"] - row["gate/after"], abs=1e-4)
        assert row["gate/margin"] == row["gate/margin_weights"] and row["gate/margin_statistics"] == 0
    assert result["metrics"]["gate/accepted"] == result["metrics"]["gate/accepted_hot"] == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, "setting temperature=0 of annealed_label_transfer: input should be greater than 0"),
        ({"temperature": -0.1}, "setting temperature=-0.1 of annealed_label_transfer: input should be greater than 0"),
        ({"cooling": 1.01}, "setting cooling=1.01 of annealed_label_transfer: input should be less than or equal to 1"),
        ({"cooling": 0}, "setting cooling=0 of annealed_label_transfer: input should be greater than 0"),
        ({"slope": -1}, "setting slope=-1 of annealed_label_transfer: input should be greater than or equal to 0"),
        ({"noise": "loud"}, "setting noise='loud' of annealed_label_transfer: input should be 'scale', 'literal' or 'logits'"),
        ({"gate_loss": "median"}, "setting gate_loss='median' of annealed_label_transfer: input should be 'mean' or 'sum'"),
        ({"statistics": "lost"}, "setting statistics='lost' of annealed_label_transfer: input should be 'kept' or 'moved'"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_line(roles: dict[str, Data], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=f"^{message}$"):
        tiny.transfer(roles, "annealed_label_transfer", **settings)


@pytest.mark.parametrize("method", ["annealed_label_transfer", "pseudo_label", "pseudo_label_alrao"])
def test_a_task_without_unlabelled_images_or_a_gate_is_refused(roles: dict[str, Data], method: str) -> None:
    cell = tiny.transfer(roles, method)
    task = make_task(cell, CPU)
    with pytest.raises(DataError, match=r"^this method needs a pool of unlabelled images, .*; use the task transfer$"):
        make_method(cell, replace(task, partners={}))
    if method == "annealed_label_transfer":
        with pytest.raises(DataError, match=r"^this method needs a gate set of labelled images, .*; use the task transfer$"):
            make_method(cell, replace(task, gate=None))
