"""Maps of a run's test images: a sheet for each image at one condition, or one sheet of several data sets beside each other."""

import torch

from platform.explain import face_regions, select_inputs, sheet_layout
from platform.explain.explained_outputs import has_classes, list_outputs, name_map
from platform.explain.load_networks import LoadedNetwork, load_networks
from platform.explain.mean_maps import MapFunction, measure_maps
from platform.explain.request import Request, clear_folder, name_folder, prepare_maps, publish_sheets
from platform.explain.select_inputs import ChosenImage
from platform.explain.sheet_layout import ImageMap
from platform.explain.sheets import Sheet
from platform.explain.tile_grid import lay_out_grids
from platform.stats.significance import Interval
from trainables.cell import Cell
from trainables.data.spreadsheet_formulas import encode_csv

Item = tuple[int, int | None]
"""an image's number, and the output that is explained; None: the predicted one"""


def draw_sheets(request: Request, cells: list[Cell]) -> tuple[str, str]:
    """Write sheets of test images and of class means, and the shares of face regions. Return their folder and the layer."""
    folder, study, how, of = request.folder, request.study, request.how, request.of
    networks = [load_networks(cell, study.compared, study.replicated, folder) for cell in cells]
    look, layer_text = prepare_maps(networks, request)
    task = networks[0].task
    sets = select_inputs.load_whole_sets(_add_parents(cells, request), task)
    faces = select_inputs.choose_faces(networks, sets, request.count, of)
    items = [(number, output) for number, face in enumerate(faces) for output in list_outputs(task, face.truth, of)]
    found = map_items(networks, faces, items, look)
    means, energies = measure_maps(networks, sets, look, of)
    sheets = {"averages": sheet_layout.lay_out_means(means, task, how, of)}
    notes = sheet_layout.describe_maps(has_classes(task), not has_classes(task), how, of, layer_text)
    grids = {item: sheet_layout.make_image_grid(faces[item[0]], item[1], found[item], how, study.replicated) for item in items}
    if (several := min(study.pictures.images, len(faces))) > 1:
        sheets["figure"] = lay_out_grids([grid for (number, _), grid in grids.items() if number < several], notes)
    for (number, output), grid in grids.items():
        name = f"{number + 1:02d}-{name_map(task, faces[number].truth, output)}"
        sheets[f"sheet-{name}"] = lay_out_grids([grid], notes)
        if how == "saliency" and number < len(task.classes) and faces[number].pixels.ndim == 4:
            sheets[f"steps-{name}"] = sheet_layout.lay_out_saliency(faces[number], output, networks, notes)
    shares, likeness = face_regions.summarise_energy(energies), face_regions.summarise_likeness(energies)
    parts = ["explain", *name_folder(request)]
    clear_folder(folder, parts)
    if shares:
        folder.put(encode_csv(face_regions.tabulate_shares(shares)), *parts, "regions.csv")
        print(format_shares(shares, likeness))
    else:
        request.notes.append("the data sets have no boxes of face regions: no shares of map energy")
    return publish_sheets(
        request, sheets, parts, layer=layer_text, rendered=are_rendered(cells), shares=shares, likeness=likeness
    ), layer_text


