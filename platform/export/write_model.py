"""Writes a trained network as one of three kinds of model file, and compares what the file computes with the network."""

import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from platform.predict.model_file import FORMATS, INPUT, KEY, OUTPUTS, STATE, read_model
from trainables.data.augment import normalise_images
from trainables.data.prediction_targets import TARGETS
from trainables.load_network import TrainedNetwork
from trainables.random_streams import make_generator
from trainables.registry import BadRequest, join_lines

TOLERANCE = 1e-4
"""largest difference of a logit, in units of the largest logit or 1"""
Write = Callable[[TrainedNetwork, str], bytes]


class ExportedNetwork(nn.Module):
    """A network with its normalisation and its scores: pictures uint8 [n, c, s, s] to logits and scores, float32 [n, k] each."""

    def __init__(self, trained: TrainedNetwork) -> None:
        super().__init__()
        self.network, self.target = trained.network, TARGETS[trained.target]

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(normalise_images(pictures)).float()
        return logits, self.target.compute_predictions(logits)


def write_model(trained: TrainedNetwork, description: dict[str, Any], kind: str) -> bytes:
    """Return the model file's content. Raises BadRequest if packages lack that the format needs, or if the network cannot be written."""
    text = json.dumps(description)
    with warnings.catch_warnings(action="ignore"):
        return WRITERS[kind](trained, text)


def write_state_dict(trained: TrainedNetwork, text: str) -> bytes:
    buffer = io.BytesIO()
    torch.save({KEY: text, STATE: trained.network.state_dict()}, buffer)
    return buffer.getvalue()


def write_pt2(trained: TrainedNetwork, text: str) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(_trace_network(trained), buffer, extra_files={f"{KEY}.json": text})
    return buffer.getvalue()


def write_onnx(trained: TrainedNetwork, text: str) -> bytes:
    try:
        import onnx
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise BadRequest(f"--to onnx needs {error.name}: pip install 'ferray[onnx]'") from None
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    program = torch.onnx.export(_trace_network(trained), input_names=[INPUT], output_names=list(OUTPUTS), verbose=False)
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, {KEY: text})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


WRITERS: dict[str, Write] = {"onnx": write_onnx, "pt2": write_pt2, "state_dict": write_state_dict}
assert WRITERS.keys() == FORMATS.keys()


def _trace_network(trained: TrainedNetwork) -> torch.export.ExportedProgram:
    """Return the network's graph, for any number of pictures and of frames of a clip."""
    dynamic = {0: torch.export.Dim("n"), **({1: torch.export.Dim("frames")} if trained.input.clips else {})}
    example = trained.input.make_pixels(3, frames=2)
    try:
        return torch.export.export(ExportedNetwork(trained), (example,), dynamic_shapes={"pictures": dynamic})
    except Exception as error:  # whatever a network does that a graph cannot hold
        raise BadRequest(f"{trained.cell.name}: this network has no graph ({join_lines(error)}); use --to state_dict") from None


def check_model(trained: TrainedNetwork, content: bytes, kind: str) -> float:
    """Read the model file and return the largest difference of its logits from the network's, in units of the largest logit or 1.

    Raises BadRequest if it exceeds TOLERANCE, and ImportError if onnxruntime is not installed.
    """
    if kind == "onnx":
        import onnxruntime  # noqa: F401
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / f"model{FORMATS[kind]}"
        file.write_bytes(content)
        model = read_model(file)
    worst = 0.0
    for number in (1, 5):
        pictures = make_test_pictures(trained, number)
        logits, scores = model.compute(pictures)
        expected = trained.compute_logits(torch.from_numpy(pictures))
        unit = max(1.0, float(expected.abs().max()))
        pairs = ((logits, expected), (scores, TARGETS[trained.target].compute_predictions(expected)))
        worst = max(worst, *(float(np.abs(written - own.numpy()).max()) / unit for written, own in pairs))
    if not worst <= TOLERANCE:
        raise BadRequest(f"{trained.cell.name}: the {kind} file computes other logits, by up to {worst:.2g}; nothing is written")
    return worst


def make_test_pictures(trained: TrainedNetwork, number: int) -> np.ndarray:
    """Return pictures, or clips of two, of noise at several scales: uint8 [number, ...]."""
    rng, size = make_generator(0, "test pictures"), trained.input.size
    shape = trained.input.make_pixels(number, frames=2).shape
    coarse = rng.uniform(0, 255, (*shape[:-2], 4, 4)).repeat(-(-size // 4), -1).repeat(-(-size // 4), -2)[..., :size, :size]
    return np.clip(coarse + rng.normal(0, 20, shape), 0, 255).astype(np.uint8)
