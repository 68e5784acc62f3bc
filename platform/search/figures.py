"""Figures of a search, drawn by Optuna: history of the score, importance of each setting, parallel coordinates, and a contour."""

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
INCHES = 1.3
"""of a figure's width for each parameter"""
ENOUGH = 2
"""finished suggestions that a figure needs"""


def draw_search_figures(record: SearchRecord, score: str) -> Iterator[tuple[str, bytes]]:
    """Yield (file name, bytes) of each figure, as PNG and SVG; nothing for fewer than ENOUGH finished suggestions.

    The contour is of the two most important settings that every suggestion has.
    """
    from optuna.visualization import matplotlib as drawn

    if len(record.finished_trials) < ENOUGH:
        return
    makers: dict[str, Callable[[], Axes]] = {"history": lambda: _draw_history(record, score)}
    if shared := list_shared_parameters(record):
        makers["parallel"] = lambda: _draw_parallel(record, shared, score)
    importances = compute_importances(record)
    if importances:  # with equal scores no setting has one
        makers["importance"] = lambda: drawn.plot_param_importances(record.study, target_name=score, evaluator=make_evaluator())
    if len(pair := list(importances)[:2]) == 2:
        makers["contour"] = lambda: cast(Axes, drawn.plot_contour(record.study, params=pair, target_name=score))
    for name, make in makers.items():
        with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "ferray"}):
            warnings.simplefilter("ignore")  # about the style and the labels, which are Optuna's
            figure = cast(Figure, make().figure)
            for extension in ("png", "svg"):
                yield f"{name}.{extension}", _render_figure(figure, extension)
            matplotlib.pyplot.close(figure)


def _draw_history(record: SearchRecord, score: str) -> Axes:
    """Draw the scores in the order of the suggestions. Those that a scheduler stopped are grey, at their score when they stopped."""
    from optuna.visualization import matplotlib as drawn

    axes = drawn.plot_optimization_history(record.study, target_name=score)
    if record.pruned_trials:
        numbers, scores = zip(*((trial.number, trial.value) for trial in record.pruned_trials), strict=True)
        axes.scatter(numbers, scores, color="0.6", label="stopped early")
        axes.legend()
    return axes


def _draw_parallel(record: SearchRecord, parameters: list[str], score: str) -> Axes:
    """Draw parallel coordinates, wide enough for the name of each parameter."""
    from optuna.visualization import matplotlib as drawn

    axes = drawn.plot_parallel_coordinate(record.study, params=parameters, target_name=score)
    cast(Figure, axes.figure).set_size_inches(2 + INCHES * (len(parameters) + 1), 4.8)
    axes.tick_params(axis="x", labelrotation=30)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right")
    return axes


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
