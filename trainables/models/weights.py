"""Weights: an encoder's parameters from a file of another origin. Nothing in it is executed; all parameters are checked by shape."""

import hashlib
import io
import json
import math
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import Tensor, nn

from trainables.registry import BadRequest
from trainables.storage.bounded_archives import check_expansion, limit_expansion, read_npz

PREFIXES = ("", "encoder.", "module.", "model.", "backbone.")
_SAFE = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


class Weights(BaseModel):
    """A file of weights as a setting; its path suffices. A cell's key contains the hash of the content: another file is another cell."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str
    sha256: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        return {"path": os.path.abspath(os.path.expanduser(given))} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _add_hash(self) -> "Weights":
        if not self.sha256:
            object.__setattr__(self, "sha256", hashlib.sha256(self._read_bytes()).hexdigest())
        return self

    def _read_bytes(self) -> bytes:
        try:
            return Path(self.path).read_bytes()
        except OSError as error:
            raise BadRequest(f"{self.path}: cannot be read ({error.strerror or error})") from None

    def load_into(self, encoder: nn.Module) -> None:
        """Load the file's parameters into the encoder. BadRequest for a file that changed, cannot be read, or holds another network."""
        content = self._read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise BadRequest(f"{self.path}: changed since this grid was made; run the grid again to use the new content")
        fill_encoder(encoder, read_arrays(self.path, content), self.path)


def read_arrays(path: str, content: bytes) -> dict[str, Tensor]:
    """Return a file's arrays by name, in its order. BadRequest for an unknown format, or for a file that loads only by running code."""
    suffix = Path(path).suffix.lower()
    try:
        if suffix == ".safetensors":
            return _read_safetensors(content)
        if suffix == ".npz":
            return {name: torch.from_numpy(array) for name, array in read_npz(content).items()}
        if suffix in (".h5", ".hdf5", ".keras"):
            return _read_h5(path, content)
        return _load_state_dict(path, content)
    except pickle.UnpicklingError:
        reason = "refused: it contains pickled objects, and loading them could run arbitrary code"
        raise BadRequest(f"{path}: {reason}. Save it anew: torch.save(model.state_dict(), FILE)") from None
    except BadRequest:
        raise
    except Exception as error:  # the libraries may raise any exception for a damaged file; of memory, for a header that claims too much
        raise BadRequest(f"{path}: cannot be read as weights ({' '.join(str(error).split())[:200] or type(error).__name__})") from None


def fill_encoder(encoder: nn.Module, arrays: dict[str, Tensor], path: str) -> None:
    """Load arrays by name if the names are the encoder's; otherwise by convolution, in the kernel names' natural order.

    Kernels in Keras' layout are transposed. Arrays beyond the encoder's, such as a classifier's, are left out.
    """
    expected = encoder.state_dict()
    for prefix in PREFIXES:
        if all(f"{prefix}{name}" in arrays for name in expected):
            parameters = {name: arrays[f"{prefix}{name}"] for name in expected}
            break
    else:
        parameters = _fill_in_order(encoder, arrays, path)
    for name, value in parameters.items():
        if value.shape != expected[name].shape:
            raise BadRequest(f"{path}: {name} has shape {tuple(value.shape)}, and the encoder's has {tuple(expected[name].shape)}")
        if value.is_floating_point() and not value.isfinite().all():
            raise BadRequest(f"{path}: {name} holds values that are not numbers")
    encoder.load_state_dict(parameters)


