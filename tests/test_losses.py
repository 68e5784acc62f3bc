"""Losses against explicit loops in float64, against pytorch-metric-learning, and in corner cases where published code gives NaN."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss, SupConLoss
from torch import Tensor

from trainables.losses import measure_feature_spread, simclr_loss, supcon_loss

TEMPERATURE = st.floats(0.05, 1.0)
LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=12)


def draw(n: int, d: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 3


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def term(z: list[list[float]], i: int, p: int, t: float) -> float:
    """Return the logarithm that both printed losses share: positive p of anchor i among all q in I without i."""
    return math.log(math.exp(cosine(z[i], z[p]) / t) / sum(math.exp(cosine(z[i], z[q]) / t) for q in range(len(z)) if q != i))


@given(LABELS, TEMPERATURE, st.integers(0, 99))
@settings(deadline=None)
def test_supcon_is_the_printed_sum_averaged_over_anchors_with_a_positive(labels: list[int], t: float, seed: int) -> None:
    z = draw(len(labels), 5, seed)
    rows = z.double().tolist()
    terms = []
    for i, label in enumerate(labels):
        if positives := [p for p, other in enumerate(labels) if other == label and p != i]:
            terms.append(-sum(term(rows, i, p, t) for p in positives) / len(positives))
    loss, alone = supcon_loss(z, torch.tensor(labels), t)
    assert loss.item() == pytest.approx(sum(terms) / len(terms) if terms else 0, rel=1e-4, abs=1e-5)
    assert alone.item() == pytest.approx(1 - len(terms) / len(labels), abs=1e-6)


@given(st.integers(1, 8), TEMPERATURE, st.integers(0, 99))
@settings(deadline=None)
def test_simclr_is_the_printed_sum_averaged_over_both_views(n: int, t: float, seed: int) -> None:
    first, second = draw(n, 5, seed), draw(n, 5, seed + 100)
    rows = torch.cat((first, second)).double().tolist()
    terms = [-term(rows, i, (i + n) % (2 * n), t) for i in range(2 * n)]
    assert simclr_loss(first, second, t).item() == pytest.approx(sum(terms) / len(terms), rel=1e-4, abs=1e-5)


@given(st.integers(2, 16), TEMPERATURE, st.integers(0, 99))
@settings(deadline=None)
def test_simclr_equals_pytorch_metric_learning(n: int, t: float, seed: int) -> None:
    first, second = draw(n, 16, seed), draw(n, 16, seed + 100)
    expected = SelfSupervisedLoss(NTXentLoss(temperature=t))(first, second)
    assert simclr_loss(first, second, t).item() == pytest.approx(expected.item(), rel=1e-4)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=16).filter(lambda labels: len(set(labels)) > 1), TEMPERATURE, st.integers(0, 99))
@settings(deadline=None)
def test_supcon_and_its_gradient_equal_pytorch_metric_learning(labels: list[int], t: float, seed: int) -> None:
    """Compared where both are defined: with more than one class. Both leave anchors without a positive out of the mean."""
    z, z_reference = (draw(len(labels), 16, seed).requires_grad_() for _ in range(2))
    target = torch.tensor(labels)
    loss, expected = supcon_loss(z, target, t)[0], SupConLoss(temperature=t)(z_reference, target)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-5)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(z.grad, z_reference.grad, rtol=1e-3, atol=1e-5)


def test_supcon_gradient_is_the_derivative() -> None:
    z = draw(6, 4, 0, torch.float64).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    assert torch.autograd.gradcheck(lambda x: supcon_loss(x, labels, 0.2)[0], z)


@given(LABELS, st.integers(0, 99))
@settings(deadline=None)
def test_neither_order_nor_scale_of_the_features_matters(labels: list[int], seed: int) -> None:
    z, target = draw(len(labels), 8, seed), torch.tensor(labels)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    loss = supcon_loss(z, target, 0.1)[0].item()
    assert supcon_loss(z[order] * 7, target[order] + 5, 0.1)[0].item() == pytest.approx(loss, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    ("labels", "alone"),
    [([0], 1.0), ([0, 1, 2, 3], 1.0), ([0, 0, 1, 2], 0.5), ([0, 0, 0, 0], 0.0)],
    ids=["one image", "no positive", "some without a positive", "one class"],
)
@pytest.mark.parametrize("features", ["random", "equal", "zero"])
def test_corners_are_finite_with_a_finite_gradient(labels: list[int], alone: float, features: str) -> None:
    z = draw(len(labels), 8, 1)
    z = {"random": z, "equal": torch.ones_like(z), "zero": torch.zeros_like(z)}[features].requires_grad_()
    loss, share = supcon_loss(z, torch.tensor(labels), 0.07)
    loss.backward()
    assert math.isfinite(loss.item()) and z.grad is not None and z.grad.isfinite().all()
    assert share.item() == alone
    if alone == 1:
        assert loss.item() == 0 and not z.grad.any()


def test_one_class_is_not_free() -> None:
    """Unlike in implementations that need a negative, the printed denominator has the positives, so equal features cost log(n - 1)."""
    loss, _ = supcon_loss(torch.ones(6, 4), torch.zeros(6, dtype=torch.long), 0.07)
    assert loss.item() == pytest.approx(math.log(5), rel=1e-5)


def test_one_pair_of_views_costs_nothing() -> None:
    first, second = draw(1, 8, 0).requires_grad_(), draw(1, 8, 1)
    loss = simclr_loss(first, second, 0.07)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6) and first.grad is not None and first.grad.isfinite().all()


def test_autocast_computes_in_fp32() -> None:
    """The cosines of half-precision features must not be rounded to 8 bits and then divided by 0.07."""
    z, labels = draw(32, 128, 3).bfloat16(), torch.arange(32) % 4
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, view_loss, spread = supcon_loss(z, labels, 0.07)[0], simclr_loss(z[:16], z[16:], 0.07), measure_feature_spread(z)
    assert loss.dtype == view_loss.dtype == spread.dtype == torch.float32
    assert torch.equal(loss, supcon_loss(z.float(), labels, 0.07)[0])
    assert torch.equal(view_loss, simclr_loss(z[:16].float(), z[16:].float(), 0.07))
    assert torch.equal(spread, measure_feature_spread(z.float()))


def test_nothing_reads_the_data_back() -> None:
    """Operations that synchronise a device and break a CUDA graph, such as .item() or indexing by a mask, raise under vmap."""
    z, labels = draw(24, 16, 4).reshape(3, 8, 16), torch.arange(24).reshape(3, 8) % 3
    losses, alone = torch.func.vmap(lambda x, y: supcon_loss(x, y, 0.07))(z, labels)
    torch.testing.assert_close(losses, torch.stack([supcon_loss(x, y, 0.07)[0] for x, y in zip(z, labels, strict=True)]))
    assert not alone.any()
    torch.testing.assert_close(torch.func.vmap(lambda x: simclr_loss(x, x, 0.07))(z), torch.stack([simclr_loss(x, x, 0.07) for x in z]))
    torch.testing.assert_close(torch.func.vmap(measure_feature_spread)(z), torch.stack([measure_feature_spread(x) for x in z]))


def test_spread_is_1_on_the_sphere_and_0_at_a_point() -> None:
    assert measure_feature_spread(draw(4096, 64, 5)).item() == pytest.approx(1, abs=0.02)
    assert measure_feature_spread(draw(1, 64, 5).expand(32, 64) * torch.arange(1, 33)[:, None]).item() == pytest.approx(0, abs=1e-5)
    half = draw(1024, 32, 6)
    half[:, 16:] = 0  # collapse to half of the dimensions, each with standard deviation sqrt(1/16)
    assert measure_feature_spread(half).item() == pytest.approx(math.sqrt(2) / 2, abs=0.02)
