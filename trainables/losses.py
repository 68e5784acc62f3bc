"""Contrastive losses: pure, in fp32 or better also under autocast, and without a device synchronisation (they run inside CUDA graphs)."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def _normalise_features(features: Tensor) -> Tensor:
    return normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=1)


def supcon_loss(features: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """SupCon with the logarithm inside the mean over positives (L_out; Khosla et al. 2020, eq. 2), averaged over anchors.

    `features` [n, d] are projections, normalised here; `labels` [n]. For anchor i with positives P(i), the other images of its label:
    -1/|P(i)| sum over p in P(i) of log(exp(z_i.z_p / t) / sum over a != i of exp(z_i.z_a / t)).

    Returns the mean over the anchors that have a positive, and the share of those that have none. Without any positive (one image
    alone, too) the loss is 0 and its gradient exists and is 0. There is no factor t / t_base: it would make t a learning rate.
    """
    with torch.autocast(features.device.type, enabled=False):
        z = _normalise_features(features)
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        # A finite floor, not -inf: the row of an image alone would be all -inf, whose log-sum-exp has a NaN gradient.
        logits = (z @ z.T / temperature).masked_fill(itself, torch.finfo(z.dtype).min / 2)
        log_share = logits - logits.logsumexp(dim=1, keepdim=True)
        positive = (labels[:, None] == labels[None, :]) & ~itself
        positives = positive.sum(dim=1)
        anchor = (positives > 0).to(z.dtype)
        each = -torch.where(positive, log_share, 0.0).sum(dim=1) / positives.clamp(min=1)
        return each.sum() / anchor.sum().clamp(min=1), 1 - anchor.mean()


def simclr_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent (Chen et al. 2020, eq. 1): two views [n, d] of n images, projections, normalised here; mean over the 2n anchors.

    It is SupCon where each image is a class of its own: one positive, the 2n - 2 views of other images as negatives.
    """
    image = torch.arange(len(first), device=first.device)
    return supcon_loss(torch.cat((first, second)), torch.cat((image, image)), temperature)[0]


def ciao_loss(
    features: Tensor, labels: Tensor, temperature: float, denominator: str = "negatives", reduction: str = "mean"
) -> tuple[Tensor, Tensor]:
    """CIAO's contrastive loss (Barros & Sciutti 2022, equations 2 to 4). `features` [n, d] are normalised here; `labels` [n].

    Of image i: -1/(n - 1) sum over j of its label, j != i, of log(exp(z_i.z_j / t) / D_i). D_i = sum over k of exp(z_i.z_k / t): over the
    images of other labels ("negatives"), or over all but i ("all"). An image without any of those k has nothing to be told from: 0.
    `reduction` over images: "mean", or "sum" as printed.

    Returns the loss, and the share of images that no other shares its label with. Where no two labels agree the loss is 0 and its gradient
    exists and is 0.
    """
    with torch.autocast(features.device.type, enabled=False):
        z = _normalise_features(features)
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        alike = labels[:, None] == labels[None, :]
        among = ~alike if denominator == "negatives" else ~itself
        logits = z @ z.T / temperature
        total = logits.masked_fill(~among, torch.finfo(z.dtype).min / 2).logsumexp(dim=1, keepdim=True)
        positive = alike & ~itself
        counted = positive & among.any(dim=1, keepdim=True)
        each = -torch.where(counted, logits - total, 0.0).sum(dim=1) / max(len(z) - 1, 1)
        return each.sum() if reduction == "sum" else each.mean(), 1 - positive.any(dim=1).to(z.dtype).mean()


def measure_feature_spread(features: Tensor) -> Tensor:
    """Mean per-dimension standard deviation of the normalised features [n, d], times sqrt(d): 0 = collapsed, 1 = spread over the sphere."""
    with torch.autocast(features.device.type, enabled=False):
        z = _normalise_features(features)
        return z.std(dim=0, correction=0).mean() * z.shape[1] ** 0.5
