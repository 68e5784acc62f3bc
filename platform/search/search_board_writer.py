"""TensorBoard files of a search: one run per suggestion, with the mean of its seeds' curves and the searched settings as HParams."""

from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2

from platform.search.condition_search import ConditionSearch
from platform.search.driver import SearchDriver
from platform.tensorboard.board_writer import Row, average_replicates
from platform.tensorboard.event_file import encode_curves, encode_experiment, encode_run_end, encode_run_start, write_run
from search_spaces.search_space import OneOf
from search_spaces.space_tree import list_parameters
from search_spaces.study import Study
from trainables.cell import Cell
from trainables.storage.store import RunFolder

SCORES = ("score/mean", "score/sd")
PRUNED = "pruned"
"""column of the HParams table: whether a scheduler stopped the suggestion; its score is then that at the stop"""


def draw_table(study: Study, folder: RunFolder, search_driver: SearchDriver) -> None:
    """Write the head of the HParams table: a column for each axis and searched setting, and for whether a suggestion was stopped."""
    arms = tuple(search.arm for search in study.searches)
    axes: dict[str, Any] = {study.compared: arms} | {
        axis: tuple(dict.fromkeys(condition_search.condition[axis] for condition_search in search_driver.searches))
        for axis in search_driver.searches[0].condition
    }
    searched = {
        name: limits.values if isinstance(limits, OneOf) else ()
        for search in study.searches
        for name, limits in list_parameters(search.space).items()
    }
    content = encode_experiment(f"search of {', '.join(arms)}", axes | searched | {PRUNED: (True, False)}, SCORES)
    write_run(Path(folder.make_folder(folder.get_path("tb"))), content)


def draw_suggestion(folder: RunFolder, condition_search: ConditionSearch, trial: FrozenTrial, cells: list[Cell]) -> None:
    """Write the run of a suggestion: mean and SD over its seeds, of each epoch's metrics and of the score."""
    replicates: list[tuple[list[Row], Row]] = [(history, {}) for cell in cells if (history := folder.get_history(cell.key))]
    if not replicates:
        return
    rows = list(average_replicates(replicates))
    scores = trial.user_attrs.get("scores", [])
    sd = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    metrics = {tag: value for tag, value in zip(SCORES, (trial.value, sd), strict=True) if value is not None}
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in metrics.items()]
    is_pruned = trial.state == TrialState.PRUNED
    status = api_pb2.STATUS_SUCCESS if is_pruned or trial.state == TrialState.COMPLETE else api_pb2.STATUS_FAILURE
    place = {condition_search.study.compared: condition_search.search.arm} | condition_search.condition
    content = (
        encode_run_start(place | trial.params | {PRUNED: is_pruned}, rows[0])
        + encode_curves(rows)
        + encode_run_end(rows[-1], values, status)
    )
    write_run(Path(folder.make_folder(folder.get_path("tb", condition_search.where, f"{trial.number:04d}"))), content)
