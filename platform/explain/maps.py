"""Maps of what a network looks at: Grad-CAM and Grad-CAM++ by the pytorch-grad-cam library, saliency by autograd; a batch at a time."""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import nn

from trainables.data.augment import normalise_images

How = Literal["gradcam", "gradcam++", "saliency"]
HOWS: tuple[How, ...] = get_args(How)


Find = Callable[[nn.Module, torch.Tensor, torch.Tensor | None], tuple[np.ndarray, torch.Tensor]]
"""network, float images, classes -> maps and scores of a batch"""


class SaliencyMaps(NamedTuple):
    """Of n images, one each."""

    maps: np.ndarray
    """float32 [n, s, s], 0 to 1; 0 everywhere where nothing speaks for the class"""
    probabilities: np.ndarray
    """float32 [n, classes]"""


def compute_maps(
    network: nn.Module, layer: nn.Module, pixels: torch.Tensor, classes: torch.Tensor | None, how: How, batch: int = 256
) -> SaliencyMaps:
    """Of images uint8 [n, c, s, s], for the given class of each (int64 [n]), or for the one that the network answers."""
    find = _compute_saliency if how == "saliency" else _compute_cams(network, layer, how)
    parts = [find(network, normalise_images(part), wanted) for part, wanted in _split_batches(pixels, classes, batch)]
    shares = np.concatenate([scores.detach().softmax(1).numpy() for _, scores in parts])
    return SaliencyMaps(np.concatenate([found for found, _ in parts]).astype(np.float32), shares.astype(np.float32))


def compute_gradients(network: nn.Module, pixels: torch.Tensor, classes: torch.Tensor) -> np.ndarray:
    """|d score / d pixel| of the given class: float32 [n, c, s, s]."""
    return _backpropagate_scores(network, normalise_images(pixels), classes)[0].numpy()


def _split_batches(pixels: torch.Tensor, classes: torch.Tensor | None, batch: int) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    wanted = classes.split(batch) if classes is not None else [None] * -(-len(pixels) // batch)
    return list(zip(pixels.split(batch), wanted, strict=True))


def _compute_cams(network: nn.Module, layer: nn.Module, how: How) -> Find:
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus  # seconds of imports, which nobody else should wait for
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    kind = GradCAM if how == "gradcam" else GradCAMPlusPlus

    def find(network: nn.Module, images: torch.Tensor, wanted: torch.Tensor | None) -> tuple[np.ndarray, torch.Tensor]:
        cam = kind(network, [layer])
        try:
            found = cam(images, None if wanted is None else [ClassifierOutputTarget(each) for each in wanted.tolist()])
            return found, cam.outputs
        finally:
            cam.activations_and_grads.release()

    return find


def _compute_saliency(network: nn.Module, images: torch.Tensor, wanted: torch.Tensor | None) -> tuple[np.ndarray, torch.Tensor]:
    found, scores = _backpropagate_scores(network, images, wanted)
    largest = found.amax(1)
    return (largest / largest.amax((1, 2), keepdim=True).clamp(min=1e-12)).numpy(), scores


def _backpropagate_scores(network: nn.Module, images: torch.Tensor, wanted: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    images = images.requires_grad_()
    scores = network(images)
    wanted = scores.argmax(1) if wanted is None else wanted
    (found,) = torch.autograd.grad(scores.gather(1, wanted[:, None]).sum(), images)
    return found.abs(), scores
