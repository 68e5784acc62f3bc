"""Networks of finished trainings, loaded from a run folder alone: no data set is read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from trainables.cell import Cell
from trainables.data.augment import normalise_images
from trainables.data.prediction_targets import TARGETS
from trainables.data.task import TASKS, Images, Task
from trainables.loop import make_method
from trainables.registry import BadRequest, join_lines
from trainables.settings import resolve_settings
from trainables.storage.store import RunFolder

BATCH = 256
"""images that are passed through a network at once"""


class NetworkInput(NamedTuple):
    """What a network takes: images uint8 [n, channels, size, size], or clips of such images, [n, frames, channels, size, size]."""

    size: int
    colour: str
    """ "grey" or "rgb" """
    clips: bool

    @property
    def channels(self) -> int:
        return 1 if self.colour == "grey" else 3

    def make_pixels(self, number: int, frames: int = 1) -> Tensor:
        """Return black images, or clips of `frames` such images, in this number."""
        return torch.zeros(number, *([frames] if self.clips else []), self.channels, self.size, self.size, dtype=torch.uint8)


@dataclass(frozen=True)
class TrainedNetwork:
    """A training's network on the CPU, in evaluation mode, in fp32, with the parameters of the selected epoch."""

    cell: Cell
    input: NetworkInput
    classes: tuple[str, ...]
    """the meaning of each output"""
    target: str
    """name of the target in `trainables.data.prediction_targets.TARGETS`"""
    network: nn.Module
    """normalised float images to outputs [n, classes]"""

    @torch.no_grad()
    def compute_logits(self, pixels: Tensor) -> Tensor:
        """Return outputs float32 [n, classes] of images or clips, as `input` describes them."""
        return torch.cat([self.network(normalise_images(part)) for part in pixels.split(BATCH)]).float()

    def predict(self, pixels: Tensor) -> np.ndarray:
        """Return predictions float32 [n, classes]: probabilities, or valence and arousal."""
        return TARGETS[self.target].compute_predictions(self.compute_logits(pixels)).numpy()


def load_network(folder: RunFolder, key: str) -> TrainedNetwork:
    """Load the network of a finished training. Raises BadRequest if it has no result, or has kept no parameters."""
    result, state = folder.get_result(key), folder.get_checkpoint(key)
    if result is None:
        raise BadRequest(f"{folder.uri}: {key} is no finished training of this run")
    try:
        cell = Cell.from_json(folder.get_json("cells", key, "cell.json"))
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"{folder.get_path('cells', key, 'cell.json')}: cannot be read ({join_lines(error)})") from None
    if not state or "modules" not in state or "phase" in state:
        raise BadRequest(f"{folder.uri}: {cell.name} has kept no parameters; train it in another folder with --keep best")
    method = make_method(_leave_out_weights(cell), make_empty_task(cell, result["classes"]))
    try:
        method.modules.load_state_dict(state["modules"])
    except RuntimeError as error:
        raise BadRequest(f"{folder.uri}: the parameters of {cell.name} are another network's ({join_lines(error)})") from None
    return TrainedNetwork(cell, get_input(cell), tuple(result["classes"]), get_target(cell), method.build_network().eval())


def restore_network(cell: Cell, classes: Sequence[str], state: dict[str, Tensor]) -> TrainedNetwork:
    """Return a cell's network with the parameters of an earlier `TrainedNetwork.network`. Raises RuntimeError if they do not fit."""
    network = make_method(_leave_out_weights(cell), make_empty_task(cell, classes)).build_network()
    network.load_state_dict(state)
    return TrainedNetwork(cell, get_input(cell), tuple(classes), get_target(cell), network.eval())


def get_input(cell: Cell) -> NetworkInput:
    settings = _resolve_task(cell)
    grey = getattr(settings, "grey", False)  # the task `populations` reads colours and converts them
    return NetworkInput(settings.size, "grey" if grey else settings.colour, getattr(settings, "frames", None) is not None)


def get_target(cell: Cell) -> str:
    """Return the name of what the cell's network predicts. Only some tasks have several targets."""
    target = getattr(_resolve_task(cell), "target", None)
    return target if isinstance(target, str) and target in TARGETS else "label"


def make_empty_task(cell: Cell, classes: Sequence[str]) -> Task:
    """Return the cell's task without any image: what a method needs to build its modules."""
    images = Images(get_input(cell).make_pixels(0), torch.zeros(0, dtype=torch.int64), np.zeros(0, np.int64))
    partners = dict.fromkeys((*cell.data, "pool"), images)
    return Task(tuple(classes), images, images, images, "", {}, partners, gate=images, target=get_target(cell))


def _resolve_task(cell: Cell) -> Any:
    return resolve_settings(TASKS.find(cell.task).settings, cell.task_settings, f"task {cell.task}")


def _leave_out_weights(cell: Cell) -> Cell:
    """Return the cell without a file of initial weights, which the training's own parameters replace."""
    return replace(cell, method_settings=cell.method_settings | {"weights": None}) if cell.method_settings.get("weights") else cell
