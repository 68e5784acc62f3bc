"""The sheets: one image's maps, several images' maps, mean maps, saliency step by step, and data sets beside each other."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from platform.explain import explained_outputs
from platform.explain.load_networks import LoadedNetwork
from platform.explain.maps import compute_gradients
from platform.explain.mean_maps import MeanMap
from platform.explain.select_inputs import ChosenImage
from platform.explain.sheets import NEUTRAL, RIGHT, WRONG, Sheet, render_face, render_heat_map, render_overlay
from platform.explain.tile_grid import Name, Tile, TileGrid, lay_out_grids
from platform.report.map_kinds import TITLES
from search_spaces.pictures import ExplainedClass, MapKind
from trainables.cell import Value
from trainables.data.task import Task

BORDERS = {explained_outputs.RIGHT: RIGHT, explained_outputs.WRONG: WRONG}


class ImageMap(NamedTuple):
    """A network's map of one image or clip, and its prediction."""

    loaded: LoadedNetwork
    map: np.ndarray
    """float [s, s]; of a clip [frames, s, s]"""
    prediction: np.ndarray
    """[outputs]"""
    output: int
    """the output that is explained"""


class TileColumn(NamedTuple):
    """A column of the sheet of several data sets: one image, and each arm's map of it."""

    name: Name
    image: Tile
    arms: dict[str, Tile]


def make_image_grid(shown: ChosenImage, output: int | None, found: list[ImageMap], how: MapKind, replicated: str) -> TileGrid:
    """Return maps of one image: rows are arms, columns replicates. Of a clip, with the first replicate: columns are its frames."""
    task = found[0].loaded.task
    arms, replicates = _order_networks([each.loaded for each in found])
    title = explained_outputs.describe_truth(task, shown.truth, output)
    if shown.pixels.ndim == 5:
        frames = shown.pixels[0].numpy()
        columns: list[Name] = [(f"frame {number + 1}",) for number in range(len(frames))]
        said = ", ".join(filter(None, (shown.said, f"{replicated} {replicates[0]}")))
        grid = TileGrid(title, [("clip",), *((arm,) for arm in arms)], columns, said=said)
        for column, frame in enumerate(frames):
            grid.tiles[0, column] = Tile(render_face(frame))
            for each in found:
                if each.loaded.replicate == replicates[0]:
                    tile = make_tile(shown, frame, each.map[column], each, how)
                    text = "" if column else tile.text  # the prediction is the clip's, not a frame's
                    grid.tiles[arms.index(each.loaded.arm) + 1, column] = replace(tile, text=text)
        return grid
    columns = [(), *((f"{replicated} {replicate}",) for replicate in replicates)]
    grid = TileGrid(title, [(arm,) for arm in arms], columns, {(0, 0): Tile(render_face(shown.pixels[0].numpy()))}, shown.said, apart=True)
    for each in found:
        place = arms.index(each.loaded.arm), replicates.index(each.loaded.replicate) + 1
        grid.tiles[place] = make_tile(shown, shown.pixels[0].numpy(), each.map, each, how)
    return grid


def make_tile_column(value: Value, shown: ChosenImage, output: int | None, found: list[ImageMap], how: MapKind) -> TileColumn:
    """Return the column of a data set, named by the axis' value, with one image. Of a clip, its middle frame is shown."""
    middle = shown.pixels.shape[1] // 2 if shown.pixels.ndim == 5 else None
    face = (shown.pixels[0] if middle is None else shown.pixels[0, middle]).numpy()
    tiles = {each.loaded.arm: make_tile(shown, face, each.map if middle is None else each.map[middle], each, how) for each in found}
    task = found[0].loaded.task
    describe = explained_outputs.name_map if explained_outputs.has_classes(task) else explained_outputs.describe_truth
    return TileColumn((str(value), describe(task, shown.truth, output)), Tile(render_face(face)), tiles)


def make_column_grid(columns: list[TileColumn], how: MapKind, said: str) -> TileGrid:
    """Return the maps of one image of each data set: rows are arms, columns data sets."""
    arms = list(dict.fromkeys(arm for column in columns for arm in column.arms))
    grid = TileGrid(f"{TITLES[how]} of one test image of each data set", [("image",), *((arm,) for arm in arms)], [], said=said)
    for number, (name, image, tiles) in enumerate(columns):
        grid.columns.append(name)
        grid.tiles[0, number] = image
        grid.tiles |= {(arms.index(arm) + 1, number): tile for arm, tile in tiles.items()}
    return grid


