"""Draw maps of what a run's networks look at: on its test images, or on the user's pictures."""

from pathlib import Path
from typing import Any

import torch

from platform.explain import face_regions, own_pictures, select_inputs, sheet_layout
from platform.explain.load_networks import LoadedNetwork, find_layer, hash_images
from platform.explain.maps import SaliencyMaps, compute_maps
from platform.explain.mean_maps import MapFunction, measure_maps
from platform.explain.select_inputs import ChosenImage, RoleImages
from platform.explain.sheets import Sheet
from platform.report.build_report_files import to_json_value
from platform.report.map_kinds import MapKind, get_folder_name
from platform.report.read_run_folder import read_cells
from platform.report.write_report import write_report
from platform.stats.significance import Interval
from platform.tensorboard import board_writer
from search_spaces.study import STUDIES, Study
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder


def find_study(folder: RunFolder) -> Study:
    cell = read_cells(folder)[0]
    return STUDIES.find(cell.study)(cell.scale)  # type: ignore[arg-type]


def format_place(condition: select_inputs.Condition) -> str:
    return f" at {', '.join(f'{axis}={value}' for axis, value in condition.items())}" if condition else ""


def prepare_maps(networks: list[LoadedNetwork], how: MapKind, layer: str | None) -> tuple[MapFunction, str]:
    """Return the function that makes maps, and the layer's name and side, per arm if they differ. BadRequest for an unknown layer."""
    if how == "saliency" and layer is not None:
        raise BadRequest(f"--layer {layer}: saliency has no layer; leave the option out, or use --how gradcam")
    layers: dict[int, torch.nn.Module] = {}
    names: dict[str, str] = {}
    for loaded in networks if how != "saliency" else ():
        for network in (loaded.network, loaded.untrained):
            name, layers[id(network)], side = find_layer(network, loaded.task.test.pixels[:1], layer)
        names[loaded.arm] = f"{name.removeprefix('encoder.')} ({side} x {side})"

    def look(one: LoadedNetwork, pixels: torch.Tensor, classes: torch.Tensor | None, untrained: bool) -> SaliencyMaps:
        network = one.untrained if untrained else one.network
        return compute_maps(network, layers.get(id(network), network), pixels, classes, how)

    layer_texts = list(dict.fromkeys(names.values()))
    return look, layer_texts[0] if len(layer_texts) == 1 else ", ".join(f"{arm}: {name}" for arm, name in names.items())


def explain_test_images(
    networks: list[LoadedNetwork],
    sets: list[RoleImages],
    look: MapFunction,
    folder: RunFolder,
    study: Study,
    said: dict[str, Any],
    count: int,
) -> str:
    """Write sheets of test images and of class means, and the shares of face regions, to RUN/explain/HOW, TensorBoard and the report."""
    classes, how = networks[0].task.classes, str(said["how"])
    faces = select_inputs.choose_faces(networks, sets, count)
    pixels, labels = torch.cat([face.pixels for face in faces]), torch.tensor([face.label for face in faces])
    maps = [look(loaded, pixels, labels, False) for loaded in networks]
    means, energies = measure_maps(networks, sets, look)
    sheets = {"averages": sheet_layout.lay_out_means(means, classes, how)}
    for number, face in enumerate(faces):
        name = f"{number + 1:02d}-{classes[face.label]}"
        sheets[f"sheet-{name}"] = sheet_layout.lay_out_image(face, number, networks, maps, classes, how, study.replicated)
        if how == "saliency" and number < len(classes):
            sheets[f"steps-{name}"] = sheet_layout.lay_out_saliency(face, networks, classes)
    shares, likeness = face_regions.summarise_energy(energies), face_regions.summarise_likeness(energies)
    parts = ("explain", get_folder_name(how))
    for path in folder.files.find(folder.get_path(*parts)):  # left by an earlier run with other images
        folder.files.rm_file(path)
    if shares:
        folder.put(face_regions.tabulate_shares(shares).to_csv(index=False, lineterminator="\n").encode(), *parts, "regions.csv")
        print(format_shares(shares, likeness))
    else:
        said["notes"].append("the data sets have no boxes of face regions: no shares of map energy")
    save_sheets(sheets, folder, *parts)
    rendered = all("rendered" in role_images.faces.title for role_images in sets)
    folder.put_json(
        to_json_value(said | {"sheets": list(sheets), "rendered": rendered, "shares": shares, "likeness": likeness}), *parts, "explain.json"
    )
    board_writer.write_images(folder, "/".join(parts), {name: sheet.render_png() for name, sheet in sheets.items()})
    print(f"in the report: {write_report(folder)}")
    return folder.get_path(*parts)


def explain_pictures(
    images: Path, networks: list[LoadedNetwork], look: MapFunction, folder: RunFolder, study: Study, said: dict[str, Any]
) -> str:
    """Write sheets of the user's pictures and the predictions to RUN/explain/pictures only. The report never shows them."""
    task = networks[0].task
    names, pixels, left_out = own_pictures.read_pictures(images, task.size, task.channels)
    said["notes"] += left_out
    labels = torch.tensor(
        [task.classes.index(true_class) if (true_class := own_pictures.find_true_class(name, task.classes)) else -1 for name in names]
    )
    maps = []
    for loaded in networks:
        network_maps = look(loaded, pixels, None, False)
        labelled = labels >= 0
        if labelled.any():
            network_maps.maps[labelled.numpy()] = look(loaded, pixels[labelled], labels[labelled], False).maps
        maps.append(network_maps)
    faces = [
        ChosenImage(pixels[index : index + 1], int(labels[index]), hash_images(pixels[index : index + 1])[0], name)
        for index, name in enumerate(names)
    ]
    parts = ("explain", "pictures")
    save_sheets(
        {
            f"{number + 1:03d}-{Path(face.said).stem}": sheet_layout.lay_out_image(
                face, number, networks, maps, task.classes, str(said["how"]), study.replicated
            )
            for number, face in enumerate(faces)
        },
        folder,
        *parts,
    )
    answers = [(loaded.arm, loaded.replicate, network_maps.probabilities) for loaded, network_maps in zip(networks, maps, strict=True)]
    answered_table = own_pictures.tabulate_predictions(names, answers, task.classes, study.compared, study.replicated)
    folder.put(answered_table.to_csv(index=False, lineterminator="\n").encode(), *parts, "predictions.csv")
    return folder.get_path(*parts)


def save_sheets(sheets: dict[str, Sheet], folder: RunFolder, *place: str) -> None:
    for name, sheet in sheets.items():
        folder.put(sheet.render_png(), *place, f"{name}.png")
        folder.put(sheet.render_svg(), *place, f"{name}.svg")


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
