"""Networks of finished cells, opened again: trained, and as they were before; which layer a map is taken from."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from trainables.cell import Cell, Value
from trainables.data.augment import normalise_images
from trainables.data.task import Task
from trainables.loop import make_method, make_task
from trainables.registry import BadRequest, make_unknown_error
from trainables.storage.store import RunFolder

CPU = torch.device("cpu")
COARSEST = 6
"""pixels a side: a smaller map cannot tell an eye from a brow"""


@dataclass(frozen=True)
class LoadedNetwork:
    """A cell's network, on the CPU, in evaluation mode, in fp32."""

    arm: str
    replicate: Value
    task: Task
    network: nn.Module
    """float images [n, c, s, s] to class scores; the selected epoch's parameters"""
    untrained: nn.Module
    """the same before its first step: what does not depend on the weights is seen there, too"""
    seen: set[bytes] = field(repr=False)
    """`hash_images` of the images it was trained or selected on"""


def load_networks(cell: Cell, compared: str, replicated: str, folder: RunFolder) -> LoadedNetwork:
    """BadRequest where the cell has kept no parameters."""
    state = folder.get_checkpoint(cell.key)
    if not state or "modules" not in state or "phase" in state:
        raise BadRequest(f"{cell.name} has kept no parameters")
    task = make_task(cell, CPU)
    if task.test.pixels.ndim != 4:
        raise BadRequest(f"{cell.name} answers for clips, of which there are no maps; --only leaves it out")
    trained, untrained = make_method(cell, task), make_method(cell, task)
    trained.modules.load_state_dict(state["modules"])
    known = {print_ for images in (task.train, task.val) for print_ in hash_images(images.pixels)}
    return LoadedNetwork(
        str(cell.axes[compared]),
        cell.axes[replicated],
        task,
        _freeze_network(trained.build_network()),
        _freeze_network(untrained.build_network()),
        known,
    )


def hash_images(pixels: torch.Tensor) -> list[bytes]:
    """What tells images apart, whichever data set, part or row they come from: hashes of their bytes."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in pixels.numpy()]


def find_layer(network: nn.Module, image: torch.Tensor, wanted: str | None) -> tuple[str, nn.Module, int]:
    """The layer a map is taken from, its name, and its map's side; `image` [1, c, s, s] shows what the layers give.

    Without a wish: the end of the last stage of convolutions whose maps are COARSEST or more a side, or else of the finest. BadRequest
    for a name that is no layer with a map, or a network without convolutions.
    """
    found: dict[str, tuple[nn.Module, int]] = {}
    hooks = []
    for name, module in network.named_modules():

        def note(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            if isinstance(output, torch.Tensor) and output.ndim == 4:
                found.pop(name, None)
                found[name] = module, output.shape[-1]  # in the order in which they end

        hooks.append(module.register_forward_hook(note))
    with torch.no_grad():
        network(normalise_images(image))
    for hook in hooks:
        hook.remove()
    names = {name.removeprefix("encoder."): name for name in found if name}
    if wanted is not None:
        if wanted.removeprefix("encoder.") not in names:
            raise make_unknown_error("layer", wanted, names)
        name = names[wanted.removeprefix("encoder.")]
        return (name, *found[name])
    sides = [side for module, side in found.values() if isinstance(module, nn.Conv2d)]
    if not sides:
        raise BadRequest("this network has no convolutions, so there is no map of them; --how saliency needs none")
    fine = [side for side in sides if side >= COARSEST] or [max(sides)]
    name = [name for name, (_, side) in found.items() if side == fine[-1]][-1]
    return (name, *found[name])


def _freeze_network(network: nn.Module) -> nn.Module:
    """In evaluation mode; nothing in it overwrites a map that was just taken."""
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    return network.eval()
