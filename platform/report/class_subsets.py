"""Fewer classes: is leaving some out a gain, or do fewer only leave less to get wrong?"""

from dataclasses import dataclass
from math import isnan

import numpy as np
import pandas as pd

from platform.report.comparisons import ALPHA
from platform.report.runs import Condition, Runs, format_condition
from platform.stats.rounding import find_largest
from platform.stats.significance import Difference, Interval, compute_equivalence_p, mean_difference, t_interval
from trainables.cell import Value
from trainables.storage.store import RunFolder


@dataclass(frozen=True)
class ClassSubsetGain:
    """An arm with all and with fewer classes, paired by replicate: the same test images but for those of the classes left out."""

    arm: str
    panel: Condition
    more: Value
    less: Value
    n: int
    all_classes: Interval
    """accuracy of all classes on all images"""
    fewer: Interval
    """of fewer classes on theirs"""
    restricted: Interval
    """of the training with all classes on the images of the fewer, its answer picked among these: what it costs to leave nothing out"""
    raw: Difference
    """fewer - all classes: as printed"""
    above_chance: Difference
    """the same of (accuracy - chance) / (1 - chance)"""
    same_images: Difference
    """fewer - restricted: the same images, the same choice"""
    rope: float

    @property
    def verdict(self) -> str:
        """Of `same_images`, whose chance level is one and the same."""
        if isnan(self.same_images.low):
            return "unattainable at this n"
        if self.same_images.low > 0:
            return "a real gain"
        if self.same_images.high < 0:
            return "a loss"
        return "no gain" if compute_equivalence_p(self.same_images, self.rope) <= ALPHA else "no gain shown"


def compare_class_subsets(runs: Runs, folder: RunFolder) -> list[ClassSubsetGain]:
    """Every arm at every combination of the other conditions where both are done; empty for a study without such an axis."""
    axis = runs.design.fewer or ""
    values = [value for value in runs.axes.get(axis, []) if isinstance(value, int | float)]
    if len(values) < 2:
        return []
    more, less = max(values), min(values)
    others = ({name: value for name, value in each.items() if name != axis} for each in runs.conditions)
    panels = list({format_condition(panel): panel for panel in others}.values())
    rows = []
    for panel in panels:
        for arm in runs.arms:
            many, few = (_read_replicates(runs, folder, arm, panel | {axis: value}) for value in (more, less))
            pairs = [pair for replicate in many if replicate in few and (pair := _pair_accuracies(many[replicate], few[replicate]))]
            if pairs:
                rows.append(_summarise_pairs(arm, panel, more, less, np.array(pairs), runs.design.rope or 0.01))
    return rows


Answers = tuple[list[str], dict[str, np.ndarray]]
"""classes and predictions of a training"""


def _read_replicates(runs: Runs, folder: RunFolder, arm: str, condition: Condition) -> dict[Value, Answers]:
    found = {}
    for row in runs.find_done_rows(arm, {axis: condition[axis] for axis in runs.axes}):
        result = (runs.results or [])[row]
        if result:
            found[runs.table[runs.design.replicated].iloc[row]] = (result["classes"], folder.get_predictions(runs.table["key"].iloc[row]))
    return found


def _pair_accuracies(many: Answers, few: Answers) -> tuple[float, ...] | None:
    """Accuracies with all classes, with fewer, restricted, and the two chance levels. None where the images differ."""
    (names, all_of), (kept, some) = many, few
    codes = [names.index(name) for name in kept if name in names]
    mine = np.isin(all_of["label"], codes)
    if len(codes) < len(kept) or not np.array_equal(all_of["index"][mine], some["index"]):
        return None
    picked = np.array(codes)[find_largest(all_of["probabilities"][mine][:, codes])]
    right = [find_largest(each["probabilities"]) == each["label"] for each in (all_of, some)]
    return float(right[0].mean()), float(right[1].mean()), float((picked == all_of["label"][mine]).mean()), 1 / len(names), 1 / len(kept)


def _summarise_pairs(arm: str, panel: Condition, more: Value, less: Value, pairs: np.ndarray, rope: float) -> ClassSubsetGain:
    many, few, restricted, chance_many, chance_few = pairs.T
    above = (few - chance_few) / (1 - chance_few), (many - chance_many) / (1 - chance_many)
    raw, corrected, same = (mean_difference(*sides, paired=True) for sides in ((few, many), above, (few, restricted)))
    means = t_interval(many), t_interval(few), t_interval(restricted)
    return ClassSubsetGain(arm, panel, more, less, len(pairs), *means, raw, corrected, same, rope)


def tabulate_class_subsets(rows: list[ClassSubsetGain], compared: str) -> pd.DataFrame:
    """As data, a row an arm at a combination of conditions."""
    found = []
    for row in rows:
        line = {compared: row.arm, **row.panel, "more": row.more, "less": row.less, "trainings": row.n, "verdict": row.verdict}
        line |= {name: getattr(row, name).mean for name in ("all_classes", "fewer", "restricted")}
        for name in ("raw", "above_chance", "same_images"):
            each: Difference = getattr(row, name)
            line |= {name: each.mean, f"{name}_low": each.low, f"{name}_high": each.high}
        found.append(line)
    return pd.DataFrame(found)
