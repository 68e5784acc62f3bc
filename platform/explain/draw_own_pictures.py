"""Maps of the user's own pictures, and a table of the predictions. The report never shows them."""

from pathlib import Path

import numpy as np

from platform.explain import own_pictures, sheet_layout
from platform.explain.draw_test_images import map_items
from platform.explain.explained_outputs import Truth, has_classes, list_outputs
from platform.explain.load_networks import hash_images, load_networks
from platform.explain.request import Request, clear_folder, name_folder, prepare_maps, save_sheets
from platform.explain.select_inputs import ChosenImage
from platform.explain.tile_grid import lay_out_grids
from search_spaces.pictures import ExplainedClass
from trainables.cell import Cell
from trainables.data.prediction_targets import TARGETS
from trainables.data.spreadsheet_formulas import encode_csv
from trainables.data.task import Task


def draw_pictures(request: Request, cells: list[Cell], images: Path) -> tuple[str, str]:
    """Write a sheet of each picture, and the predictions, to RUN/explain/pictures only. Return their folder and the layer.

    Where the networks classify clips, a picture is a clip of one frame. A network of classes explains the true class if the picture's
    folder has its name, unless the predicted one is asked for.
    """
    folder, study, how = request.folder, request.study, request.how
    networks = [load_networks(cell, study.compared, study.replicated, folder) for cell in cells]
    look, layer_text = prepare_maps(networks, request)
    task = networks[0].task
    names, pixels, left_out = own_pictures.read_pictures(images, task.size, task.channels)
    request.notes.extend(left_out)
    pixels = pixels.unsqueeze(1) if task.test.pixels.ndim == 5 else pixels
    prints = hash_images(pixels)
    faces = [
        ChosenImage(pixels[row : row + 1], _find_truth(name, task), print_, name)
        for row, (name, print_) in enumerate(zip(names, prints, strict=True))
    ]
    items = [(number, output) for number, face in enumerate(faces) for output in list_outputs(task, face.truth, request.of)]
    sheets = {}
    for (number, output), maps in map_items(networks, faces, items, look).items():
        name = f"{number + 1:03d}-{Path(names[number]).stem}" + ("" if has_classes(task) else f"-{task.classes[output or 0]}")
        of: ExplainedClass = "predicted" if output is None else "true"
        notes = sheet_layout.describe_maps(has_classes(task), not has_classes(task), how, of, layer_text)
        sheets[name] = lay_out_grids([sheet_layout.make_image_grid(faces[number], output, maps, how, study.replicated)], notes)
    parts = ["explain", "pictures", *name_folder(request, images)]
    clear_folder(folder, parts)
    save_sheets(sheets, folder, parts)
    answers = [(loaded.arm, loaded.replicate, loaded.predict(pixels)) for loaded in networks]
    table = own_pictures.tabulate_predictions(names, answers, task, study.compared, study.replicated)
    folder.put(encode_csv(table), *parts, "predictions.csv")
    return folder.get_path(*parts), layer_text


def _find_truth(name: str, task: Task) -> Truth:
    true = own_pictures.find_true_class(name, task.classes) if has_classes(task) else ""
    if not true or TARGETS[task.target].one_class:
        return Truth(task.classes.index(true) if true else -1)
    return Truth(-1, np.array([known == true for known in task.classes], np.float32))
