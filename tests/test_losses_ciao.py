"""CIAO's loss against the paper's equations 2 to 4, written out, and in cases where nothing can be compared."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.losses import ciao_loss


def written_out(features: torch.Tensor, labels: list[int], t: float, denominator: str, reduction: str) -> float:
    z = [row / row.norm() for row in features.double()]
    n, losses = len(z), []
    for i in range(n):
        total = 0.0
        denominator_rows = [k for k in range(n) if (labels[k] != labels[i] if denominator == "negatives" else k != i)]
        for j in range(n):
            if j != i and labels[j] == labels[i] and denominator_rows:
                total += math.log(math.exp(z[i] @ z[j] / t) / sum(math.exp(z[i] @ z[k] / t) for k in denominator_rows))
        losses.append(-total / (n - 1))
    return sum(losses) if reduction == "sum" else sum(losses) / n


@given(st.lists(st.integers(0, 2), min_size=2, max_size=8), st.floats(0.05, 2), st.integers(0, 99))
def test_it_is_the_texts(labels: list[int], t: float, seed: int) -> None:
    features = torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(seed))
    for denominator in ("negatives", "all"):
        for reduction in ("mean", "sum"):
            loss, alone = ciao_loss(features, torch.tensor(labels), t, denominator, reduction)
            assert loss.item() == pytest.approx(written_out(features, labels, t, denominator, reduction), rel=1e-4, abs=1e-4)
    assert alone.item() == pytest.approx(sum(labels.count(label) == 1 for label in labels) / len(labels))


@pytest.mark.parametrize("denominator", ["negatives", "all"])
@pytest.mark.parametrize("labels", [[0, 1, 2], [4]])
def test_where_no_two_labels_agree_it_is_0_and_has_a_gradient(denominator: str, labels: list[int]) -> None:
    features = torch.randn(len(labels), 4, requires_grad=True)
    loss, alone = ciao_loss(features, torch.tensor(labels), 0.1, denominator)
    loss.backward()
    assert loss == 0 and alone == 1 and features.grad is not None and not features.grad.any()


def test_where_all_labels_agree_there_is_nothing_to_be_told_from() -> None:
    features = torch.randn(4, 4, requires_grad=True)
    loss, alone = ciao_loss(features, torch.zeros(4, dtype=torch.long), 0.1)
    loss.backward()
    assert loss == 0 and alone == 0 and not features.grad.any()
    assert ciao_loss(features.detach(), torch.zeros(4, dtype=torch.long), 0.1, "all")[0] > 0


def test_features_of_zeros_are_no_infinity() -> None:
    """A dead ReLU layer gives such features."""
    features = torch.zeros(4, 6, requires_grad=True)
    loss, _ = ciao_loss(features, torch.tensor([0, 0, 1, 1]), 0.05)
    loss.backward()
    assert loss.isfinite() and features.grad.isfinite().all()
