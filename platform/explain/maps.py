"""Maps of what a network looks at, computed in batches: Grad-CAM and Grad-CAM++ by the pytorch-grad-cam library, saliency by autograd."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from platform.report.map_kinds import MapKind
from trainables.data.augment import normalise_images

Find = Callable[[nn.Module, torch.Tensor, torch.Tensor | None], tuple[np.ndarray, torch.Tensor]]
"""(network, float images, classes) -> (maps, scores) of a batch"""


class SaliencyMaps(NamedTuple):
    """Maps and predictions of n images."""

    maps: np.ndarray
    """float32 [n, s, s], 0 to 1; 0 everywhere if nothing supports the class"""
    probabilities: np.ndarray
    """float32 [n, classes]"""


def compute_maps(
    network: nn.Module, layer: nn.Module, pixels: torch.Tensor, classes: torch.Tensor | None, how: MapKind, batch: int = 256
) -> SaliencyMaps:
    """Return maps of images uint8 [n, c, s, s], for the given class of each (int64 [n]) or for the predicted class."""
    compute_batch = _compute_saliency if how == "saliency" else _compute_cams(network, layer, how)
    parts = [compute_batch(network, normalise_images(images), targets) for images, targets in _split_batches(pixels, classes, batch)]
    probabilities = np.concatenate([scores.detach().softmax(1).numpy() for _, scores in parts])
    return SaliencyMaps(np.concatenate([batch_maps for batch_maps, _ in parts]).astype(np.float32), probabilities.astype(np.float32))


def compute_gradients(network: nn.Module, pixels: torch.Tensor, classes: torch.Tensor) -> np.ndarray:
    """Return |d score / d pixel| of the given class: float32 [n, c, s, s]."""
    return _backpropagate_scores(network, normalise_images(pixels), classes)[0].numpy()


def _split_batches(pixels: torch.Tensor, classes: torch.Tensor | None, batch: int) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    targets = classes.split(batch) if classes is not None else [None] * -(-len(pixels) // batch)
    return list(zip(pixels.split(batch), targets, strict=True))


def _compute_cams(network: nn.Module, layer: nn.Module, how: MapKind) -> Find:
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus  # slow imports, needed only here
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cam_class = GradCAM if how == "gradcam" else GradCAMPlusPlus

    def find(network: nn.Module, images: torch.Tensor, wanted: torch.Tensor | None) -> tuple[np.ndarray, torch.Tensor]:
        cam = cam_class(network, [layer])
        try:
            maps = cam(images.requires_grad_(), None if wanted is None else [ClassifierOutputTarget(target) for target in wanted.tolist()])
            return maps, cam.outputs
        finally:
            cam.activations_and_grads.release()

    return find


def _compute_saliency(network: nn.Module, images: torch.Tensor, wanted: torch.Tensor | None) -> tuple[np.ndarray, torch.Tensor]:
    gradients, scores = _backpropagate_scores(network, images, wanted)
    largest = gradients.amax(1)
    return (largest / largest.amax((1, 2), keepdim=True).clamp(min=1e-12)).numpy(), scores


def _backpropagate_scores(network: nn.Module, images: torch.Tensor, wanted: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    images = images.requires_grad_()
    scores = network(images)
    wanted = scores.argmax(1) if wanted is None else wanted
    (gradients,) = torch.autograd.grad(scores.gather(1, wanted[:, None]).sum(), images)
    return gradients.abs(), scores
