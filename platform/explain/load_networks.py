"""Networks of finished cells, loaded with trained and with initial parameters; and the layer from which a map is taken."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from platform.explain.maps import compute_scores
from trainables.cell import Cell, Value
from trainables.data.augment import normalise_images
from trainables.data.prediction_targets import TARGETS
from trainables.data.task import Task
from trainables.loop import make_method, make_task
from trainables.models.fixed_layers import get_fixed_layers
from trainables.registry import BadRequest, make_unknown_error
from trainables.storage.store import RunFolder

CPU = torch.device("cpu")
COARSEST = 6
"""minimum side of a map in pixels: a smaller map cannot tell an eye from a brow"""
LAST = "last"
"""the name that stands for the last convolution's map"""
HASHED = 1024
"""images that are read at once where a data set is too large to be held"""


@dataclass(frozen=True)
class LoadedNetwork:
    """A cell's network on the CPU, in evaluation mode, in fp32."""

    arm: str
    replicate: Value
    task: Task
    network: nn.Module
    """float images [n, c, s, s], or clips [n, frames, c, s, s] if the task has clips, to outputs, with the selected epoch's parameters"""
    untrained: nn.Module
    """the same with random initial parameters, not its parent's: its maps show what does not depend on the weights"""
    seen: set[bytes] = field(repr=False)
    """`hash_images` of its training and validation images"""

    def predict(self, pixels: torch.Tensor) -> np.ndarray:
        """Return predictions float32 [n, outputs] of images or clips, as the task's target defines them."""
        return TARGETS[self.task.target].compute_predictions(compute_scores(self.network, pixels)).numpy()


def load_networks(cell: Cell, compared: str, replicated: str, folder: RunFolder) -> LoadedNetwork:
    """Load a cell's networks. BadRequest if the cell has kept no parameters."""
    state = folder.get_checkpoint(cell.key)
    if not state or "modules" not in state or "phase" in state:
        raise BadRequest(f"{cell.name} has kept no parameters")
    task = make_task(cell, CPU)
    trained, untrained = make_method(cell, task), make_method(cell, task)
    trained.modules.load_state_dict(state["modules"])
    seen = {digest for images in (task.train, task.val) for digest in hash_images(images.pixels)}
    return LoadedNetwork(
        str(cell.axes[compared]),
        cell.axes[replicated],
        task,
        _freeze_network(trained.build_network()),
        _freeze_network(untrained.build_network()),
        seen,
    )


def hash_images(pixels: torch.Tensor) -> list[bytes]:
    """Return hashes of the images' or clips' bytes, which identify them across data sets, splits and rows."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for images in pixels.split(HASHED) for image in images.numpy()]


def find_layer(network: nn.Module, image: torch.Tensor, wanted: str | None) -> tuple[str, nn.Module, int]:
    """Return the name of the layer from which a map is taken, the layer, and the side of its map. `image` [1, c, s, s], or a clip, is
    passed through the network.

    LAST is the end of the last stage of convolutions (or fixed first layers), after its activation, and its mask if there is one. If
    `wanted` is None, this is the end of the last stage whose maps have a side of COARSEST or more; if there is none, of the stage with
    the finest maps. BadRequest for a name that is no layer with a map, and for a network without convolutions.
    """
    outputs: dict[str, tuple[nn.Module, int]] = {}
    hooks = []
    for name, module in network.named_modules():

        def note(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            if isinstance(output, torch.Tensor) and output.ndim == 4:
                outputs.pop(name, None)
                outputs[name] = module, output.shape[-1]  # in the order in which the modules finish

        hooks.append(module.register_forward_hook(note))
    with torch.no_grad():
        network(normalise_images(image))
    for hook in hooks:
        hook.remove()
    names = {name.removeprefix("encoder."): name for name in outputs if name}
    if wanted not in (None, LAST):
        if wanted.removeprefix("encoder.") not in names:
            raise make_unknown_error("layer", wanted, names)
        name = names[wanted.removeprefix("encoder.")]
        return (name, *outputs[name])
    fixed = get_fixed_layers(getattr(network, "encoder", network))
    sides = [side for module, side in outputs.values() if isinstance(module, nn.Conv2d) or module is fixed]
    if not sides:
        raise BadRequest("this network has no convolutions, which Grad-CAM needs; use --how saliency")
    fine_sides = sides if wanted == LAST else [side for side in sides if side >= COARSEST] or [max(sides)]
    name = [name for name, (_, side) in outputs.items() if side == fine_sides[-1]][-1]
    return (name, *outputs[name])


def _freeze_network(network: nn.Module) -> nn.Module:
    """Set evaluation mode, and turn off in-place operations, which would overwrite a recorded activation."""
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    return network.eval()
