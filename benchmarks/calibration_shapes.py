"""Shapes of simulated studies for calibration.py: the true scores, and the distribution of single trainings about them.

Scores are accuracies. Differences and standard deviations in the constants below are in points of a percent.
"""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from platform.report.runs_table import Condition, Design, Runs, Sample
from search_spaces.adults_as_augmentation import ARMS, CLAIMS
from search_spaces.claims import Claim, Contrast

POINT = 0.01
MARGIN = 1.0
"""the margin of equivalence, in points"""
CHANCE = 1 / 7
"""the score of a training that collapses: one class is answered for all images"""
SPLITS, RATIOS = (0.5, 0.9), (1, 5)
LEVELS = {0.5: 0.60, 0.9: 0.66}
"""by split, the score of an arm without an effect"""
SEVEN = tuple(ARMS)
CONTRASTS = (Contrast("SL(c+a)", "SL(c)"), Contrast("UC(c+a)", "UC(c)"), Contrast("SC(c+a)", "SC(c)"))
MIXED = (0.0, 0.0, 0.0, -2.0, 3.0, 3.0, 3.0)
"""effects of the seven arms, some equal, some 2 or 3 points apart"""


@dataclass(frozen=True)
class Shape:
    """A kind of simulated study. A training's noise has a standard deviation of `sd` points. The conditions of a seed share a part `icc` of
    its variance.
    """

    name: str
    aim: bool = True
    """whether the aims of the benchmark apply"""
    arms: tuple[str, ...] = SEVEN
    effects: tuple[float, ...] = (0.0,) * 7
    ratios: tuple[int, ...] = RATIOS
    claims: tuple[Claim, ...] = CLAIMS
    seeds: int = 5
    sd: float = 2.0
    arm_sds: tuple[float, ...] = (1.0,) * 7
    """factors of `sd`, by arm"""
    condition_sds: tuple[float, ...] = (1.0,) * 4
    """factors of `sd`, by condition"""
    icc: float = 0.0
    """intraclass correlation of an arm's scores of one seed over the conditions, and so of the paired differences"""
    split_sd: float = 2.0
    """effect of a seed's split on all arms alike, in points"""
    paired: bool = True
    """whether the table has split hashes"""
    own_seeds: bool = False
    """whether every training has a seed of its own, on a split of its own"""
    images: int = 0
    """test images; 0: the score is not discrete"""
    level: float = 0.0
    """the score of an arm without an effect at all splits, in place of LEVELS"""
    collapses: tuple[float, ...] = (0.0,) * 7
    """probability that a training collapses, by arm"""
    validation: float | None = 0.7
    """correlation of a training's noise in validation and test; None: no validation"""
    baseline: str | None = None

    @property
    def conditions(self) -> list[tuple[float, int]]:
        return list(product(SPLITS, self.ratios))


def make_shape(name: str, arms: int = 7, **fields: Any) -> Shape:
    """Return a shape with the study's seven arms, or with `arms` arms M0, M1, ... under two conditions. M0 is then the baseline."""
    if arms == 7:
        return replace(Shape(name), **fields)
    names = tuple(f"M{number}" for number in range(arms))
    same: dict[str, Any] = {"effects": (0.0,) * arms, "arm_sds": (1.0,) * arms, "collapses": (0.0,) * arms, "condition_sds": (1.0,) * 2}
    return replace(Shape(name, arms=names, ratios=(5,), claims=(), baseline=names[0], **same), **fields)


UNEQUAL: dict[str, Any] = {"arm_sds": (0.5, 0.7, 0.8, 1.0, 1.3, 1.8, 2.5), "condition_sds": (0.5, 0.8, 1.2, 2.0)}
OFTEN: dict[str, Any] = {"collapses": (0.1,) * 7}
SHAPES = {
    shape.name: shape
    for shape in (
        make_shape("normal"),
        make_shape("seeds-10", seeds=10, icc=0.25),
        make_shape("seeds-20", seeds=20, icc=0.25),
        make_shape("seeds-3", seeds=3),
        make_shape("icc-.25", icc=0.25),
        make_shape("icc-.5", icc=0.5),
        make_shape("icc-.5-seeds-3", icc=0.5, seeds=3),
        make_shape("unpaired", paired=False, icc=0.25, split_sd=0.0),
        make_shape("unpaired-seeds-3", paired=False, seeds=3, split_sd=0.0),
        make_shape("unpaired-split-effects", paired=False),
        make_shape("own-seeds", own_seeds=True, paired=False),
        make_shape("own-seeds-3", own_seeds=True, paired=False, seeds=3),
        make_shape("discrete", images=150),
        make_shape("discrete-seeds-3", images=150, seeds=3),
        make_shape("ceiling", images=150, level=0.97, sd=0.5, split_sd=0.5),
        make_shape("ceiling-seeds-3", images=150, level=0.97, sd=0.5, split_sd=0.5, seeds=3),
        make_shape("unequal", **UNEQUAL),
        make_shape("unequal-unpaired", paired=False, split_sd=0.0, **UNEQUAL),
        make_shape("unequal-own-seeds-3", own_seeds=True, paired=False, seeds=3, **UNEQUAL),
        make_shape("collapse", **OFTEN),
        make_shape("collapse-seeds-10", seeds=10, **OFTEN),
        make_shape("collapse-in-one", aim=False, collapses=(0.1, *(0.0,) * 6)),
        make_shape("differ", effects=MIXED),
        make_shape("differ-seeds-10", effects=MIXED, seeds=10, icc=0.25),
        make_shape("differ-no-validation", effects=MIXED, validation=None),
        make_shape("two-lead", effects=(*(-10.0,) * 5, 0.0, 0.0), validation=None, **UNEQUAL),
        make_shape("at-margin", effects=(*(0.0,) * 6, MARGIN), sd=0.3),
        make_shape("within-margin", effects=(*(0.0,) * 5, 0.8 * MARGIN, 0.0), sd=0.5, seeds=10),
        make_shape("methods-30", arms=31),
        make_shape("methods-30-own-validation", arms=31, validation=0.0),
        make_shape("methods-30-no-validation", arms=31, validation=None),
    )
}


