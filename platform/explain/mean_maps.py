"""Maps of each training's test images, at most MOST: shares of face regions, and mean maps class by class, of children and of adults."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from platform.explain.face_regions import MapEnergy, compute_energy_shares, correlate_maps, make_region_masks
from platform.explain.load_networks import LoadedNetwork
from platform.explain.maps import SaliencyMaps
from platform.explain.select_inputs import RoleImages, find_metadata, select_adults
from trainables.random_streams import make_generator

MOST = 128
"""maximum number of test images of a training"""
OF_A_CLASS = 32
"""maximum number of adults of a class"""
MapFunction = Callable[[LoadedNetwork, torch.Tensor, "torch.Tensor | None", bool], SaliencyMaps]
"""(network, images, classes (None: the predicted ones), whether to use the untrained network) -> maps"""


class MeanMap(NamedTuple):
    """An arm's mean over images and trainings, class by class."""

    arm: str
    whom: str
    images: torch.Tensor
    """float32 [classes, c, s, s]"""
    maps: np.ndarray
    """float64 [classes, s, s]"""
    counts: np.ndarray
    """int64 [classes]"""


def measure_maps(networks: list[LoadedNetwork], sets: list[RoleImages], look: MapFunction) -> tuple[list[MeanMap], list[MapEnergy]]:
    """Return mean maps and region shares; no shares if the data have no face regions."""
    classes = networks[0].task.classes
    adults = select_adults(sets, classes, OF_A_CLASS)
    means: list[MeanMap] = []
    energies: list[MapEnergy] = []
    for arm in dict.fromkeys(network.arm for network in networks):
        batches: dict[str, list[tuple[torch.Tensor, torch.Tensor, np.ndarray]]] = {}
        for loaded in (network for network in networks if network.arm == arm):
            rows = np.sort(make_generator(0, "explain", "measured").permutation(len(loaded.task.test.rows))[:MOST])
            pixels, labels = loaded.task.test.pixels[rows], loaded.task.test.labels[rows]
            trained, untrained = look(loaded, pixels, labels, False), look(loaded, pixels, labels, True)
            metadata, populations = find_metadata(pixels, sets)
            main_population = max(populations, key=populations.count) or "test images"
            batches.setdefault(main_population, []).append((pixels, labels, trained.maps))
            masks = make_region_masks(metadata, pixels.shape[-1])
            if masks is not None:
                correct = trained.probabilities.argmax(1) == labels.numpy()
                region_shares = compute_energy_shares(trained.maps, masks), compute_energy_shares(untrained.maps, masks), masks.mean((2, 3))
                energies.append(MapEnergy(arm, loaded.replicate, correct, *region_shares, correlate_maps(trained.maps, untrained.maps)))
            if adults is not None:
                adult_set, pixels, labels = adults
                batches.setdefault(f"adults ({adult_set.role})", []).append((pixels, labels, look(loaded, pixels, labels, False).maps))
        means += [_average_maps(arm, population, parts, len(classes)) for population, parts in batches.items()]
    return means, energies


def _average_maps(arm: str, whom: str, parts: list[tuple[torch.Tensor, torch.Tensor, np.ndarray]], classes: int) -> MeanMap:
    pixels, labels = (torch.cat([part[k] for part in parts]) for k in range(2))  # type: ignore[misc]
    maps = np.concatenate([part[2] for part in parts])
    one_hot = torch.nn.functional.one_hot(labels, classes).float()
    counts = one_hot.sum(0)
    images = torch.einsum("nk,ncij->kcij", one_hot, pixels.float()) / counts.clamp(min=1)[:, None, None, None]
    mean = np.einsum("nk,nij->kij", one_hot.double().numpy(), maps) / np.maximum(counts.numpy(), 1)[:, None, None]
    return MeanMap(arm, whom, images, mean, counts.long().numpy())
