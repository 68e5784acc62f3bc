"""Train on one data set, test on others: every arm's score on the test sets that it was measured on, beside what the text printed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from platform.report.runs import Condition, Runs
from platform.stats.significance import Interval, t_interval


@dataclass(frozen=True)
class CrossDatasetScore:
    """An arm on one test set at a condition: measured, printed, or both."""

    arm: str
    condition: Condition
    on: str
    """the study's own test set is `test`; `own` is that of what an arm was trained on"""
    measured: Interval | None
    printed: float | None
    """as in the text, percent"""


def compute_cross_dataset_scores(runs: Runs) -> list[CrossDatasetScore]:
    """Where tables are read; empty for a study that measures on its one test set alone."""
    part, slash, name = runs.design.metric.partition("/")
    others = [column.partition("/")[0] for column in map(str, runs.table) if slash and column.endswith(f"/{name}")]
    others = [each for each in others if each not in ("val", part)]
    rows = []
    for condition in runs.table_conditions if others else []:
        for arm in runs.arms:
            for on in (*others, part):
                values = runs.get_sample(arm, condition, f"{on}/{name}").to_array()
                said = [
                    each.score
                    for each in runs.design.printed
                    if (each.arm, each.on) == (arm, on) and each.condition.items() <= condition.items()
                ]
                rows.append(CrossDatasetScore(arm, condition, on, t_interval(values) if len(values) else None, said[0] if said else None))
    return rows


def list_conditions_not_run(runs: Runs) -> list[tuple[Condition, list[tuple[str, str, float]]]]:
    """What the text printed for conditions that are not in this grid: (arm, test set, score) by condition."""
    conditions = []
    for each in runs.design.printed:
        if each.condition not in conditions and not any(each.condition.items() <= condition.items() for condition in runs.table_conditions):
            conditions.append(each.condition)
    return [(where, [(each.arm, each.on, each.score) for each in runs.design.printed if each.condition == where]) for where in conditions]


def tabulate_cross_dataset(rows: list[CrossDatasetScore], compared: str) -> pd.DataFrame:
    """As data, a row an arm and a test set."""
    found = []
    for row in rows:
        told = row.measured or Interval(np.nan, np.nan, np.nan, np.nan, 0)
        numbers = {"mean": told.mean, "low": told.low, "high": told.high, "sd": told.sd, "n": told.n, "printed": row.printed}
        found.append({compared: row.arm, **row.condition, "test set": row.on, **numbers})
    return pd.DataFrame(found)
