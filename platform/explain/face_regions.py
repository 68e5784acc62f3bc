"""Shares of a map on eyes, brows and mouth, for right and for wrong answers, and the same shares of an untrained network's map.

The maps of valence and of arousal have shares of their own, because an answer there is more or less near, not right or wrong. A frame of
a clip counts as an image.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from platform.stats.significance import Interval, spearman_correlation, t_interval
from trainables.cell import Value
from trainables.data.render.faces_archive import REGIONS as BOXES
from trainables.data.render.faces_archive import SIZE

REGIONS = {"eyes": BOXES[:2], "brows": BOXES[2:4], "mouth": BOXES[4:], "elsewhere": ()}
"""by boxes of the metadata; a pixel where two overlap belongs to the first"""


@dataclass(frozen=True)
class MapEnergy:
    """One cell's maps of its own test images [n], as shares of their sum in each of REGIONS [n, 4]; NaN for a map that is 0 everywhere."""

    arm: str
    replicate: Value
    answers: np.ndarray
    """str [n]: right, wrong, or the name of an output that is neither, such as valence"""
    shares: np.ndarray
    untrained: np.ndarray
    area: np.ndarray
    """the shares of a uniform map"""
    alike: np.ndarray
    """[n]: rank correlation of the map with the untrained network's"""


@dataclass(frozen=True)
class EnergyShare:
    """An arm's share of map energy in a region, over replicates: of the trained network, and of the untrained one on the same images."""

    arm: str
    answer: str
    """see `MapEnergy`"""
    region: str
    images: float
    """mean number in a replicate's test set"""
    trained: Interval
    untrained: Interval
    area: float


def make_region_masks(metadata: pd.DataFrame, size: int) -> np.ndarray | None:
    """Return bool masks [n, 4, size, size]: the pixels of each region in images with these metadata. None if the boxes are not known."""
    if not {f"{box}_x0" for box in BOXES} <= set(metadata):
        return None
    centres = (np.arange(size) + 0.5) * SIZE / size
    free = np.ones((len(metadata), size, size), bool)
    masks = []
    for boxes in REGIONS.values():
        inside = np.zeros_like(free)
        for box in boxes:
            x0, y0, x1, y1 = (metadata[f"{box}_{edge}"].to_numpy(float)[:, None] for edge in ("x0", "y0", "x1", "y1"))
            inside |= ((centres >= y0) & (centres < y1))[:, :, None] & ((centres >= x0) & (centres < x1))[:, None, :]
        inside = inside & free if boxes else free.copy()
        free &= ~inside
        masks.append(inside)
    return np.stack(masks, axis=1)


def compute_energy_shares(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the shares [n, regions] of the sum of maps [n, s, s] within masks [n, regions, s, s]."""
    total = maps.sum((1, 2))[:, None]
    return np.where(total > 0, (maps[:, None] * masks).sum((2, 3)) / np.where(total > 0, total, 1), np.nan)


def correlate_maps(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the rank correlation [n] of each map [n, s, s] with its counterpart; NaN if either map is constant."""
    return np.array([spearman_correlation(first.ravel(), second.ravel()) for first, second in zip(maps, others, strict=True)])


def summarise_energy(looked: list[MapEnergy]) -> list[EnergyShare]:
    """Return the energy shares of each arm, answer and region. Intervals are over replicates: a replicate is the mean over its images."""
    rows = []
    for arm in dict.fromkeys(energy.arm for energy in looked):
        known = dict.fromkeys(answer for energy in looked for answer in energy.answers.tolist() if energy.arm == arm)
        for answer in sorted(known):
            selected = [(energy, energy.answers == answer) for energy in looked if energy.arm == arm]
            selected = [(energy, mask) for energy, mask in selected if np.isfinite(energy.shares[mask]).any()]
            for number, region in enumerate(REGIONS if selected else ()):
                trained = _compute_interval([energy.shares[mask, number] for energy, mask in selected])
                untrained = _compute_interval([energy.untrained[mask, number] for energy, mask in selected])
                area = float(np.mean([energy.area[mask, number].mean() for energy, mask in selected]))
                images = float(np.mean([mask.sum() for _, mask in selected]))
                rows.append(EnergyShare(arm, answer, region, images, trained, untrained, area))
    return rows


def summarise_likeness(looked: list[MapEnergy]) -> dict[str, Interval]:
    """Return by arm the mean rank correlation of trained and untrained maps over images, with its interval over replicates."""
    arms = dict.fromkeys(energy.arm for energy in looked)
    return {arm: _compute_interval([energy.alike for energy in looked if energy.arm == arm]) for arm in arms}


def tabulate_shares(rows: list[EnergyShare]) -> pd.DataFrame:
    """Return a table with one row per arm, answer and region."""
    return pd.DataFrame(
        [
            {"method": row.arm, "answer": row.answer, "region": row.region, "images": row.images, "trainings": row.trained.n}
            | {"share": row.trained.mean, "low": row.trained.low, "high": row.trained.high}
            | {"untrained": row.untrained.mean, "untrained_low": row.untrained.low, "untrained_high": row.untrained.high, "area": row.area}
            for row in rows
        ]
    )


def _compute_interval(samples: list[np.ndarray]) -> Interval:
    """Return the interval over replicates of each one's mean of its finite values; a replicate without finite values is left out."""
    means = [float(finite.mean()) for values in samples if len(finite := values[np.isfinite(values)])]
    return t_interval(means) if means else Interval(np.nan, np.nan, np.nan, np.nan, 0)
