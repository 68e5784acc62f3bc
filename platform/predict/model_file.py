"""Model files of python -m platform.export: what is written into each of its three formats beside the network, and how each is read.

A model takes pictures as uint8 [n, channels, size, size] (clips: [n, frames, channels, size, size]) and returns logits and scores, both
float32 [n, outputs]; it normalises the pictures itself. Its description is JSON: ONNX metadata of the name KEY, the extra file
`KEY.json` of torch.export's archive, or the entry KEY of a dictionary that torch.save has written.
"""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables.cell import Cell
from trainables.data.prediction_targets import TARGETS
from trainables.load_network import NetworkInput, restore_network
from trainables.registry import BadRequest, describe_os_error, join_lines

KEY = "ferray"
INPUT, OUTPUTS = "pictures", ("logits", "scores")
"""names of the input and the outputs of an ONNX model"""
STATE = "state_dict"
FORMATS = {"onnx": ".onnx", "pt2": ".pt2", "state_dict": ".pt"}
"""by format: the suffix of its files"""
UNREADABLE = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, AssertionError)
"""what readers raise for a file that is damaged or of another kind"""
Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Model:
    """A model that has been read."""

    description: dict[str, Any]
    input: NetworkInput
    names: tuple[str, ...]
    """the meaning of each output"""
    target: str
    compute: Callable[[np.ndarray], Arrays]
    """pictures to logits and scores"""


def read_model(path: str | Path) -> Model:
    """Read a model file of any of the three formats. Raises BadRequest for any other file.

    PyTorch's reader of .pt2 files may run code that is in them: open only those of people you trust. The other two formats hold no code.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise BadRequest(f"{path}: {describe_os_error(error)}") from None
    try:
        if not zipfile.is_zipfile(io.BytesIO(content)):
            return _read_onnx(path, content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            extra = [name for name in archive.namelist() if name.endswith(f"/extra/{KEY}.json")]
            if damaged := archive.testzip():
                raise BadRequest(f"{path}: is damaged at {damaged}; export it again")
        return _read_pt2(content) if extra else _read_state_dict(content)
    except BadRequest:
        raise
    except pickle.UnpicklingError:
        raise _make_unknown_file_error(path, "it holds pickled objects, which could run code") from None
    except UNREADABLE as error:
        raise _make_unknown_file_error(path, join_lines(error)) from None


def _read_onnx(path: str | Path, content: bytes) -> Model:
    try:
        import onnxruntime
    except ImportError:
        raise _make_unknown_file_error(path, "if it is ONNX, reading it needs onnxruntime: pip install 'ferray[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes of errors are not public
        raise _make_unknown_file_error(path, join_lines(error)) from None
    description = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
    return _make_model(description, lambda pictures: tuple(session.run(list(OUTPUTS), {INPUT: pictures})))


def _read_pt2(content: bytes) -> Model:
    extra = {f"{KEY}.json": ""}
    program = torch.export.load(io.BytesIO(content), extra_files=extra)
    network = program.module()

    def compute(pictures: np.ndarray) -> Arrays:
        with torch.no_grad():
            logits, scores = network(torch.from_numpy(pictures))
        return logits.numpy(), scores.numpy()

    return _make_model(json.loads(extra[f"{KEY}.json"]), compute)


def _read_state_dict(content: bytes) -> Model:
    saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    description = json.loads(saved[KEY])
    network = restore_network(make_described_cell(description), description["outputs"]["names"], saved[STATE])

    def compute(pictures: np.ndarray) -> Arrays:
        logits = network.compute_logits(torch.from_numpy(pictures))
        return logits.numpy(), TARGETS[network.target].compute_predictions(logits).numpy()

    return _make_model(description, compute)


def _make_model(description: dict[str, Any], compute: Callable[[np.ndarray], Any]) -> Model:
    entry, outputs = description["input"], description["outputs"]
    network_input = NetworkInput(int(entry["size"]), str(entry["colour"]), bool(entry["clips"]))
    target = outputs["target"]
    if target not in TARGETS:
        raise ValueError(f"it predicts {target!r}, which this version of ferray does not know")
    return Model(description, network_input, tuple(map(str, outputs["names"])), target, compute)


def make_described_cell(description: dict[str, Any]) -> Cell:
    """Return the cell of a description, without its data: enough to build the network, not to train it."""
    names = ("study", "scale", "axes", "task", "task_settings", "method", "method_settings", "version")
    return Cell(**{name: description["training"][name] for name in names}, data={})


def _make_unknown_file_error(path: str | Path, reason: str) -> BadRequest:
    return BadRequest(f"{path}: is no model of python -m platform.export ({', '.join(FORMATS)}): {reason}")