def _fill_in_order(encoder: nn.Module, arrays: dict[str, Tensor], path: str) -> dict[str, Tensor]:
    """Return the parameters of an encoder of convolutions only, from the file's kernels (4-d) and the biases (1-d) beside them."""
    layers = {name: layer for name, layer in encoder.named_modules() if isinstance(layer, nn.Conv2d)}
    expected = {f"{name}.{part}" for name in layers for part in ("weight", "bias")}
    if mismatched := sorted(expected ^ set(encoder.state_dict())):
        raise BadRequest(
            f"{path}: has not the encoder's names, such as {mismatched[0]}; only encoders of convolutions alone are filled in order"
        )
    kernels = sorted((name for name in arrays if arrays[name].ndim == 4), key=_make_natural_key)
    biases = {_get_layer_name(name): name for name in arrays if arrays[name].ndim == 1}
    if len(kernels) < len(layers):
        raise BadRequest(f"{path}: holds {len(kernels)} convolutions, and the encoder has {len(layers)}")
    parameters: dict[str, Tensor] = {}
    for (name, layer), kernel in zip(layers.items(), kernels, strict=False):
        if _get_layer_name(kernel) not in biases:
            raise BadRequest(f"{path}: {kernel} has no bias beside it, and the encoder's convolutions have")
        weight = arrays[kernel]
        if weight.shape != layer.weight.shape and weight.permute(3, 2, 0, 1).shape == layer.weight.shape:
            weight = weight.permute(3, 2, 0, 1)  # Keras' order: height, width, in, out
        if weight.shape != layer.weight.shape:
            raise BadRequest(f"{path}: {kernel} has shape {tuple(arrays[kernel].shape)}, and {name} wants {tuple(layer.weight.shape)}")
        parameters |= {f"{name}.weight": weight.contiguous(), f"{name}.bias": arrays[biases[_get_layer_name(kernel)]]}
    return parameters


def _get_layer_name(name: str) -> str:
    """Return features.0 for features.0.weight, conv1_1 for conv1_1/conv1_1_W_1:0."""
    return name.rpartition("/" if "/" in name else ".")[0]


def _make_natural_key(name: str) -> list[tuple[bool, int, str]]:
    """Return a sort key that puts conv2_1 before conv10_1: a file's names may be in another order than its layers."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _read_safetensors(content: bytes) -> dict[str, Tensor]:
    """Read the format: 8 bytes with the header's length, the header as JSON, then the tensors' bytes, little-endian."""
    length = int.from_bytes(content[:8], "little")
    if length > len(content) - 8:
        raise ValueError("cut off within its header")
    header = json.loads(content[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    body = bytearray(content[8 + length :])
    tensors: dict[str, Tensor] = {}
    taken = 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        dtype = _SAFE[entry["dtype"]]
        taken += end - start
        if taken > len(body):
            raise ValueError("its tensors overlap")
        if not 0 <= start <= end <= len(body) or math.prod(entry["shape"]) * dtype.itemsize != end - start:
            raise ValueError(f"{name}: cut off")
        flat = torch.frombuffer(body[start:end], dtype=dtype) if end > start else torch.empty(0, dtype=dtype)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def _read_h5(path: str, content: bytes) -> dict[str, Tensor]:
    try:
        import h5py
    except ImportError:
        raise BadRequest(f"{path}: reading it needs h5py (pip install 'ferray[weights]'), or save its arrays as .npz") from None
    tensors: dict[str, Tensor] = {}
    total = 0

    def visit(name: str, thing: Any) -> str | None:
        nonlocal total
        if not isinstance(thing, h5py.Dataset):
            return None
        if thing.external or thing.is_virtual:
            return f"{name} lies in another file, which is not read"
        total += thing.nbytes
        if total > limit_expansion(len(content)):
            return f"its arrays would take more than {total / 2**20:,.0f} MiB, which a file of this size cannot hold"
        if thing.dtype.kind == "f":
            tensors[name] = torch.from_numpy(thing[()])
        return None

    def visit_link(name: str, link: Any) -> str | None:
        return f"{name} is a link to another file, which is not read" if isinstance(link, h5py.ExternalLink) else None

    with h5py.File(io.BytesIO(content), "r") as file:
        if fault := file.visititems_links(visit_link) or file.visititems(visit):  # what these return ends the visit
            raise ValueError(fault)
    return tensors


def _load_state_dict(path: str, content: bytes) -> dict[str, Tensor]:
    """Return the tensors by name that torch.save wrote. Neither its archive nor its tensors may claim more than it can hold."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            check_expansion(archive, len(content))
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    for wrapper in ("state_dict", "model", "modules"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) and value.layout is torch.strided for value in state.values()):
        raise BadRequest(f"{path}: holds no state dict (tensors by name)")
    if sum(value.nbytes for value in state.values()) > limit_expansion(len(content)):
        raise ValueError("its tensors are larger than a file of this size can hold")
    return state
