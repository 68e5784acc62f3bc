"""The description of an exported training, as plain data: what the network takes and gives, and how it came about.

It names no path, no host and no person: a model is carried to other machines.
"""

from importlib.metadata import version
from pathlib import PurePath
from typing import Any

from platform.export.choose_training import Choice
from platform.report.read_run_folder import PROCESS
from trainables.cell import Data
from trainables.data.dataset import readers
from trainables.data.source import Source, list_parts
from trainables.load_network import TrainedNetwork

PICTURES = "the central square of the upright picture, resized by area (by linear interpolation where it is smaller)"
SCORES = {"label": "softmax", "votes": "softmax", "affect": "tanh", "labels": "sigmoid"}
"""by target: the function that makes scores of logits"""


def describe_training(choice: Choice, trained: TrainedNetwork, run: str) -> dict[str, Any]:
    """Return the description. `run` is the name of the run folder."""
    cell, result = choice.cell, choice.result
    shape = ["n", *(["frames"] if trained.input.clips else []), trained.input.channels, trained.input.size, trained.input.size]
    return {
        "input": {
            **trained.input._asdict(),
            "shape": shape,
            "type": "uint8",
            "preprocessing": f"{PICTURES}, in {'grey' if trained.input.colour == 'grey' else 'RGB'}, 0 to 255",
            "normalisation": "x / 127.5 - 1, inside the model",
        },
        "outputs": {"names": list(trained.classes), "target": trained.target, "scores": f"{SCORES[trained.target]} of the logits"},
        "training": {
            "run": run,
            "name": cell.name,
            "key": cell.key,
            "paper": choice.study.source,
            **{name: getattr(cell, name) for name in ("study", "scale", "axes", "task", "task_settings", "method", "version")},
            "method_settings": _hide_paths(cell.method_settings),
            "parent": cell.parent,
            "selected_epoch": result["selected_epoch"],
        },
        "data": {role: _describe_data(data) for role, data in cell.data.items()},
        "metrics": result["metrics"],
        "counts": result.get("counts"),
        "confusion": result.get("confusion"),
        "flags": result["flags"],
        "copies": result.get("copies"),
        "split": {**(result.get("split") or {}), "hash": result["split_hash"]},
        "provenance": {fact: value for fact, value in result["provenance"].items() if fact not in (*PROCESS, "host")},
        "exported_with": {"torch": version("torch")},
    }


def _describe_data(data: Data) -> dict[str, Any]:
    return {"title": data.title, "fingerprint": data.fingerprint, "sets": [_describe_source(part) for part in list_parts(data.source)]}


def _describe_source(source: Source) -> dict[str, Any]:
    """Return what others may know of a data set's source: no path, and of options no file."""
    reader = readers().get(source.kind)
    options = {name: value for name, value in source.options if value not in source.list_files()}
    return {
        "kind": source.kind,
        "population": source.population,
        "options": options,
        "licence": reader.licence if reader else "",
        "request_at": reader.source if reader else "",
    }


def _hide_paths(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings in which a file of initial weights is named without its folder; its hash tells which it is."""
    weights = settings.get("weights")
    return settings | {"weights": weights | {"path": PurePath(weights["path"]).name}} if weights else settings
