"""Contrastive losses. They are pure functions that compute in fp32 or higher, under autocast too.

They never synchronise the device, because they run inside CUDA graphs.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def _normalise_features(features: Tensor) -> Tensor:
    return normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=1)


def supcon_loss(features: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return SupCon with the logarithm inside the mean over positives (L_out; Khosla et al. 2020, eq. 2), averaged over anchors.

    `features` [n, d] are projections, which are normalised here. `labels` is [n]. P(i) are the positives of anchor i: the other images of
    its label. The loss of anchor i is
    -1/|P(i)| sum over p in P(i) of log(exp(z_i.z_p / t) / sum over a != i of exp(z_i.z_a / t)).

    Returns the mean over the anchors that have a positive, and the share of anchors that have none. Without any positive, as for a single
    image, the loss is 0, and its gradient exists and is 0. There is no factor t / t_base, which would make t a learning rate.
    """
    with torch.autocast(features.device.type, enabled=False):
        z = _normalise_features(features)
        diagonal = torch.eye(len(z), dtype=torch.bool, device=z.device)
        # The mask value is finite, not -inf: the row of a single image would be all -inf, and logsumexp of such a row has a NaN gradient.
        logits = (z @ z.T / temperature).masked_fill(diagonal, torch.finfo(z.dtype).min / 2)
        log_probability = logits - logits.logsumexp(dim=1, keepdim=True)
        positive = (labels[:, None] == labels[None, :]) & ~diagonal
        positive_count = positive.sum(dim=1)
        has_positive = (positive_count > 0).to(z.dtype)
        losses = -torch.where(positive, log_probability, 0.0).sum(dim=1) / positive_count.clamp(min=1)
        return losses.sum() / has_positive.sum().clamp(min=1), 1 - has_positive.mean()


def simclr_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return NT-Xent (Chen et al. 2020, eq. 1) of two views [n, d] of n images, averaged over the 2n anchors.

    The views are projections, which are normalised here. The loss equals SupCon with each image as its own class: one positive, and the
    2n - 2 views of other images as negatives.
    """
    image_ids = torch.arange(len(first), device=first.device)
    return supcon_loss(torch.cat((first, second)), torch.cat((image_ids, image_ids)), temperature)[0]


def ciao_loss(
    features: Tensor, labels: Tensor, temperature: float, denominator: str = "negatives", reduction: str = "mean"
) -> tuple[Tensor, Tensor]:
    """Return CIAO's contrastive loss (Barros & Sciutti 2022, equations 2 to 4). `features` [n, d] are normalised here; `labels` is [n].

    The loss of image i is -1/(n - 1) times the sum of log(exp(z_i.z_j / t) / D_i) over all j != i that have the label of i.
    D_i is the sum of exp(z_i.z_k / t) over the images k of other labels ("negatives"), or over all k != i ("all"). If there is no such k,
    the image has nothing to be contrasted with, and its loss is 0. `reduction` over images is "mean", or "sum" as printed in the paper.

    Returns the loss, and the share of images whose label no other image has. If no two labels are equal the loss is 0, and its gradient
    exists and is 0.
    """
    with torch.autocast(features.device.type, enabled=False):
        z = _normalise_features(features)
        diagonal = torch.eye(len(z), dtype=torch.bool, device=z.device)
        same_label = labels[:, None] == labels[None, :]
        in_denominator = ~same_label if denominator == "negatives" else ~diagonal
        logits = z @ z.T / temperature
        log_denominator = logits.masked_fill(~in_denominator, torch.finfo(z.dtype).min / 2).logsumexp(dim=1, keepdim=True)
        positive = same_label & ~diagonal
        counted = positive & in_denominator.any(dim=1, keepdim=True)
        losses = -torch.where(counted, logits - log_denominator, 0.0).sum(dim=1) / max(len(z) - 1, 1)
        return losses.sum() if reduction == "sum" else losses.mean(), 1 - positive.any(dim=1).to(z.dtype).mean()


def measure_feature_spread(features: Tensor) -> Tensor:
    """Return the mean per-dimension standard deviation of the normalised features [n, d], times sqrt(d).

    0 means collapsed, 1 means spread over the sphere.
    """
    with torch.autocast(features.device.type, enabled=False):
        z = _normalise_features(features)
        result: Tensor = z.std(dim=0, correction=0).mean() * z.shape[1] ** 0.5
        return result
