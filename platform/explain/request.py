"""A request for pictures of a run, the functions that make its maps, and the folder that holds its sheets."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from platform.explain.load_networks import LoadedNetwork, find_layer
from platform.explain.maps import compute_maps
from platform.explain.mean_maps import MapFunction
from platform.explain.select_cells import Condition, Narrowed
from platform.explain.sheets import Sheet
from platform.report.build_report_files import to_json_value
from platform.report.map_kinds import get_folder_name
from platform.report.read_run_folder import read_cells
from platform.report.write_report import write_report
from platform.tensorboard import board_writer
from search_spaces.pictures import ExplainedClass, MapKind
from search_spaces.study import STUDIES, Study
from trainables.storage.store import RunFolder


@dataclass(frozen=True)
class Request:
    """What is drawn of a run."""

    folder: RunFolder
    study: Study
    how: MapKind
    of: ExplainedClass
    layer: str | None
    """see `load_networks.find_layer`; None also for saliency"""
    count: int
    """number of test images"""
    narrowed: Narrowed
    condition: Condition
    notes: list[str]

    @property
    def place(self) -> str:
        return f" at {', '.join(f'{axis}={value}' for axis, value in self.condition.items())}" if self.condition else ""


def find_study(folder: RunFolder) -> Study:
    cell = read_cells(folder)[0]
    return STUDIES.find(cell.study)(cell.scale)  # type: ignore[arg-type]


def name_folder(request: Request, images: Path | None = None) -> list[str]:
    """Return the folder of the pictures below RUN/explain, by what the user asked for: only the same request has the same folder."""
    study, default = request.study, request.study.pictures
    parts = [f"{axis}-{'-'.join(map(str, request.narrowed[axis]))}" for axis in study.axes if axis in request.narrowed]
    parts += [f"class-{request.of}"] if request.of != default.of else []
    parts += [f"layer-{request.layer}"] if request.how != "saliency" and request.layer != default.layer else []
    parts += [f"images-{images.resolve().name}"] if images else []
    text = "-".join(parts)
    digest = hashlib.sha256(f"{text} {images.resolve() if images else ''}".encode()).hexdigest()[:6]
    readable = re.sub(r"[^\w.]+", "-", text.replace("+", "p")).strip("-")[:60]
    return [get_folder_name(request.how), *([f"{readable}-{digest}"] if text else [])]


def prepare_maps(networks: list[LoadedNetwork], request: Request) -> tuple[MapFunction, str]:
    """Return the function that makes maps, and the layer's name and side, by arms if they differ. BadRequest for an unknown layer."""
    layers: dict[int, torch.nn.Module] = {}
    arms_by_name: dict[str, list[str]] = {}
    for loaded in networks if request.how != "saliency" else ():
        for network in (loaded.network, loaded.untrained):
            name, layers[id(network)], side = find_layer(network, loaded.task.test.pixels[:1], request.layer)
        shown: str = getattr(loaded.network, "layer_names", {}).get(name, name.removeprefix("encoder."))
        arms_by_name.setdefault(f"{shown} ({side} x {side})", []).append(loaded.arm)

    def look(one: LoadedNetwork, pixels: torch.Tensor, outputs: torch.Tensor, untrained: bool) -> np.ndarray:
        network = one.untrained if untrained else one.network
        return compute_maps(network, layers.get(id(network), network), pixels, outputs, request.how)

    several = len(arms_by_name) > 1
    texts = [f"{name} of {', '.join(dict.fromkeys(arms))}" if several else name for name, arms in arms_by_name.items()]
    return look, " and ".join(texts)


def clear_folder(folder: RunFolder, parts: Sequence[str]) -> None:
    """Remove the files, not the folders, in a folder: an earlier call's, perhaps of other images."""
    for path in folder.files.find(folder.get_path(*parts), maxdepth=1):
        folder.files.rm_file(path)


def save_sheets(sheets: dict[str, Sheet], folder: RunFolder, parts: Sequence[str]) -> None:
    for name, sheet in sheets.items():
        folder.put(sheet.render_png(), *parts, f"{name}.png")
        folder.put(sheet.render_svg(), *parts, f"{name}.svg")


def publish_sheets(request: Request, sheets: dict[str, Sheet], parts: Sequence[str], **summary: Any) -> str:
    """Write sheets and their summary to the run folder, TensorBoard and the report. Return the folder's path."""
    folder = request.folder
    save_sheets(sheets, folder, parts)
    said = {"how": request.how, "of": request.of, "condition": request.condition, "notes": request.notes, "sheets": list(sheets)}
    folder.put_json(to_json_value(said | summary), *parts, "explain.json")
    board_writer.write_images(folder, "/".join(parts), {name: sheet.render_png() for name, sheet in sheets.items()})
    print(f"in the report: {write_report(folder)}")
    return folder.get_path(*parts)
