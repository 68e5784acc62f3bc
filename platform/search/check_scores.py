"""Holds the scores of a search's record against the result files of its trainings, which have digests. The record itself has none."""

import json
import math
import os
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from optuna.trial import FrozenTrial

from platform.search.condition_search import ConditionSearch
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

TRAININGS = "trainings"
"""attribute of a trial: the keys of its trainings"""
SET_STATE, SET_ATTRIBUTE = 6, 8
"""operations of Optuna's journal: the end of a trial with its values, and an attribute of a trial"""


def find_wrong_scores(searches: list[ConditionSearch], folder: RunFolder) -> dict[int, list[float]]:
    """Return the true scores of the finished suggestions whose recorded ones differ, by the trial's id in the journal.

    Suggestions whose results are gone are believed. Raises BadRequest where a suggestion's settings are not those of its trainings.
    """
    wrong = {}
    for search in searches:
        for trial in search.record.finished_trials:
            cells = search.make_cells(trial.params)
            if trial.user_attrs.get(TRAININGS, [cell.key for cell in cells]) != [cell.key for cell in cells]:
                raise BadRequest(
                    f"{folder.get_path('search.journal')}: the settings of suggestion {trial.number} of {search.where} are not those of "
                    "its trainings: the file was changed; move it away to begin anew"
                )
            results = [folder.get_result(cell.key) for cell in cells]
            if all(results):
                scores = [result["metrics"][f"val/{search.study.metric}"] for result in results if result]
                if not _has_scores(trial, scores):
                    wrong[trial._trial_id] = scores
    return wrong


def restore_scores(path: str, scores: dict[int, list[float]]) -> None:
    """Write these scores into a journal, which must not be open, in place of the recorded ones. The file is whole at any time."""
    lines = []
    for line in Path(path).read_bytes().splitlines():
        operation: dict[str, Any] = json.loads(line)
        if (true := scores.get(operation.get("trial_id", -1))) is not None:
            if operation["op_code"] == SET_STATE and operation.get("values"):
                operation["values"] = [mean(true)]
            attributes = operation.get("user_attr", {}) if operation["op_code"] == SET_ATTRIBUTE else {}
            attributes |= {"scores": true} if "scores" in attributes else {}
            attributes |= {"sd": stdev(true) if len(true) > 1 else None} if "sd" in attributes else {}
            line = json.dumps(operation, separators=(",", ":")).encode()
        lines.append(line)
    new = Path(f"{path}.aside")
    new.write_bytes(b"\n".join(lines) + b"\n")
    os.replace(new, path)
    print(f"{path}: scores of {len(scores)} suggestions were not those of their results; they are restored", file=sys.stderr)


def _has_scores(trial: FrozenTrial, scores: list[float]) -> bool:
    recorded = trial.user_attrs.get("scores")
    return recorded == scores and trial.value is not None and math.isclose(trial.value, mean(scores), rel_tol=1e-12, abs_tol=1e-15)
