"""Layout of the sheets: one image with arms as rows and seeds as columns, mean maps class by class, and saliency step by step."""

import torch

from platform.explain.load_networks import LoadedNetwork
from platform.explain.maps import SaliencyMaps, compute_gradients
from platform.explain.mean_maps import MeanMap
from platform.explain.select_inputs import ChosenImage
from platform.explain.sheets import (
    GAP,
    LINE,
    NEUTRAL,
    RIGHT,
    SOFT,
    TILE,
    WRONG,
    Sheet,
    measure_text,
    render_face,
    render_heat_map,
    render_overlay,
)
from platform.report.map_kinds import TITLES
from trainables.cell import Value

TOP = 3.4 * LINE
"""y of the first row of pictures"""


def lay_out_image(
    shown: ChosenImage,
    number: int,
    networks: list[LoadedNetwork],
    found: list[SaliencyMaps],
    classes: tuple[str, ...],
    how: str,
    replicated: str,
) -> Sheet:
    """Lay out maps of one image, the `number`th of each of `found`. Rows are arms, columns replicates. A true label below 0 is unknown."""
    arms, replicates = _order_networks(networks)
    left = max(measure_text(arm) for arm in arms) + 2 * GAP
    maps_left = left + TILE + 3 * GAP
    sheet = Sheet()
    true = classes[shown.label] if shown.label >= 0 else "not known"
    sheet.add_text(GAP, 0.9 * LINE, f"true class: {true}", 13)
    sheet.add_text(GAP + measure_text(f"true class: {true}", 13) + 2 * GAP, 0.9 * LINE, shown.said, 10, SOFT)
    for row, arm in enumerate(arms):
        y = TOP + row * (TILE + LINE + GAP)
        sheet.add_text(left - GAP, y + TILE / 2, arm, anchor="r")
        if row == 0:
            sheet.add_tile(left, y, render_face(shown.pixels[0].numpy()))
        for loaded, maps in zip(networks, found, strict=True):
            if loaded.arm != arm:
                continue
            x = maps_left + replicates.index(loaded.replicate) * (TILE + GAP)
            answer, probability = int(maps.probabilities[number].argmax()), float(maps.probabilities[number].max())
            border = NEUTRAL if shown.label < 0 else RIGHT if answer == shown.label else WRONG
            sheet.add_tile(x, y, render_overlay(shown.pixels[0].numpy(), maps.maps[number]), border, dashed=shown.print_ in loaded.seen)
            sheet.add_text(x + TILE / 2, y + TILE + 0.6 * LINE, f"{classes[answer]} {100 * probability:.0f} %", 9, border, "m")
    for column, replicate in enumerate(replicates):
        sheet.add_text(maps_left + column * (TILE + GAP) + TILE / 2, TOP - 0.7 * LINE, f"{replicated} {replicate}", 10, SOFT, "m")
    bottom = TOP + len(arms) * (TILE + LINE + GAP)
    target = "the true class" if shown.label >= 0 else "the predicted class"
    sheet.add_text(
        GAP,
        bottom + 0.5 * LINE,
        f"{TITLES[how]} of {target}. Green: correct, red: wrong. Dashed: in this training's training or validation set.",
        9,
        SOFT,
    )
    return sheet


def lay_out_means(rows: list[MeanMap], classes: tuple[str, ...], how: str) -> Sheet:
    """Lay out mean maps over mean faces. Rows are arms and the populations of their images, columns are classes."""
    left = max(max(measure_text(row.arm), measure_text(row.whom, 9)) for row in rows) + 2 * GAP
    sheet = Sheet()
    sheet.add_text(GAP, 0.9 * LINE, f"Mean maps of each class ({TITLES[how]})", 13)
    for column, name in enumerate(classes):
        sheet.add_text(left + column * (TILE + GAP) + TILE / 2, TOP - 0.7 * LINE, name, 10, anchor="m")
    y, previous_arm = TOP, ""
    for arm, whom, images, maps, counts in rows:
        y += GAP if previous_arm and arm != previous_arm else 0
        if arm != previous_arm:
            sheet.add_text(left - GAP, y + TILE / 2 - 0.6 * LINE, arm, anchor="r")
        previous_arm = arm
        sheet.add_text(left - GAP, y + TILE / 2 + 0.5 * LINE, whom, 9, SOFT, "r")
        for column in range(len(classes)):
            if counts[column]:
                mean = images[column].round().clamp(0, 255).to(torch.uint8).numpy()
                sheet.add_tile(left + column * (TILE + GAP), y, render_overlay(mean, maps[column] / max(float(maps[column].max()), 1e-9)))
        y += TILE + GAP
    sheet.add_text(
        GAP,
        y + 0.5 * LINE,
        f"Mean {TITLES[how]} of the true class over mean face, over images and trainings, each map to its own maximum.",
        9,
        SOFT,
    )
    return sheet


def lay_out_saliency(shown: ChosenImage, networks: list[LoadedNetwork], classes: tuple[str, ...]) -> Sheet:
    """Lay out saliency for each arm's first replicate: the image, |gradient| per channel, their maximum, and the maximum over the image."""
    arms, _ = _order_networks(networks)
    left = max(measure_text(arm) for arm in arms) + 2 * GAP
    channels = ("red", "green", "blue") if shown.pixels.shape[1] == 3 else ("grey",)
    sheet = Sheet()
    sheet.add_text(GAP, 0.9 * LINE, f"Saliency step by step, true class: {classes[shown.label]}", 13)
    for column, name in enumerate(("image", *(f"|gradient|, {name}" for name in channels), "maximum", "overlay")):
        sheet.add_text(left + column * (TILE + GAP) + TILE / 2, TOP - 0.7 * LINE, name, 10, SOFT, "m")
    for row, arm in enumerate(arms):
        loaded = next(network for network in networks if network.arm == arm)
        y = TOP + row * (TILE + GAP)
        gradients = compute_gradients(loaded.network, shown.pixels, torch.tensor([shown.label]))[0]
        gradients = gradients / max(float(gradients.max()), 1e-12)
        largest = gradients.max(0)
        image = shown.pixels[0].numpy()
        sheet.add_text(left - GAP, y + TILE / 2, arm, anchor="r")
        for column, picture in enumerate(
            (render_face(image), *map(render_heat_map, gradients), render_heat_map(largest), render_overlay(image, largest))
        ):
            sheet.add_tile(left + column * (TILE + GAP), y, picture)
    return sheet


def _order_networks(networks: list[LoadedNetwork]) -> tuple[list[str], list[Value]]:
    """Return arms and replicates in the order of the grid."""
    return list(dict.fromkeys(loaded.arm for loaded in networks)), list(dict.fromkeys(loaded.replicate for loaded in networks))
