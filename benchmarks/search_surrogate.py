"""A surrogate of trained heads: it predicts the validation scores of any head by epoch, with noise of the size measured between seeds.

As in Eggensperger et al. 2015 (Efficient benchmarking of hyperparameter optimizers via surrogates) a forest of trees is fitted to the
table. Each tree has the whole table and is grown to single heads, so that the forest returns a head's own mean at that head.
"""

import math
from collections.abc import Sequence
from statistics import mean
from typing import Any

import numpy as np
import optuna
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor

from benchmarks.search_table import Head
from platform.search.searchers import suggest_parameters
from search_spaces.search_space import OneOf, Range, Space
from search_spaces.space_tree import Parameters, list_parameters
from trainables.random_streams import make_generator

TREES = 100
NEIGHBOURS = 40
"""heads of the nearest mean score whose deviations are drawn from: noise depends on the score"""
DRAWS = 5000
"""random heads among which, beside those of the table, the best is looked for"""
ABSENT = -1.0
"""column of a parameter that a head does not have; the others are in [0, 1]"""


class Surrogate:
    """Mean curves of heads, and random curves around them."""

    def __init__(self, space: Space, heads: Sequence[Head]) -> None:
        self.space, self.heads, self.ranges = space, heads, list_parameters(space)
        curves = fill_curves(heads)
        means = curves.mean(1)
        self.epochs, self.seeds = means.shape[1], curves.shape[1]
        self.forest = ExtraTreesRegressor(TREES, random_state=0).fit(self._encode([head.parameters for head in heads]), means)
        deviations = curves - means[:, None] - (curves.mean(0) - means.mean(0))  # without what a seed does to all heads
        self.deviations = deviations * math.sqrt(self.seeds / (self.seeds - 1))
        """of seeds from their head's mean [heads, seeds, epochs], of the size of a single training's"""
        self.levels = means.max(1)
        self._predicted: dict[str, tuple[np.ndarray, float]] = {}

    def _encode(self, heads: Sequence[Parameters]) -> np.ndarray:
        return np.array([[column for name in self.ranges for column in self._encode_value(name, head)] for head in heads])

    def _encode_value(self, name: str, head: Parameters) -> list[float]:
        limits = self.ranges[name]
        if isinstance(limits, OneOf):
            return [ABSENT if name not in head else float(head[name] == value) for value in limits.values]
        return [scale_value(limits, head[name]) if name in head else ABSENT]

    def predict(self, heads: Sequence[Parameters]) -> np.ndarray:
        """Return mean curves [heads, epochs]."""
        return np.asarray(self.forest.predict(self._encode(heads)))

    def predict_head(self, head: Parameters) -> tuple[np.ndarray, float]:
        """Return mean curve [epochs] and true score of one head. Searches of a repetition have many heads in common, so both are kept."""
        key = repr(head)
        if key not in self._predicted:
            (curve,) = self.predict([head])
            self._predicted[key] = curve, self.compute_true_score(curve)
        return self._predicted[key]

    def _find_deviations(self, curve: np.ndarray) -> np.ndarray:
        """Return the deviations [n, epochs] of the heads of the nearest mean score."""
        nearest = np.argsort(np.abs(self.levels - curve.max()), kind="stable")[:NEIGHBOURS]
        return self.deviations[nearest].reshape(-1, self.epochs)

    def draw_curves(self, curve: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the curves [seeds, epochs] of trainings whose mean curve this is."""
        deviations = self._find_deviations(curve)
        return np.clip(curve + deviations[rng.integers(len(deviations), size=self.seeds)], 0, 1)

    def compute_true_score(self, curve: np.ndarray) -> float:
        """Return the expected score of a head with this mean curve: of the best epoch of a training."""
        return float(np.clip(curve + self._find_deviations(curve), 0, 1).max(1).mean())

    def find_best_score(self) -> float:
        """Return the highest true score among the table's heads and random ones."""
        heads = [*(head.parameters for head in self.heads), *draw_heads(self.space, DRAWS)]
        return max(map(self.compute_true_score, self.predict(heads)))


def fill_curves(heads: Sequence[Head]) -> np.ndarray:
    """Return curves [heads, seeds, epochs]. After the epoch in which a training diverged, its score is the table's lowest."""
    epochs = max(len(curve) for head in heads for curve in head.curves)
    lowest = min(score for head in heads for curve in head.curves for score in curve)
    return np.array([[[*curve, *[lowest] * (epochs - len(curve))] for curve in head.curves] for head in heads])


def scale_value(limits: Range, value: Any) -> float:
    """Return a number's position in its range: 0 at the lower end, 1 at the upper one, in logarithms if the range is logarithmic."""
    assert not isinstance(limits, OneOf)
    if limits.log:
        return math.log(value / limits.low) / math.log(limits.high / limits.low)
    return float((value - limits.low) / (limits.high - limits.low))


def draw_heads(space: Space, number: int) -> list[Parameters]:
    """Return random heads, the same ones at every call."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [suggest_parameters(study.ask(), space) for _ in range(number)]


def measure_ranks(space: Space, heads: Sequence[Head], near: Sequence[Head]) -> dict[str, float]:
    """Return Spearman's rank correlations over random heads: predicted with measured scores, and of two seeds.

    Each fifth of the random heads is predicted from the other four and from the heads near the best; the means over the fifths are
    returned. A correlation with measured scores cannot be higher than their reliability allows.
    """
    fifth = make_generator(0, "fifths").permutation(len(heads)) % 5
    all_ranks, better_ranks = [], []
    for held_out in range(5):
        known = [head for head, part in zip(heads, fifth, strict=True) if part != held_out]
        tested = [head for head, part in zip(heads, fifth, strict=True) if part == held_out]
        surrogate = Surrogate(space, [*known, *near])
        predicted = np.array([surrogate.compute_true_score(curve) for curve in surrogate.predict([head.parameters for head in tested])])
        measured = fill_curves(tested).max(2).mean(1)
        better = measured >= np.median(measured)
        all_ranks.append(spearmanr(predicted, measured).statistic)
        better_ranks.append(spearmanr(predicted[better], measured[better]).statistic)
    single = fill_curves(heads).max(2)
    two = spearmanr(single[:, 0], single[:, 1]).statistic
    return {
        "held-out fifths": mean(all_ranks),
        "lowest of the five": min(all_ranks),
        "the better half of each": mean(better_ranks),
        "one seed with another": float(two),
        "reliability of the mean of two": float(2 * two / (1 + two)),
    }
