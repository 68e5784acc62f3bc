"""CIAO: which bytes training changes; cached features against uncached ones; every setting trains; resuming gives the same bits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests import tiny
from tests.test_loop import made as everything
from trainables.cell import Cell, Data
from trainables.data.augment import normalise_images
from trainables.data.dataset import FaceDataset
from trainables.data.task import TASKS, Task
from trainables.execution import feature_cache
from trainables.loop import Stopped, make_method, make_task, train_cell
from trainables.methods.ciao import CIAO, CIAOPhase
from trainables.methods.method import METHODS
from trainables.registry import BadRequest
from trainables.settings import resolve_settings
from trainables.storage.store import RunFolder

CPU = torch.device("cpu")
SETTINGS: dict[str, Any] = {
    "encoder": "pk",
    "encoder_settings": {"width": 1 / 16},
    "head": {"units": 8, "dropout": 0.2},
    "batch": 8,
    "epochs": 2,
    "lr": 0.01,
    "precision": "fp32",
}
REGIMES = [(regime, mask) for regime in ("DL", "LC", "Full") for mask in (False, True)]


def faces() -> FaceDataset:
    """Return 36 images in 12 clips of three frames, with metadata for every kind of target."""
    dataset, rng = tiny.faces(dict.fromkeys(tiny.CLASSES, 12)), np.random.default_rng(0)
    clip = np.arange(36) // 3
    metadata = dataset.metadata.assign(clip=clip, frame=np.arange(36) % 3, subject=[f"p{number}" for number in clip])
    metadata = metadata.assign(**{f"votes_{name}": (dataset.labels == k) * 7 + 1 for k, name in enumerate(tiny.CLASSES)})
    metadata = metadata.assign(valence=dataset.labels - 1.0, arousal=rng.uniform(-1, 1, 36), emoreact_a=clip % 2, emoreact_b=1)
    return FaceDataset(dataset.images, dataset.labels, dataset.classes, pd.DataFrame(metadata), dataset.title)


def task(**settings: Any) -> Task:
    kind = TASKS.find("adaptation")
    given = {"role": "x", "classes": tiny.CLASSES, "size": 32, "colour": "grey"} | settings
    return kind.build(resolve_settings(kind.settings, given, "task"), {"x": faces()}, 0, CPU)


def method(given: Task | None = None, **settings: Any) -> CIAO:
    torch.manual_seed(0)
    ciao = CIAO(resolve_settings(CIAO.Settings, SETTINGS | settings, "ciao"), given or task(), 0)
    ciao.modules.to(memory_format=torch.channels_last)
    return ciao


def epochs(made: CIAO, number: int = 2) -> list[dict[str, float]]:
    """Train some epochs. Return the logs of each step."""
    (phase,) = made.build_phases()
    phase.begin_phase()
    logs = []
    for epoch in range(number):
        steps = phase.start_epoch(epoch)
        phase.model.train()
        logs += [{name: float(value) for name, value in phase.train_step(step).items()} for step in range(steps)]
        phase.finish_epoch(epoch)
    return logs


def bytes_of(state: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {name: value.detach().contiguous().numpy().tobytes() for name, value in state.items()}


@pytest.mark.parametrize("encoder", ["pk", "vgg_face", "pocket", "resnet18"])
@pytest.mark.parametrize(("regime", "mask"), REGIMES)
def test_exactly_the_stated_parameters_move(encoder: str, regime: str, mask: bool) -> None:
    """The decision layer; LC: also the last convolution; Full: the encoder; with CIAO: mask and a. No other byte or statistic changes."""
    encoder_settings = {"width": 1 / 16} if encoder in ("pk", "vgg_face") else {"stem": "imagenet"} if encoder == "resnet18" else {}
    ciao = method(encoder=encoder, encoder_settings=encoder_settings, regime=regime, mask=mask)
    last = next(name for name, module in ciao.modules.named_modules() if module is ciao.encoder.last_convolution)
    stated = {"DL": ("head.",), "LC": ("head.", f"{last}."), "Full": ("head.", "encoder.")}[regime] + (("mask.",) if mask else ())
    before = bytes_of(ciao.modules.state_dict())
    epochs(ciao, 3)
    after = bytes_of(ciao.modules.state_dict())
    moved = {name for name in before if before[name] != after[name]}
    counters = {name for name in before if name.endswith("num_batches_tracked") and before[name] == after[name]}
    assert moved == {name for name in before if name.startswith(stated)} - counters
    parameters = {name: parameter.numel() for name, parameter in ciao.modules.named_parameters() if name.startswith(stated)}
    assert ciao.describe_training() == {"updated_parameters": sum(parameters.values())}


@pytest.mark.parametrize("update", ["joint", "alternate"])
@pytest.mark.parametrize("features", ["mask", "head", "softmax"])
@pytest.mark.parametrize(("denominator", "reduction"), [("negatives", "mean"), ("all", "sum")])
def test_every_reading_of_the_text_trains(update: str, features: str, denominator: str, reduction: str) -> None:
    ciao = method(update=update, features=features, denominator=denominator, reduction=reduction, regime="LC")
    before = bytes_of(ciao.modules.state_dict())
    logs = epochs(ciao)
    moved = {name.partition(".")[0] for name, content in bytes_of(ciao.modules.state_dict()).items() if content != before[name]}
    assert moved == {"encoder", "mask", "head"} | ({"contrast"} if features == "head" else set())
    assert all(np.isfinite(list(row.values())).all() for row in logs) and any(row["train/contrast"] for row in logs)
    added = method(features="head").describe_training()["updated_parameters"] - method().describe_training()["updated_parameters"]
    assert added == sum(tensor.numel() for tensor in method(features="head").modules["contrast"].parameters()) > 0  # the added layer counts


def test_alternate_steps_move_the_mask_by_the_contrastive_loss_alone() -> None:
    """A step on the contrastive loss changes the mask and nothing else, not even the head."""
    ciao = method(update="alternate", optimizer="SGD")
    (phase,) = ciao.build_phases()
    assert isinstance(phase, CIAOPhase)
    phase.begin_phase()
    before = bytes_of(ciao.modules.state_dict())
    phase.descend(phase.compute_losses(ciao.task.train.labels[:8], *(tensor[:8] for tensor in phase.kept or ()))[1], {}, phase.masks)
    after = bytes_of(ciao.modules.state_dict())
    assert {name.partition(".")[0] for name in before if before[name] != after[name]} == {"mask"}


@pytest.mark.parametrize(("regime", "mask"), [pair for pair in REGIMES if pair[0] != "Full"])
@pytest.mark.parametrize("encoder", ["pk", "pocket"])
def test_kept_features_give_what_none_kept_gives(monkeypatch: pytest.MonkeyPatch, regime: str, mask: bool, encoder: str) -> None:
    encoder_settings = {"width": 1 / 16} if encoder == "pk" else {}
    settings = {"regime": regime, "mask": mask, "encoder": encoder, "encoder_settings": encoder_settings}
    cached = method(**settings)
    cached_logs = epochs(cached)
    monkeypatch.setattr(feature_cache, "SHARE", 0.0)
    monkeypatch.setattr(feature_cache, "_KEPT", type(feature_cache._KEPT)())
    uncached = method(**settings)
    assert uncached.get_frozen_features(uncached.task.train.pixels) is None
    for cached_row, uncached_row in zip(cached_logs, epochs(uncached), strict=True):
        assert cached_row == pytest.approx(uncached_row, rel=1e-4, abs=1e-5)
    pixels = cached.task.test.pixels
    torch.testing.assert_close(cached.compute_logits(pixels), uncached.compute_logits(pixels), rtol=1e-4, atol=1e-5)


def test_what_is_kept_is_shared_by_whom_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(feature_cache, "_KEPT", type(feature_cache._KEPT)())
    ciao = method()
    freeze = CIAO.compute_frozen
    monkeypatch.setattr(CIAO, "compute_frozen", lambda self, images: calls.append(len(images)) or freeze(self, images))
    pixels = ciao.task.train.pixels
    ciao.get_frozen_features(pixels)
    computed = len(calls)
    assert computed and method(lr=0.5).get_frozen_features(pixels) and len(calls) == computed  # another learning rate, the same weights
    method(regime="LC").get_frozen_features(pixels)
    assert len(calls) > computed
    other = method()
    with torch.no_grad():
        next(other.encoder.parameters()).add_(1e-3)
    computed = len(calls)
    other.get_frozen_features(pixels)
    assert len(calls) > computed


@pytest.mark.parametrize(("target", "frames"), [("label", None), ("votes", None), ("affect", None), ("labels", 3), ("labels", 2)])
@pytest.mark.parametrize(("regime", "mask"), REGIMES)
def test_every_kind_of_answer_is_learnt(target: str, frames: int | None, regime: str, mask: bool) -> None:
    given = task(target=target, frames=frames)
    ciao = method(given, regime=regime, mask=mask)
    logs = epochs(ciao)
    assert all(np.isfinite(list(row.values())).all() for row in logs)
    outputs = ciao.compute_logits(given.test.pixels)
    assert outputs.shape == (len(given.test.rows), len(given.classes)) and outputs.isfinite().all()


def test_a_clip_of_one_frame_again_and_again_is_that_frame() -> None:
    given = task(target="labels", frames=1)
    for regime, mask in REGIMES:
        ciao = method(given, regime=regime, mask=mask)
        clips = given.test.pixels
        torch.testing.assert_close(ciao.compute_logits(clips.repeat(1, 4, 1, 1, 1)), ciao.compute_logits(clips[:, 0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("regime", "mask"), REGIMES)
def test_pictures_look_at_the_network_that_is_scored(regime: str, mask: bool) -> None:
    ciao = method(regime=regime, mask=mask)
    pixels = ciao.task.test.pixels
    with torch.no_grad():
        torch.testing.assert_close(ciao.build_network().eval()(normalise_images(pixels)), ciao.compute_logits(pixels), rtol=1e-4, atol=1e-5)


def test_the_parents_encoder_is_taken_over_and_the_mask_begins_with_it() -> None:
    parent, child = method(regime="Full"), method(encoder_settings={"width": 1 / 16})
    epochs(parent)
    child.inherit_parameters(parent.modules.state_dict())
    assert bytes_of(child.encoder.state_dict()) == bytes_of(parent.encoder.state_dict())
    assert child.mask is not None and torch.equal(child.mask.convolution.weight, parent.encoder.last_convolution.weight)
    with pytest.raises(BadRequest, match="the parent's encoder is none like pk") as caught:
        method(encoder_settings={"width": 1 / 8}).inherit_parameters(parent.modules.state_dict())
    assert "\n" not in str(caught.value)


def test_a_batch_of_which_no_two_labels_agree_trains_on_the_decision_loss() -> None:
    """The arousal and valence of each image fall in a bin of their own."""
    given = task(target="affect")
    given = replace(given, train=given.train._replace(labels=torch.arange(len(given.train.rows))))
    logs = epochs(method(given))
    assert all(row["train/contrast"] == 0 and row["train/alone"] == 1 and row["train/decision"] > 0 for row in logs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, "setting temperature=0 of ciao: input should be greater than 0"),
        ({"temperature": -0.1}, r"setting temperature=-0\.1 of ciao"),
        ({"encoder": "vgg16", "encoder_settings": {}}, "encoder vgg16 cannot be cut at its last convolution"),
        (
            {"head": {"units": 10**7, "layers": 2}},
            r"head: layers of .*10,000,000 - 10,000,000 - 3 units train in .* GB, and .* GB are free",
        ),
        ({"head": {"units": 0}}, "units 1 or more"),
        ({"head": {"units": [8, 0], "layers": 2}}, "units 1 or more"),
        ({"head": {"units": [8, 4]}}, "2 units for 1 layers; give one number, or one for each layer"),
        ({"head": {"units": [8, "many"], "layers": 2}}, r"setting head\.units"),
        ({"head": {"activation": "sine"}}, "setting head.activation='sine' of ciao"),
    ],
)
def test_what_does_not_fit_is_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        method(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("units", "widths"), [(8, [8, 8, 3]), ([8, 5], [8, 5, 3])])
def test_each_layer_has_units_of_its_own(units: Any, widths: list[int]) -> None:
    head = method(head={"units": units, "layers": 2}).modules["head"]
    assert [layer.out_features for layer in head.children() if isinstance(layer, torch.nn.Linear)] == widths


@pytest.fixture
def cell(roles: dict[str, Data]) -> Callable[..., Cell]:
    def of(**settings: Any) -> Cell:
        kind, given = METHODS.find("ciao"), {"role": "children", "classes": tiny.CLASSES, "size": 32, "colour": "grey"}
        return replace(
            tiny.cell(roles),
            task="adaptation",
            task_settings=resolve_settings(TASKS.find("adaptation").settings, given, "task").model_dump(mode="json"),
            method="ciao",
            method_settings=resolve_settings(kind.Settings, SETTINGS | settings, "ciao").model_dump(mode="json"),
        )

    return of


@pytest.mark.parametrize("settings", [{"regime": "LC", "update": "alternate"}, {"regime": "Full"}, {"mask": False}])
def test_stopped_at_every_step_it_ends_in_the_same_bits(cell: Callable[..., Cell], tmp_path: Path, settings: dict[str, Any]) -> None:
    ciao_cell = cell(**settings)
    whole, resumed = RunFolder(str(tmp_path / "a")), RunFolder(str(tmp_path / "b"))
    result = train_cell(ciao_cell, whole)
    stops = 0
    while True:
        try:
            train_cell(ciao_cell, resumed, halt=lambda: True)
            break
        except Stopped:
            stops += 1
    assert stops > 8 and everything(whole, ciao_cell) == everything(resumed, ciao_cell)
    names = {"val/score", "val/accuracy", "val/balanced_accuracy", "test/score", "test/accuracy", "test/balanced_accuracy", "train/loss"}
    assert set(result["metrics"]) == names and result["metrics"]["test/score"] == result["metrics"]["test/accuracy"]
    ciao = make_method(ciao_cell, make_task(ciao_cell, CPU))
    assert result["updated_parameters"] == ciao.describe_training()["updated_parameters"] and sum(map(sum, result["confusion"])) == sum(
        result["counts"]["test"]
    )
