"""Weights of other origin: loaded by name, in order, from every format. Others are refused in one line, before any of their code runs."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from trainables.methods.identity import IdentityRecipe
from trainables.models import build_encoder
from trainables.models.weights import Weights
from trainables.registry import BadRequest
from trainables.settings import resolve_settings


def encoder(seed: int = 0, name: str = "pk") -> nn.Module:
    torch.manual_seed(seed)
    return build_encoder(name, channels=3, size=32, **({"width": 1 / 16} if name != "pocket" else {}))


def safetensors(state: dict[str, torch.Tensor]) -> bytes:
    header, body = {}, b""
    for name, value in state.items():
        data = value.numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    coded = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    return len(coded).to_bytes(8, "little") + coded + body


def keras(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return PK's convolutions as in Keras: kernels [height, width, in, out], a dense layer last, names that sort in another order."""
    kernels = [value for value in state.values() if value.ndim == 4]
    biases = [value for value in state.values() if value.ndim == 1]
    arrays: dict[str, np.ndarray] = {}
    for number, (kernel, bias) in enumerate(zip(kernels, biases, strict=True), 1):
        arrays[f"Encoder_conv{number + 8}/bias:0"] = bias.numpy()
        arrays[f"Encoder_conv{number + 8}/kernel:0"] = kernel.permute(2, 3, 1, 0).numpy()
    dense = {"Encoder_fc/kernel:0": np.zeros((4, 50), np.float32), "Encoder_fc/bias:0": np.zeros(50, np.float32)}
    return dict(reversed(arrays.items())) | dense


def saved(path: Path, state: dict[str, torch.Tensor], prefix: str = "") -> Path:
    """Write the state in the format of the path's suffix. Return the path."""
    named = {f"{prefix}{name}": value for name, value in state.items()}
    if path.suffix == ".safetensors":
        path.write_bytes(safetensors(named))
    elif path.suffix == ".npz":
        np.savez(path, **keras(state))
    elif path.suffix == ".h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for name, value in keras(state).items():
                file[name] = value
    else:
        torch.save(named, path)
    return path


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.safetensors", "a.npz", "a.h5"])
def test_what_was_saved_is_loaded(tmp_path: Path, name: str) -> None:
    source, target = encoder(1), encoder(2)
    Weights.model_validate(str(saved(tmp_path / name, source.state_dict()))).load_into(target)
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value)


@pytest.mark.parametrize("prefix", ["encoder.", "module."])
def test_a_prefix_and_a_wrapper_are_looked_through(tmp_path: Path, prefix: str) -> None:
    source, target = encoder(1, "pocket"), encoder(2, "pocket")
    named = {f"{prefix}{name}": value for name, value in source.state_dict().items()}
    torch.save({"state_dict": named | {"classifier.weight": torch.zeros(3, 128)}}, tmp_path / "a.pt")
    Weights.model_validate(str(tmp_path / "a.pt")).load_into(target)
    assert all(torch.equal(target.state_dict()[name], value) for name, value in source.state_dict().items())


def test_vgg_by_other_names_is_filled_in_order(tmp_path: Path) -> None:
    """The names are torchvision's: features.0.weight, features.2.weight, ... features.28.bias, and a classifier after them."""
    source, target = encoder(1, "vgg_face"), encoder(2, "vgg_face")
    state = {name.replace("layers.", "features."): value for name, value in source.state_dict().items()}
    torch.save(state | {"classifier.0.weight": torch.zeros(8, 8), "classifier.0.bias": torch.zeros(8)}, tmp_path / "a.pth")
    Weights.model_validate(str(tmp_path / "a.pth")).load_into(target)
    assert all(torch.equal(target.state_dict()[name], value) for name, value in source.state_dict().items())


def test_the_content_is_in_the_setting(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", encoder(1).state_dict())
    weights = Weights.model_validate(str(path))
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert Weights.model_validate(weights.model_dump(mode="json")) == weights
    saved(path, encoder(3).state_dict())
    with pytest.raises(BadRequest, match=r"a\.pt: changed since this grid was made"):
        weights.load_into(encoder())


class Malicious:
    def __reduce__(self) -> tuple[Callable[..., int], tuple[str]]:
        return os.system, ("touch SHOULD_NOT_BE_HERE",)


@pytest.mark.parametrize("how", ["torch", "pickle", "wrapped"])
def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pt"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Malicious()))
    else:
        torch.save(Malicious() if how == "torch" else {"a": torch.zeros(1), "b": Malicious()}, path)
    with pytest.raises(BadRequest, match=r"a\.pt: refused: it contains pickled objects.*torch\.save") as caught:
        Weights.model_validate(str(path)).load_into(encoder())
    assert not (tmp_path / "SHOULD_NOT_BE_HERE").exists() and "\n" not in str(caught.value)


def test_an_npz_of_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.array([Malicious()], object))
    with pytest.raises(BadRequest, match=r"a\.npz: cannot be read as weights"):
        Weights.model_validate(str(tmp_path / "a.npz")).load_into(encoder())


@pytest.mark.parametrize("suffix", ["pt", "safetensors", "npz"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_one_line(tmp_path: Path, suffix: str, share: float) -> None:
    path = saved(tmp_path / f"a.{suffix}", encoder(1).state_dict())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadRequest, match=rf"a\.{suffix}: ") as caught:
        Weights.model_validate(str(path)).load_into(encoder())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state | {"convolutions.0.weight": torch.zeros(4, 1, 5, 5)},
            r"\.0\.weight has shape \(4, 1, 5, 5\), and",
        ),
        (lambda state: {"a": torch.zeros(2)}, r"holds 0 convolutions, and the encoder has 4"),
        (
            lambda state: state | {"convolutions.1.bias": torch.full((8,), torch.nan)},
            r"\.1\.bias holds values that are not numbers",
        ),
        (lambda state: {"a": 1}, "holds no state dict"),
    ],
)
def test_another_network_is_one_line(tmp_path: Path, change: Callable[..., object], message: str) -> None:
    torch.save(change(encoder(1).state_dict()), tmp_path / "a.pt")
    with pytest.raises(BadRequest, match=message) as caught:
        Weights.model_validate(str(tmp_path / "a.pt")).load_into(encoder())
    assert "\n" not in str(caught.value)


def test_a_normalised_encoder_is_not_guessed_in_order(tmp_path: Path) -> None:
    saved(tmp_path / "a.npz", encoder(1).state_dict())
    with pytest.raises(BadRequest, match=r"has not the encoder's names, such as .*only encoders of convolutions alone"):
        Weights.model_validate(str(tmp_path / "a.npz")).load_into(encoder(0, "pocket"))


def test_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"of method identity: .*gone\.pt: cannot be read \(No such file"):
        resolve_settings(IdentityRecipe, {"weights": str(tmp_path / "gone.pt")}, "method identity")
