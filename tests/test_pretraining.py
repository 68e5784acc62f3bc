"""Pre-training: identification of persons, the adversarial autoencoder, the acceptance of its encoder, and a weights file instead."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.test_loop import made as everything
from trainables.cell import Cell, Data
from trainables.data.dataset import FaceDataset
from trainables.data.task import TASKS, Task
from trainables.loop import Stopped, train_cell
from trainables.methods.acceptance_probe import AcceptancePhase, fit_probe
from trainables.methods.adversarial_autoencoder import DISCRIMINATORS
from trainables.methods.method import METHODS
from trainables.models import build_encoder
from trainables.registry import BadRequest
from trainables.settings import resolve_settings
from trainables.storage.store import RunFolder

CPU = torch.device("cpu")
TINY: dict[str, Any] = {"encoder": "pk", "encoder_settings": {"width": 1 / 16}, "batch": 8, "epochs": 2, "precision": "fp32"}


def persons() -> FaceDataset:
    """Return 12 images of each of six persons. Each person is a smooth pattern with a little noise."""
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(6), 12)
    patterns = np.kron(rng.integers(20, 235, (6, 4, 4)), np.ones((8, 8), np.int64))
    images = np.clip(patterns[subjects] + rng.integers(-20, 20, (72, 32, 32)), 0, 255).astype(np.uint8)
    base = tiny.faces({"anger": 72}, subjects=6)
    return FaceDataset(
        images[:, None], base.labels, base.classes, base.metadata.assign(subject=[f"p{subject}" for subject in subjects]), "persons"
    )


@pytest.fixture
def task() -> Task:
    kind = TASKS.find("identity")
    settings = resolve_settings(kind.settings, {"persons": ("x",), "size": 32, "colour": "grey", "validation": 0.25}, "task")
    return kind.build(settings, {"x": persons()}, 0, CPU)


def method(name: str, task: Task, **settings: Any) -> Any:
    kind = METHODS.find(name)
    torch.manual_seed(0)
    return kind(resolve_settings(kind.Settings, TINY | settings, name), task, 0)


def run(phase: Any) -> list[dict[str, float]]:
    """Run all epochs of a phase; return the mean logs of each epoch."""
    phase.begin_phase()
    rows = []
    for epoch in range(phase.epochs):
        steps = phase.start_epoch(epoch)
        phase.model.train()
        logs = [phase.train_step(step) for step in range(steps)]
        row = {name: float(torch.stack([torch.as_tensor(step_logs[name]) for step_logs in logs]).mean()) for name in logs[0]}
        rows.append(row | phase.finish_epoch(epoch))
    return rows


def test_the_autoencoder_rebuilds_better_and_logs_every_discriminator(task: Task) -> None:
    autoencoder = method("adversarial_autoencoder", task, width=1 / 16, epochs=8, batch=16, lr=4e-3)
    rows = run(autoencoder.build_phases()[0])
    assert rows[-1]["train/reconstruction"] < 0.95 * rows[0]["train/reconstruction"]
    assert {f"discriminator/{name}" for name in DISCRIMINATORS} <= rows[0].keys() and len(DISCRIMINATORS) == 4
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    assert autoencoder.compute_logits(task.val.pixels).shape == (len(task.val.rows), 6)


def test_a_step_moves_judges_and_makers_each_by_their_own_loss(task: Task) -> None:
    """A step on the discriminators' (judges') loss does not change the makers (encoder, code, decoder): only their own loss does."""
    autoencoder = method("adversarial_autoencoder", task, width=1 / 16)
    phase = autoencoder.build_phases()[0]
    phase.begin_phase()
    phase.start_epoch(0)
    before = {name: value.clone() for name, value in autoencoder.modules.state_dict().items()}
    phase.descend(sum(parameter.square().sum() for parameter in phase.judges), {}, phase.judges)
    moved = {name.partition(".")[0] for name, value in autoencoder.modules.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {*DISCRIMINATORS}


@pytest.mark.parametrize("size", [32, 48, 50])
def test_the_decoder_gives_images_of_the_size_it_is_asked_for(size: int) -> None:
    from trainables.models.autoencoder import CODE, Decoder

    images = Decoder(3, size, 1 / 16)(torch.rand(2, CODE))
    assert images.shape == (2, 3, size, size) and images.abs().max() <= 1


def test_the_probe_tells_a_signal_from_none() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    signal = torch.eye(3)[labels] + 0.1 * torch.randn(60, 3, generator=generator)
    noise = torch.randn(60, 400, generator=generator)
    probe = fit_probe(signal[:40], signal[40:], labels[:40], labels[40:], 3)
    assert probe.accuracy == 1 and (signal.double() @ probe.weight.T + probe.bias).argmax(1).equal(labels)
    assert fit_probe(noise[:40], noise[40:], labels[:40], labels[40:], 3).accuracy < 0.7
    assert fit_probe(torch.zeros(40, 5), torch.zeros(20, 5), labels[:40], labels[40:], 3).accuracy <= 0.5  # features are all 0


def test_the_probe_is_ridge_regression() -> None:
    """Compare with scikit-learn's ridge regression, at the ridge that the probe chose."""
    from sklearn.linear_model import Ridge

    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(50) % 4
    x = torch.eye(4)[labels] @ torch.randn(4, 7, generator=generator) + 0.5 * torch.randn(50, 7, generator=generator)
    probe = fit_probe(x[:30], x[30:], labels[:30], labels[30:], 4)
    standard = (x[:30].double() - x[:30].double().mean(0)) / x[:30].double().std(0)
    codes = torch.eye(4).double()[labels[:30]]
    outputs = x[:30].double() @ probe.weight.T + probe.bias
    others = [
        Ridge(alpha=ridge * 7, fit_intercept=False).fit(standard, codes - 0.25).predict(standard) + 0.25 for ridge in (1e-3, 0.1, 10, 1e3)
    ]
    assert min(np.abs(outputs.numpy() - other).max() for other in others) < 1e-8


