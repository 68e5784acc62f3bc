"""Acceptance: an encoder trained here must tell persons apart better than its input pixels do; otherwise its training has failed."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trainables.data.augment import normalise_images
from trainables.data.device_pixels import to_tensor
from trainables.data.task import Images
from trainables.methods.classifier import encode_images, measure_accuracy
from trainables.methods.method import Logs, Method, Phase
from trainables.random_streams import make_generator
from trainables.registry import BadRequest

MOST = 1500
"""largest number of images that a probe is fitted to, and largest number that it is scored on"""
RIDGES = (1e-3, 1e-1, 1e1, 1e3)


class LinearProbe(NamedTuple):
    """A linear classifier: `weight` [classes, d], `bias` [classes], and its accuracy on validation images."""

    weight: Tensor
    bias: Tensor
    accuracy: float


class AcceptancePhase(Phase):
    """Fits a linear probe to the frozen encoder's features and one to raw pixels. The first becomes the classifier."""

    name = "acceptance"
    epochs = 1

    def __init__(self, method: Method, needed: bool) -> None:
        """`needed`: an encoder that fails is refused with BadRequest; otherwise it only gets a warning."""
        self.method, self.needed = method, needed
        self.model = method.modules["classifier"]

    def begin_phase(self) -> None:
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.0)  # changes nothing: the probe is solved in closed form
        task = self.method.task
        train, val = self._sample_images("train", task.train), self._sample_images("val", task.val)
        classes, encoder = len(task.classes), self.method.modules["encoder"]
        features = (encode_images(encoder, train.pixels), encode_images(encoder, val.pixels))
        pixels = (normalise_images(to_tensor(train.pixels)).flatten(1), normalise_images(to_tensor(val.pixels)).flatten(1))
        self.found, self.pixels = (fit_probe(x_train, x_val, train.labels, val.labels, classes) for x_train, x_val in (features, pixels))

    def _sample_images(self, name: str, images: Images) -> Images:
        rows = make_generator(self.method.seed, "acceptance", name).permutation(len(images.rows))[:MOST]
        return Images(images.pixels[rows], images.labels[rows], images.rows[rows])

    def start_epoch(self, epoch: int) -> int:
        return 1

    @torch.no_grad()
    def train_step(self, step: int) -> Logs:
        assert isinstance(self.model, nn.Linear)
        self.model.weight.copy_(self.found.weight)
        self.model.bias.copy_(self.found.bias)
        return {"train/loss": torch.tensor(1 - self.found.accuracy, device=self.model.weight.device)}

    def finish_epoch(self, epoch: int) -> dict[str, float]:
        val = self.method.task.val
        scores = {"probe/encoder": self.found.accuracy, "probe/pixels": self.pixels.accuracy}
        return scores | {"val/accuracy": measure_accuracy(self.method.compute_logits(val.pixels), val.labels)}

    def list_warnings(self, rows: list[dict[str, Any]]) -> list[str]:
        encoder, pixels = rows[-1]["probe/encoder"], rows[-1]["probe/pixels"]
        if encoder > pixels:
            return []
        comparison = f"a linear probe identifies {encoder:.1%} of persons from the encoder's features and {pixels:.1%} from raw pixels"
        if self.needed:
            raise BadRequest(f"the encoder is not accepted: {comparison}; train it longer")
        return [f"weak encoder: {comparison}"]


def fit_probe(train: Tensor, val: Tensor, labels: Tensor, truth: Tensor, classes: int) -> LinearProbe:
    """Return the ridge regression from `train` [n, d] to one-hot `labels` [n] that is most accurate on `val` [m, d] with `truth` [m].

    Features are standardised first. The solution uses the dual form [n, n]: d may be much larger than n.
    """
    mean, scale = train.double().mean(0), train.double().std(0).clamp(min=1e-6)
    x, y = (train.double() - mean) / scale, (val.double() - mean) / scale
    values, vectors = torch.linalg.eigh(x @ x.T / x.shape[1])
    codes = vectors.T @ (nn.functional.one_hot(labels, classes).double() - 1 / classes)
    probes = []
    for ridge in RIDGES:
        weight = x.T @ (vectors @ (codes / (values.clamp(min=0) + ridge)[:, None])) / x.shape[1]
        accuracy = (y @ weight).argmax(1).eq(truth).double().mean().item()
        probes.append(LinearProbe((weight / scale[:, None]).T, 1 / classes - (mean / scale) @ weight, accuracy))
    return max(probes, key=lambda each: each.accuracy)
