"""How much of a map lies on eyes, brows and mouth, for right and for wrong answers, and how much of that an untrained network shows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from platform.stats.significance import Interval, spearman_correlation, t_interval
from trainables.cell import Value
from trainables.data.render.faces_archive import REGIONS as BOXES
from trainables.data.render.faces_archive import SIZE

REGIONS = {"eyes": BOXES[:2], "brows": BOXES[2:4], "mouth": BOXES[4:], "elsewhere": ()}
"""by boxes of the metadata; where two overlap, the first has the pixel"""


@dataclass(frozen=True)
class MapEnergy:
    """One cell's maps of its own test images [n], as shares of their sum in each of REGIONS [n, 4]; NaN for a map that is 0 everywhere."""

    arm: str
    replicate: Value
    right: np.ndarray
    """bool [n]"""
    shares: np.ndarray
    untrained: np.ndarray
    area: np.ndarray
    """what an even map would have"""
    alike: np.ndarray
    """[n] rank correlation of the map and the untrained network's"""


@dataclass(frozen=True)
class EnergyShare:
    """An arm's share of map energy in a region, over replicates: of the trained network, and of the untrained one on the same images."""

    arm: str
    answer: str
    """right or wrong"""
    region: str
    images: float
    """in a replicate's test set, on average"""
    trained: Interval
    untrained: Interval
    area: float


def make_region_masks(metadata: pd.DataFrame, size: int) -> np.ndarray | None:
    """Bool [n, 4, size, size] of images with these metadata: which pixels are of which region. None where the boxes are not known."""
    if not {f"{box}_x0" for box in BOXES} <= set(metadata):
        return None
    middle = (np.arange(size) + 0.5) * SIZE / size
    free = np.ones((len(metadata), size, size), bool)
    found = []
    for boxes in REGIONS.values():
        inside = np.zeros_like(free)
        for box in boxes:
            x0, y0, x1, y1 = (metadata[f"{box}_{edge}"].to_numpy(float)[:, None] for edge in ("x0", "y0", "x1", "y1"))
            inside |= ((middle >= y0) & (middle < y1))[:, :, None] & ((middle >= x0) & (middle < x1))[:, None, :]
        inside = inside & free if boxes else free.copy()
        free &= ~inside
        found.append(inside)
    return np.stack(found, axis=1)


def compute_energy_shares(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Shares [n, regions] of the sum of maps [n, s, s] within masks [n, regions, s, s]."""
    total = maps.sum((1, 2))[:, None]
    return np.where(total > 0, (maps[:, None] * masks).sum((2, 3)) / np.where(total > 0, total, 1), np.nan)


def correlate_maps(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Rank correlation [n] of each map [n, s, s] with its other; NaN where one is the same everywhere."""
    return np.array([spearman_correlation(one.ravel(), other.ravel()) for one, other in zip(maps, others, strict=True)])


def summarise_energy(looked: list[MapEnergy]) -> list[EnergyShare]:
    """By arm, answer and region; intervals over replicates of each one's mean over its images."""
    found = []
    for arm in dict.fromkeys(each.arm for each in looked):
        for answer, wanted in (("right", True), ("wrong", False)):
            parts = [(each, each.right == wanted) for each in looked if each.arm == arm]
            parts = [(each, which) for each, which in parts if np.isfinite(each.shares[which]).any()]
            for number, region in enumerate(REGIONS if parts else ()):
                trained = _compute_interval([each.shares[which, number] for each, which in parts])
                untrained = _compute_interval([each.untrained[which, number] for each, which in parts])
                area = float(np.mean([each.area[which, number].mean() for each, which in parts]))
                images = float(np.mean([which.sum() for _, which in parts]))
                found.append(EnergyShare(arm, answer, region, images, trained, untrained, area))
    return found


def summarise_likeness(looked: list[MapEnergy]) -> dict[str, Interval]:
    """By arm, how alike trained and untrained maps are: the mean rank correlation over images, its interval over replicates."""
    arms = dict.fromkeys(each.arm for each in looked)
    return {arm: _compute_interval([each.alike for each in looked if each.arm == arm]) for arm in arms}


def tabulate_shares(rows: list[EnergyShare]) -> pd.DataFrame:
    """As data, a row an arm, an answer and a region."""
    return pd.DataFrame(
        [
            {"method": row.arm, "answer": row.answer, "region": row.region, "images": row.images, "trainings": row.trained.n}
            | {"share": row.trained.mean, "low": row.trained.low, "high": row.trained.high}
            | {"untrained": row.untrained.mean, "untrained_low": row.untrained.low, "untrained_high": row.untrained.high, "area": row.area}
            for row in rows
        ]
    )


def _compute_interval(samples: list[np.ndarray]) -> Interval:
    """Over replicates, of each one's mean of what is a number; a replicate where nothing is says nothing."""
    means = [float(known.mean()) for values in samples if len(known := values[np.isfinite(values)])]
    return t_interval(means) if means else Interval(np.nan, np.nan, np.nan, np.nan, 0)