def test_an_encoder_worse_than_pixels_is_not_accepted(task: Task) -> None:
    identity = method("identity", task)
    with torch.no_grad():
        for parameter in identity.modules["encoder"].parameters():
            parameter.zero_()
    phase = AcceptancePhase(identity, needed=True)
    rows = run(phase)
    assert rows[0]["probe/encoder"] < rows[0]["probe/pixels"]
    with pytest.raises(
        BadRequest, match=r"the encoder is not accepted: a linear probe identifies .*% of persons from the encoder's features"
    ):
        phase.list_warnings(rows)
    assert AcceptancePhase(identity, needed=False).list_warnings(rows)[0].startswith("weak encoder: ")


def test_a_weights_file_is_loaded_and_nothing_is_trained(task: Task, tmp_path: Path) -> None:
    torch.manual_seed(5)
    encoder = build_encoder("pk", channels=1, size=32, width=1 / 16)
    torch.save(encoder.state_dict(), tmp_path / "pk.pt")
    for name in ("identity", "adversarial_autoencoder"):
        loaded = method(name, task, weights=str(tmp_path / "pk.pt"))
        (phase,) = loaded.build_phases()
        run(phase)
        assert all(torch.equal(value, loaded.modules["encoder"].state_dict()[key]) for key, value in encoder.state_dict().items())


@pytest.fixture(scope="module")
def roles() -> dict[str, Data]:
    from trainables.data.source import Source, load_faces

    source = Source("faces", "clips")
    faces = load_faces(source, 32, "grey")
    return {"persons": Data(source, faces.fingerprint, faces.title)}


@pytest.fixture
def cell(roles: dict[str, Data]) -> Callable[..., Cell]:
    """Return a function that makes cells that identify the persons of the embedded clips: 40 children, 24 images each."""

    def of(name: str, **settings: Any) -> Cell:
        kind = METHODS.find(name)
        task = resolve_settings(TASKS.find("identity").settings, {"size": 32, "colour": "grey"}, "task")
        return replace(
            Cell("s", "pocket", {"method": name, "seed": 0}, "identity", {}, name, {}, 1, roles),
            task_settings=task.model_dump(mode="json"),
            method_settings=resolve_settings(kind.Settings, TINY | {"batch": 64} | settings, name).model_dump(mode="json"),
        )

    return of


@pytest.mark.parametrize("name", ["identity", "adversarial_autoencoder"])
def test_stopped_now_and_then_it_ends_in_the_same_bits(cell: Callable[..., Cell], tmp_path: Path, monkeypatch: Any, name: str) -> None:
    monkeypatch.setattr(AcceptancePhase, "list_warnings", lambda self, rows: [])  # a training this short would not be accepted
    short_cell = cell(name, epochs=1, **({"encoder": "pocket", "encoder_settings": {}} if name == "identity" else {"width": 1 / 16}))
    whole, halted = RunFolder(str(tmp_path / "a")), RunFolder(str(tmp_path / "b"))
    result = train_cell(short_cell, whole)
    stops = 0
    while True:
        left = 4

        def halt() -> bool:
            nonlocal left
            left -= 1
            return not left

        try:
            train_cell(short_cell, halted, halt=halt)
            break
        except Stopped:
            stops += 1
    assert stops > 1 and everything(whole, short_cell) == everything(halted, short_cell)
    assert len(result["classes"]) == 40 and "confusion" in result
    probes = whole.get_history(short_cell.key)[-1]
    assert 0 <= probes["probe/encoder"] <= 1 and 0 <= probes["probe/pixels"] <= 1