def draw_columns(request: Request, cells: list[Cell], axis: str) -> tuple[str, str]:
    """Write sheets of one test image of each data set: the axis' values are the columns, arms the rows. Return their folder and the layer.

    The networks are those of the first replicate. A data set is loaded after the other, so that their networks need not fit in memory
    together.
    """
    folder, study, how, of = request.folder, request.study, request.how, request.of
    columns: list[list[sheet_layout.TileColumn]] = [[] for _ in range(request.count)]
    layer_texts: dict[str, None] = {}
    kinds = set()
    first = cells[0].axes[study.replicated]
    for value in dict.fromkeys(cell.axes[axis] for cell in cells):
        chosen = [cell for cell in cells if (cell.axes[axis], cell.axes[study.replicated]) == (value, first)]
        if not chosen:
            request.notes.append(f"{axis}={value}: no training of {study.replicated} {first} is finished and has kept its parameters")
            continue
        networks = [load_networks(cell, study.compared, study.replicated, folder) for cell in chosen]
        look, layer_text = prepare_maps(networks, request)
        layer_texts[layer_text] = None
        task = networks[0].task
        kinds.add(has_classes(task))
        faces = select_inputs.choose_faces(networks, [], request.count, of)
        items = []
        for number, face in enumerate(faces):
            outputs = list_outputs(task, face.truth, of)
            items += [(number, output) for output in (outputs[:1] if has_classes(task) else outputs)]
        for item, maps in map_items(networks, faces, items, look).items():
            columns[item[0]].append(sheet_layout.make_tile_column(value, faces[item[0]], item[1], maps, how))
    layer = ", ".join(layer_texts)
    notes = sheet_layout.describe_maps(True in kinds, False in kinds, how, of, layer)
    said = f"{study.replicated} {first}"
    sheets: dict[str, Sheet] = {}
    for number, shown in enumerate(columns):
        if shown:
            sheets[f"sheet-{number + 1:02d}"] = lay_out_grids([sheet_layout.make_column_grid(shown, how, said)], notes)
    parts = ["explain", *name_folder(request)]
    clear_folder(folder, parts)
    return publish_sheets(request, sheets, parts, layer=layer, rendered=are_rendered(cells), shares=[], likeness={}), layer


def map_items(networks: list[LoadedNetwork], faces: list[ChosenImage], items: list[Item], look: MapFunction) -> dict[Item, list[ImageMap]]:
    """Return each network's map of each item, in the order of the networks."""
    pixels = torch.cat([face.pixels for face in faces])
    found: dict[Item, list[ImageMap]] = {item: [] for item in items}
    for loaded in networks:
        predictions = loaded.predict(pixels)
        outputs = [int(predictions[number].argmax()) if output is None else output for number, output in items]
        maps = look(loaded, pixels[[number for number, _ in items]], torch.tensor(outputs), False)
        for item, output, each in zip(items, outputs, maps, strict=True):
            found[item].append(ImageMap(loaded, each, predictions[item[0]], output))
    return found


def _add_parents(cells: list[Cell], request: Request) -> list[Cell]:
    """Return the cells and their parents in the grid: a network that was first trained on adults is shown with these adults."""
    known = {cell.key: cell for cell in request.folder.get_cells()}
    parents = [known[cell.parent] for cell in cells if cell.parent in known]
    return [*cells, *(parent for parent in parents if not request.study.is_prerequisite(parent))]


def are_rendered(cells: list[Cell]) -> bool:
    """Return whether all images are rendered, and show no person."""
    return all("rendered" in data.title for cell in cells for data in cell.data.values())


def format_shares(shares: list[face_regions.EnergyShare], likeness: dict[str, Interval]) -> str:
    """Return percentages of map energy by region, with the untrained network's and the area's below them."""
    lines = [f"{'':32}" + "".join(f"{region:>22}" for region in face_regions.REGIONS)]
    for arm in dict.fromkeys(row.arm for row in shares):
        for answer in dict.fromkeys(row.answer for row in shares if row.arm == arm):
            arm_rows = [row for row in shares if (row.arm, row.answer) == (arm, answer)]
            lines.append(f"{arm + ', ' + answer:32}" + "".join(f"{format_share(row.trained):>22}" for row in arm_rows))
            lines.append(f"{'  untrained network':32}" + "".join(f"{format_share(row.untrained):>22}" for row in arm_rows))
            lines.append(f"{'  area':32}" + "".join(f"{100 * row.area:>22.1f}" for row in arm_rows))
        lines.append(f"  rank correlation with the untrained network's maps: {likeness[arm].mean:.2f}")
    return "\n".join(["share of map energy, % [95 % over replicates]", *lines])


def format_share(each: Interval) -> str:
    interval = f" [{100 * each.low:.1f}, {100 * each.high:.1f}]" if each.n > 1 else ""
    return f"{100 * each.mean:.1f}{interval}"
