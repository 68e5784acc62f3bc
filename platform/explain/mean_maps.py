"""Maps of each training's test images, at most MOST: shares of face regions, and mean maps class by class, of children and of adults."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from platform.explain.explained_outputs import Truth, judge_answer, list_outputs, list_truths, make_no_map_error
from platform.explain.face_regions import MapEnergy, compute_energy_shares, correlate_maps, make_region_masks
from platform.explain.load_networks import LoadedNetwork
from platform.explain.select_inputs import RoleImages, find_metadata, select_adults
from search_spaces.pictures import ExplainedClass
from trainables.random_streams import make_generator

MOST = 128
"""maximum number of test images, or clips, of a training"""
OF_A_CLASS = 32
"""maximum number of adults of a class"""
MapFunction = Callable[[LoadedNetwork, torch.Tensor, torch.Tensor, bool], np.ndarray]
"""(network, images or clips, outputs, whether to use the untrained network) -> maps"""


class MeanMap(NamedTuple):
    """An arm's mean over images and trainings, output by output."""

    arm: str
    whom: str
    images: torch.Tensor
    """float32 [outputs, c, s, s]"""
    maps: np.ndarray
    """float64 [outputs, s, s]"""
    counts: np.ndarray
    """int64 [outputs]"""


class ImageMaps(NamedTuple):
    """A training's maps of some images, one for each explained output; of clips, one for each of their frames."""

    pixels: torch.Tensor
    """uint8 [m, c, s, s]"""
    outputs: torch.Tensor
    """int64 [m]"""
    answers: np.ndarray
    """str [m]: see `judge_answer`"""
    maps: np.ndarray
    """float32 [m, s, s]"""
    untrained: np.ndarray | None
    """the untrained network's, of the same outputs"""


def measure_maps(
    networks: list[LoadedNetwork], sets: list[RoleImages], look: MapFunction, of: ExplainedClass
) -> tuple[list[MeanMap], list[MapEnergy]]:
    """Return mean maps and region shares; no shares if the data have no face regions. A frame of a clip counts as an image."""
    classes = networks[0].task.classes
    adults = select_adults(sets, networks[0].task, OF_A_CLASS)
    means: list[MeanMap] = []
    energies: list[MapEnergy] = []
    for arm in dict.fromkeys(network.arm for network in networks):
        batches: dict[str, list[ImageMaps]] = {}
        for loaded in (network for network in networks if network.arm == arm):
            test = loaded.task.test
            chosen = test.take_rows(np.sort(make_generator(0, "explain", "measured").permutation(len(test.rows))[:MOST]))
            found = map_images(loaded, chosen.pixels, list_truths(chosen), look, of, with_untrained=True)
            metadata, populations = find_metadata(found.pixels, sets)
            main_population = max(populations, key=populations.count) or "test images"
            batches.setdefault(main_population, []).append(found)
            masks = make_region_masks(metadata, found.pixels.shape[-1])
            if masks is not None and found.untrained is not None:
                trained, untrained = (compute_energy_shares(maps, masks) for maps in (found.maps, found.untrained))
                alike = correlate_maps(found.maps, found.untrained)
                energies.append(MapEnergy(arm, loaded.replicate, found.answers, trained, untrained, masks.mean((2, 3)), alike))
            if adults is not None and main_population != "adults":
                adult_set, pixels, labels = adults
                shown = map_images(loaded, pixels, [Truth(label) for label in labels.tolist()], look, of)
                batches.setdefault("adults" if adult_set.role == "adults" else f"adults ({adult_set.role})", []).append(shown)
        means += [_average_maps(arm, population, parts, len(classes)) for population, parts in batches.items()]
    return means, energies


def map_images(
    loaded: LoadedNetwork,
    pixels: torch.Tensor,
    truths: list[Truth],
    look: MapFunction,
    of: ExplainedClass,
    with_untrained: bool = False,
) -> ImageMaps:
    """Return the maps of all explained outputs of some images or clips."""
    task, predictions = loaded.task, loaded.predict(pixels)
    pairs = [(row, output) for row, truth in enumerate(truths) for output in list_outputs(task, truth, of)]
    if not pairs:
        raise make_no_map_error()
    rows = np.array([row for row, _ in pairs], int)
    outputs = np.array([predictions[row].argmax() if output is None else output for row, output in pairs], int)
    answers = [judge_answer(task, truths[row], predictions[row], output) for row, output in zip(rows, outputs, strict=True)]
    shown, wanted = pixels[torch.from_numpy(rows)], torch.from_numpy(outputs)
    frames = int(np.prod(pixels.shape[1:-3]))
    maps, untrained = look(loaded, shown, wanted, False), look(loaded, shown, wanted, True) if with_untrained else None
    side = maps.shape[-2:]
    return ImageMaps(
        shown.flatten(0, -4),
        wanted.repeat_interleave(frames),
        np.repeat(np.array(answers, str), frames),
        maps.reshape(-1, *side),
        None if untrained is None else untrained.reshape(-1, *side),
    )


def _average_maps(arm: str, whom: str, parts: list[ImageMaps], outputs: int) -> MeanMap:
    maps = np.concatenate([part.maps for part in parts])
    one_hot = torch.nn.functional.one_hot(torch.cat([part.outputs for part in parts]), outputs).float()
    counts = one_hot.sum(0)
    pixels = torch.cat([part.pixels for part in parts]).float()
    images = torch.einsum("nk,ncij->kcij", one_hot, pixels) / counts.clamp(min=1)[:, None, None, None]
    mean = np.einsum("nk,nij->kij", one_hot.double().numpy(), maps) / np.maximum(counts.numpy(), 1)[:, None, None]
    return MeanMap(arm, whom, images, mean, counts.long().numpy())
