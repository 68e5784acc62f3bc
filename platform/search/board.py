"""TensorBoard of a search: a run a suggestion, with the mean of its seeds' curves and HParams of what was searched."""

from pathlib import Path

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2

from platform.search.driver import ConditionSearch, SearchDriver
from platform.tensorboard.board import Row, average_replicates
from platform.tensorboard.events import encode_curves, encode_experiment, encode_run_end, encode_run_start, write_run
from search_spaces.space import OneOf
from trainables.cell import Cell
from trainables.storage.store import RunFolder

SCORES = ("score/mean", "score/sd")


def draw_table(folder: RunFolder, search_driver: SearchDriver) -> None:
    """The head of the HParams table: a column a condition's axis and a searched setting."""
    search = search_driver.searches[0].search
    axes = {
        axis: tuple(dict.fromkeys(condition_search.condition[axis] for condition_search in search_driver.searches))
        for axis in search_driver.searches[0].condition
    }
    searched = {name: each.values if isinstance(each, OneOf) else () for name, each in search.space.items()}
    write_run(Path(folder.make_folder(folder.get_path("tb"))), encode_experiment(f"search of {search.arm}", axes | searched, SCORES))


def draw_suggestion(folder: RunFolder, condition_search: ConditionSearch, trial: FrozenTrial, cells: list[Cell]) -> None:
    """Its run: mean and SD over the seeds for each epoch, and of the score."""
    begun: list[tuple[list[Row], Row]] = [(history, {}) for cell in cells if (history := folder.get_history(cell.key))]
    if not begun:
        return
    rows = list(average_replicates(begun))
    scores = trial.user_attrs.get("scores", [])
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    scored = {tag: value for tag, value in zip(SCORES, (trial.value, spread), strict=True) if value is not None}
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scored.items()]
    status = api_pb2.STATUS_SUCCESS if trial.state == TrialState.COMPLETE else api_pb2.STATUS_FAILURE
    content = (
        encode_run_start(condition_search.condition | trial.params, rows[0])
        + encode_curves(rows)
        + encode_run_end(rows[-1], values, status)
    )
    write_run(Path(folder.make_folder(folder.get_path("tb", condition_search.where, f"{trial.number:04d}"))), content)