class Draws(NamedTuple):
    """Scores of simulated studies: [studies, arms, conditions, seeds] each."""

    test: np.ndarray
    validation: np.ndarray


def draw_scores(shape: Shape, studies: int, rng: np.random.Generator) -> Draws:
    """Return the scores of `studies` simulated studies. All arms and ratios of a seed share its split, unless `own_seeds` is set."""
    sizes = (studies, len(shape.arms), len(shape.conditions), shape.seeds)
    shared = rng.standard_normal((*sizes[:2], 1, shape.seeds))
    own = rng.standard_normal(sizes)
    noise = own if shape.own_seeds else shape.icc**0.5 * shared + (1 - shape.icc) ** 0.5 * own
    rho = shape.validation or 0.0
    other = rho * noise + (1 - rho**2) ** 0.5 * rng.standard_normal(sizes)
    spread = shape.sd * POINT * np.outer(shape.arm_sds, shape.condition_sds)[None, :, :, None]
    if shape.own_seeds:
        split = rng.standard_normal(sizes)
    else:
        split = np.repeat(rng.standard_normal((studies, 1, len(SPLITS), shape.seeds)), len(shape.ratios), 2)
    means = compute_levels(shape)[None, :, :, None] + shape.split_sd * POINT * split
    scores = [means + spread * noise, means + spread * other]
    if shape.images:
        scores = [rng.binomial(shape.images, score.clip(0, 1)) / shape.images for score in scores]
    collapsed = rng.random(sizes) < np.array(shape.collapses)[None, :, None, None]
    return Draws(*(np.where(collapsed, CHANCE, score) for score in scores))


def compute_levels(shape: Shape) -> np.ndarray:
    """Return the expected score of a training that does not collapse: [arms, conditions]."""
    levels = np.array([shape.level or LEVELS[split] for split, _ in shape.conditions])
    result: np.ndarray = levels + POINT * np.array(shape.effects)[:, None]
    return result


def compute_expected(shape: Shape) -> np.ndarray:
    """Return the expected score of a training: [arms, conditions]."""
    collapses = np.array(shape.collapses)[:, None]
    result: np.ndarray = (1 - collapses) * compute_levels(shape) + collapses * CHANCE
    return result


class StudyRuns(Runs):
    """The runs of many simulated studies in one table. One study at a time is selected; its samples are cached, because several families
    of comparisons use them.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._samples: dict[tuple[Any, ...], Sample] = {}

    def select_study(self, study: int) -> None:
        """Select a study: its columns become the design's metric and selector."""
        selector = f"val {study}" if self.design.selector else None
        self.design = replace(self.design, metric=f"test {study}", selector=selector)
        self._samples.clear()

    def get_sample(self, arm: str, condition: Condition, metric: str | None = None) -> Sample:
        key = (arm, metric, *condition.values())
        if key not in self._samples:
            self._samples[key] = super().get_sample(arm, condition, metric)
        return self._samples[key]


def build_runs(shape: Shape, test: np.ndarray, validation: np.ndarray) -> StudyRuns:
    """Return the runs of studies [studies, arms, conditions, seeds] as one table: study k has the metrics `test k` and `val k`.

    The first is selected. One table of many studies is made in a hundredth of the time of many tables.
    """
    seeds = test.shape[3]
    cells = [(arm, split, ratio, seed) for arm in shape.arms for split, ratio in shape.conditions for seed in range(seeds)]
    table = pd.DataFrame(cells, columns=["method", "split", "ratio", "seed"])
    table["state"], table["reason"] = "done", ""
    table["split_hash"] = [f"{split}-{seed}" if shape.paired else "" for _, split, _, seed in cells]
    if shape.own_seeds:
        table["seed"] = range(len(cells))
    columns = {
        f"{name} {k}": row for name, rows in (("test", test), ("val", validation)) for k, row in enumerate(rows.reshape(len(rows), -1))
    }
    design = Design(
        title=shape.name,
        source="simulated",
        compared="method",
        replicated="seed",
        conditions=("split", "ratio"),
        along="ratio",
        at_largest=len(shape.ratios) > 1,
        metric="test 0",
        selector="val 0" if shape.validation is not None else None,
        rope=MARGIN * POINT,
        baseline=shape.baseline,
        claims=shape.claims,
        contrasts=CONTRASTS if shape.arms == SEVEN else (),
    )
    return StudyRuns(design, pd.concat([table, pd.DataFrame(columns)], axis=1))