def make_tile(shown: ChosenImage, face: np.ndarray, found: np.ndarray, each: ImageMap, how: MapKind) -> Tile:
    """Return a map float [s, s] over its image uint8 [c, s, s], with the network's answer."""
    task = each.loaded.task
    border = BORDERS.get(explained_outputs.judge_answer(task, shown.truth, each.prediction, each.output), NEUTRAL)
    text = explained_outputs.describe_prediction(task, each.prediction, each.output)
    return Tile(render_overlay(face, found, how), text, border, shown.print_ in each.loaded.seen)


def describe_maps(classes: bool, values: bool, how: MapKind, of: ExplainedClass, layer: str) -> list[str]:
    """Return the notes below maps of images. `classes`: some explain classes or labels; `values`: some explain valence and arousal."""
    place = f"; layer: {layer}" if layer else ""
    lines = [f"{TITLES[how]} of the {of} class{place}."] if classes else []
    if values:
        lines.append(f"{TITLES[how]} of valence and of arousal{place}. Above: the true value, below: the predicted one.")
    if how == "saliency":
        lines.append("Bright: pixels with which the output changes most.")
    else:
        lines.append("Red: what raises the output most; blue: least, or not at all. Each map has its own scale.")
    return [*lines, f"{'Green: correct, red: wrong. ' if classes else ''}Dashed: in this training's training or validation set."]


def lay_out_means(rows: list[MeanMap], task: Task, how: MapKind, of: ExplainedClass) -> Sheet:
    """Lay out mean maps over mean faces. Rows are arms and the populations of their images, columns are classes or other outputs."""
    whose = f"of the {of} class" if explained_outputs.has_classes(task) else "of each output"
    grid = TileGrid(f"Mean maps {whose} ({TITLES[how]})", [(row.arm, row.whom) for row in rows], [(name,) for name in task.classes])
    for number, (_, _, images, maps, counts) in enumerate(rows):
        for column in np.flatnonzero(counts):
            picture = render_overlay(_stretch_contrast(images[column]), maps[column] / max(float(maps[column].max()), 1e-9), how)
            grid.tiles[number, int(column)] = Tile(picture, f"{counts[column]:,} map{'s' if counts[column] != 1 else ''}")
    notes = [f"{TITLES[how]}: the mean over images and trainings, to its own maximum, over the mean face, whose contrast is stretched."]
    if any((row.counts == 0).any() for row in rows):
        notes.append(f"Empty: no image is {'predicted as' if of == 'predicted' else 'of'} this class.")
    return lay_out_grids([grid], notes)


def lay_out_saliency(shown: ChosenImage, output: int | None, networks: list[LoadedNetwork], notes: list[str]) -> Sheet:
    """Lay out saliency for each arm's first replicate: the image, |gradient| per channel, their maximum, and the maximum over the image.

    The output None is each network's predicted class.
    """
    arms, _ = _order_networks(networks)
    channels = ("red", "green", "blue") if shown.pixels.shape[1] == 3 else ("grey",)
    columns: list[Name] = [("image",), *((f"|gradient|, {name}",) for name in channels), ("maximum",), ("overlay",)]
    title = f"Saliency step by step, {explained_outputs.describe_truth(networks[0].task, shown.truth, output)}"
    grid = TileGrid(title, [(arm,) for arm in arms], columns)
    for row, arm in enumerate(arms):
        loaded = next(network for network in networks if network.arm == arm)
        prediction = loaded.predict(shown.pixels)[0]
        explained = int(prediction.argmax()) if output is None else output
        gradients = compute_gradients(loaded.network, shown.pixels, torch.tensor([explained]))[0]
        gradients = gradients / max(float(gradients.max()), 1e-12)
        largest, face = gradients.max(0), shown.pixels[0].numpy()
        last = make_tile(shown, face, largest, ImageMap(loaded, largest, prediction, explained), "saliency")
        tiles = [Tile(render_face(face)), *(Tile(render_heat_map(gradient)) for gradient in (*gradients, largest)), last]
        grid.tiles |= {(row, column): tile for column, tile in enumerate(tiles)}
    return lay_out_grids([grid], notes)


def _stretch_contrast(image: torch.Tensor) -> np.ndarray:
    """Return a mean image float [c, s, s] as uint8 that uses all levels: under a map's colours its own few levels would be lost."""
    low, high = float(image.min()), float(image.max())
    stretched: np.ndarray = (255 * (image - low) / max(high - low, 1e-9)).round().to(torch.uint8).numpy()
    return stretched


def _order_networks(networks: list[LoadedNetwork]) -> tuple[list[str], list[Value]]:
    """Return arms and replicates in the order of the grid."""
    return list(dict.fromkeys(loaded.arm for loaded in networks)), list(dict.fromkeys(loaded.replicate for loaded in networks))
