"""All test images of each training looked at: shares of face regions, and mean maps class by class, children beside adults."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from platform.explain.maps import SaliencyMaps
from platform.explain.networks import LoadedNetwork
from platform.explain.regions import MapEnergy, compute_energy_shares, correlate_maps, make_region_masks
from platform.explain.selection import RoleImages, find_metadata, select_adults
from trainables.streams import make_generator

MOST = 128
"""test images of a training, at most"""
OF_A_CLASS = 32
"""adults of a class, at most"""
MapFunction = Callable[[LoadedNetwork, torch.Tensor, "torch.Tensor | None", bool], SaliencyMaps]
"""network, images, classes (none: the answered ones), whether the untrained one is meant -> maps"""


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
    """Means and shares; no shares where the data know no face regions."""
    classes = networks[0].task.classes
    adults = select_adults(sets, classes, OF_A_CLASS)
    means: list[MeanMap] = []
    looked: list[MapEnergy] = []
    for arm in dict.fromkeys(one.arm for one in networks):
        shown: dict[str, list[tuple[torch.Tensor, torch.Tensor, np.ndarray]]] = {}
        for one in (each for each in networks if each.arm == arm):
            rows = np.sort(make_generator(0, "explain", "measured").permutation(len(one.task.test.rows))[:MOST])
            pixels, labels = one.task.test.pixels[rows], one.task.test.labels[rows]
            found, blank = look(one, pixels, labels, False), look(one, pixels, labels, True)
            metadata, populations = find_metadata(pixels, sets)
            whom = max(populations, key=populations.count) or "test images"
            shown.setdefault(whom, []).append((pixels, labels, found.maps))
            where = make_region_masks(metadata, pixels.shape[-1])
            if where is not None:
                right = found.probabilities.argmax(1) == labels.numpy()
                parts = compute_energy_shares(found.maps, where), compute_energy_shares(blank.maps, where), where.mean((2, 3))
                looked.append(MapEnergy(arm, one.replicate, right, *parts, correlate_maps(found.maps, blank.maps)))
            if adults is not None:
                whole, pixels, labels = adults
                shown.setdefault(f"adults ({whole.role})", []).append((pixels, labels, look(one, pixels, labels, False).maps))
        means += [_average_maps(arm, whom, parts, len(classes)) for whom, parts in shown.items()]
    return means, looked


def _average_maps(arm: str, whom: str, parts: list[tuple[torch.Tensor, torch.Tensor, np.ndarray]], classes: int) -> MeanMap:
    pixels, labels = (torch.cat([part[k] for part in parts]) for k in range(2))  # type: ignore[misc]
    maps = np.concatenate([part[2] for part in parts])
    one_hot = torch.nn.functional.one_hot(labels, classes).float()
    counts = one_hot.sum(0)
    images = torch.einsum("nk,ncij->kcij", one_hot, pixels.float()) / counts.clamp(min=1)[:, None, None, None]
    mean = np.einsum("nk,nij->kij", one_hot.double().numpy(), maps) / np.maximum(counts.numpy(), 1)[:, None, None]
    return MeanMap(arm, whom, images, mean, counts.long().numpy())
