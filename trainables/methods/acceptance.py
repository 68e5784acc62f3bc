"""Acceptance: a self-trained encoder must tell persons apart better than the pixels it is fed with, or its training has failed."""

from typing import Any

import torch

from trainables.data.augment import normalise
from trainables.data.task import Images, Task
from trainables.methods.method import Logs, Phase
from trainables.methods.recipe import encode
from trainables.registry import BadRequest
from trainables.streams import stream

MOST = 1500
"""images that a probe is fitted to, and as many at most to test it on"""
RIDGES = (1e-3, 1e-1, 1e1, 1e3)


class Acceptance(Phase):
    """A linear probe on persons (ridge regression on one-hot codes, in closed form): trained on training, scored on validation images."""

    name = "acceptance"
    epochs = 1

    def __init__(self, method: Any, encoder: torch.nn.Module, needed: bool = True) -> None:
        """`needed`: an encoder that does not pass is refused; else it is only told of."""
        self.method, self.encoder, self.needed = method, encoder, needed
        self.model = torch.nn.ParameterList([torch.zeros(1)])  # nothing moves
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.0)

    def begin(self) -> None:
        task: Task = self.method.task
        rng = stream(self.method.seed, "acceptance")
        train, val = (self._some(images, rng.permutation(len(images.rows))[:MOST]) for images in (task.train, task.val))
        classes = len(task.classes)
        features = [encode(self.encoder, images.pixels) for images in (train, val)]
        pixels = [normalise(images.pixels).flatten(1) for images in (train, val)]
        self.features, self.pixels = (probe(*each, train.labels, val.labels, classes) for each in (features, pixels))

    def _some(self, images: Images, rows: Any) -> Images:
        return Images(images.pixels[rows], images.labels[rows], images.rows[rows])

    def start(self, epoch: int) -> int:
        return 1

    def step(self, step: int) -> Logs:
        return {"train/loss": torch.tensor(1 - self.features)}

    def finish(self, epoch: int) -> dict[str, float]:
        return {"probe/encoder": self.features, "probe/pixels": self.pixels}

    def end(self, rows: list[dict[str, Any]]) -> list[str]:
        if self.features > self.pixels:
            return []
        said = f"a linear probe names {self.features:.1%} of persons from the encoder's features and {self.pixels:.1%} from raw pixels"
        if self.needed:
            raise BadRequest(f"the encoder is not accepted: {said}; train it longer")
        return [f"weak encoder: {said}"]


def probe(train: torch.Tensor, val: torch.Tensor, labels: torch.Tensor, truth: torch.Tensor, classes: int) -> float:
    """Accuracy on `val` [m, d] of the best ridge regression from `train` [n, d] to one-hot codes of `labels` [n]; `truth` [m]."""
    mean, scale = train.double().mean(0), train.double().std(0).clamp(min=1e-6)
    train, val = (train.double() - mean) / scale, (val.double() - mean) / scale
    values, vectors = torch.linalg.eigh(train @ train.T / train.shape[1])
    codes = vectors.T @ (torch.nn.functional.one_hot(labels, classes).double() - 1 / classes)
    across = val @ train.T / train.shape[1] @ vectors
    return max(((across / (values.clamp(min=0) + ridge)) @ codes).argmax(1).eq(truth).double().mean().item() for ridge in RIDGES)
