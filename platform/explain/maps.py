"""Maps of what a network looks at, computed in batches: Grad-CAM and Grad-CAM++ by the pytorch-grad-cam library, saliency by autograd."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from search_spaces.pictures import MapKind
from trainables.data.augment import normalise_images

BATCH = 256
"""images, or frames of clips, that are passed through a network at once"""
Find = Callable[[torch.Tensor, torch.Tensor], np.ndarray]
"""(float images or clips, outputs) -> maps of a batch"""


def compute_scores(network: nn.Module, pixels: torch.Tensor, batch: int = BATCH) -> torch.Tensor:
    """Return a network's outputs float32 [n, k] for images uint8 [n, c, s, s] or clips [n, frames, c, s, s]."""
    with torch.no_grad():
        return torch.cat([network(normalise_images(images)) for images in pixels.split(_count_items(pixels, batch))]).float()


def compute_maps(
    network: nn.Module, layer: nn.Module, pixels: torch.Tensor, outputs: torch.Tensor, how: MapKind, batch: int = BATCH
) -> np.ndarray:
    """Return maps float32 [n, s, s] of images uint8 [n, c, s, s], or [n, frames, s, s] of clips, for the given output of each (int64 [n]).

    Each map, of each frame, is scaled to 0 to 1 by itself; it is 0 everywhere if nothing there raises the output.
    """
    compute_batch = _make_saliency(network) if how == "saliency" else _make_cams(network, layer, how)
    items = _count_items(pixels, batch)
    parts = [compute_batch(normalise_images(images), some) for images, some in zip(pixels.split(items), outputs.split(items), strict=True)]
    return np.concatenate(parts).astype(np.float32)


def compute_gradients(network: nn.Module, pixels: torch.Tensor, outputs: torch.Tensor) -> np.ndarray:
    """Return |d output / d pixel| of the given output of each image or clip: float32 of the shape of `pixels`."""
    return _backpropagate_outputs(network, normalise_images(pixels), outputs).numpy()


def _count_items(pixels: torch.Tensor, batch: int) -> int:
    """Return how many images or clips have `batch` images or frames."""
    return max(1, batch // int(np.prod(pixels.shape[1:-3])))


class _FlatClips(nn.Module):
    """A network of clips as one of their frames, one clip after another: pytorch-grad-cam takes five dimensions for a volume's."""

    def __init__(self, network: nn.Module, frames: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.frames = network, frames

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.network(images.unflatten(0, (-1, *self.frames)))
        return result


def _make_cams(network: nn.Module, layer: nn.Module, how: MapKind) -> Find:
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus  # slow imports, needed only here
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cam_class = GradCAM if how == "gradcam" else GradCAMPlusPlus

    def find(images: torch.Tensor, outputs: torch.Tensor) -> np.ndarray:
        frames = images.shape[1:-3]
        cam = cam_class(_FlatClips(network, tuple(frames)) if frames else network, [layer])
        try:
            maps: np.ndarray = cam(images.flatten(0, -4).requires_grad_(), [ClassifierOutputTarget(output) for output in outputs.tolist()])
            return maps.reshape(len(images), *frames, *maps.shape[-2:])
        finally:
            cam.activations_and_grads.release()

    return find


def _make_saliency(network: nn.Module) -> Find:
    def find(images: torch.Tensor, outputs: torch.Tensor) -> np.ndarray:
        largest = _backpropagate_outputs(network, images, outputs).amax(-3)
        return (largest / largest.amax((-2, -1), keepdim=True).clamp(min=1e-12)).numpy()

    return find


def _backpropagate_outputs(network: nn.Module, images: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    images = images.requires_grad_()
    (gradients,) = torch.autograd.grad(network(images).gather(1, outputs[:, None]).sum(), images)
    return gradients.abs()
