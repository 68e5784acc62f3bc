"""Figures of a search, drawn by Optuna: the history of the score, the importance of each setting, and parallel coordinates."""

import io
import warnings
from collections.abc import Callable, Iterator
from typing import cast

import matplotlib
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from platform.search.search_record import SearchRecord

matplotlib.use("Agg")
ENOUGH = 2
"""finished suggestions that a figure needs"""


def draw_search_figures(record: SearchRecord, score: str) -> Iterator[tuple[str, bytes]]:
    """Yield (file name, bytes) of history, importance and parallel coordinates, as PNG and SVG; nothing for fewer than ENOUGH
    suggestions.
    """
    from optuna.visualization import matplotlib as drawn

    if len(record.finished_trials) < ENOUGH:
        return
    makers: dict[str, Callable[[], Axes]] = {
        "history": lambda: drawn.plot_optimization_history(record.study, target_name=score),
    }
    if shared := list_shared_parameters(record):
        makers["parallel"] = lambda: drawn.plot_parallel_coordinate(record.study, params=shared, target_name=score)
    if len({trial.value for trial in record.finished_trials}) > 1:  # with equal scores no setting has an importance
        makers["importance"] = lambda: drawn.plot_param_importances(record.study, target_name=score, evaluator=make_evaluator())
    for name, make in makers.items():
        with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "ferray"}):
            warnings.simplefilter("ignore")  # about the style and the labels, which are Optuna's
            figure = cast(Figure, make().figure)
            for extension in ("png", "svg"):
                yield f"{name}.{extension}", _render_figure(figure, extension)
            matplotlib.pyplot.close(figure)


def list_shared_parameters(record: SearchRecord) -> list[str]:
    """Return the parameters that every finished suggestion has. Parallel coordinates and importance have these alone."""
    first, *others = (trial.params for trial in record.finished_trials)
    return [name for name in first if all(name in parameters for parameters in others)]


def compute_importances(record: SearchRecord) -> dict[str, float]:
    """Return the share of the scores' variance that each setting explains, largest first; empty if scores are too few or all equal."""
    if len(record.finished_trials) < ENOUGH or len({trial.value for trial in record.finished_trials}) < 2:
        return {}
    return dict(optuna.importance.get_param_importances(record.study, evaluator=make_evaluator()))


def make_evaluator() -> optuna.importance.FanovaImportanceEvaluator:
    return optuna.importance.FanovaImportanceEvaluator(seed=0)


def _render_figure(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=120, bbox_inches="tight", metadata={"Date": None} if kind == "svg" else {"Software": None})
    return buffer.getvalue()
