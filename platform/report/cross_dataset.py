"""Cross-dataset evaluation: every arm's score on the test sets that it was measured on."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from platform.report.runs_table import Condition, Runs
from platform.stats.significance import Interval, t_interval


@dataclass(frozen=True)
class CrossDatasetScore:
    """An arm's score on one test set at a condition, if it was measured there."""

    arm: str
    condition: Condition
    on: str
    """the test set: `test` is the study's own; `own` is that of the data set that the arm was trained on"""
    measured: Interval | None


def compute_cross_dataset_scores(runs: Runs) -> list[CrossDatasetScore]:
    """Return the scores at the table's conditions. Empty for a study that measures on its one test set only."""
    part, slash, name = runs.design.metric.partition("/")
    others = [column.partition("/")[0] for column in map(str, runs.table) if slash and column.endswith(f"/{name}")]
    others = [test_set for test_set in others if test_set not in ("val", part)]
    rows = []
    for condition in runs.table_conditions if others else []:
        for arm in runs.arms:
            for on in (*others, part):
                values = runs.get_sample(arm, condition, f"{on}/{name}").to_array()
                rows.append(CrossDatasetScore(arm, condition, on, t_interval(values) if len(values) else None))
    return rows


def tabulate_cross_dataset(rows: list[CrossDatasetScore], compared: str) -> pd.DataFrame:
    """Return a data frame with one row per arm and test set."""
    records = []
    for row in rows:
        score = row.measured or Interval(np.nan, np.nan, np.nan, np.nan, 0)
        numbers = {"mean": score.mean, "low": score.low, "high": score.high, "sd": score.sd, "n": score.n}
        records.append({compared: row.arm, **row.condition, "test set": row.on, **numbers})
    return pd.DataFrame(records)
