"""Chooses axis limits that exclude diverged trainings, and marks points outside the limits at the edge of the axes."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from platform.report.comparisons import Comparison
from platform.report.outliers import describe_outside, find_outliers, find_typical_sample
from platform.report.runs_table import Condition, Runs, match_samples
from platform.stats.float_ties import ROUNDING
from platform.stats.significance import Interval, mean_difference, t_interval

Span = tuple[float, float]
EVERYWHERE: Span = (-np.inf, np.inf)


def find_score_span(scores: Iterable[Interval | None], factor: int, percent: bool) -> Span:
    """Return limits from below the lowest bar or band to above the highest.

    A share stays within 0 and 100, unless a mean lies outside.
    """
    shown = [score for score in scores if score]
    ends = [factor * end for score in shown for end in (score.mean, score.low, score.high, score.mean - score.sd, score.mean + score.sd)]
    ends = [end for end in ends if end == end] or [0.0, 1.0 * factor]
    low, high = _add_margin(ends)
    if not percent:
        return low, high
    top = max((factor * score.mean for score in shown), default=0.0)
    return max(min(*ends, 0.0), low), high if top > 100 else min(100.0, high)


def find_mean_span(scores: Iterable[Interval], factor: int) -> Span:
    """Return limits around the means of scores."""
    return _add_margin([factor * score.mean for score in scores] or [0.0, 1.0 * factor])


def find_difference_span(runs: Runs, rows: Iterable[Comparison], factor: int) -> Span:
    """Return limits around differences and their intervals, the zero line and the margin of equivalence.

    Trainings whose score lies far from all others do not count.
    """
    margin = runs.design.rope or 0.0
    return _add_margin([factor * end for end in (-margin, margin, *list_typical_ends(runs, rows))])


def list_typical_ends(runs: Runs, rows: Iterable[Comparison]) -> list[float]:
    """Return the differences and the ends of their intervals, without trainings whose score lies far from all others.

    A comparison over several conditions is left out if it has such a training.
    """
    outliers, ends = find_outliers(runs), []
    for row in rows:
        if not any(far.arm in (row.a, row.b) and row.condition.items() <= far.condition.items() for far in outliers):
            ends += [row.diff, row.diff_low, row.diff_high]
        elif set(row.condition) == set(runs.axes):
            a, b = (find_typical_sample(runs, arm, row.condition, outliers) for arm in (row.a, row.b))
            ends += mean_difference(*match_samples(a, b))[:3] if a.values and b.values else []
    return [end for end in ends if np.isfinite(end)]


def find_typical_scores(runs: Runs, places: Iterable[tuple[str, Condition]], part: str) -> list[Interval]:
    """Return the scores of these arms and conditions, as `metric` or `selector`, without trainings whose score lies far from all others."""
    metric = runs.design.metric if part == "metric" else runs.design.selector
    outliers = find_outliers(runs, metric) if metric else []
    samples = (find_typical_sample(runs, arm, condition, outliers, metric) for arm, condition in places if metric)
    return [t_interval(sample.to_array()) for sample in samples if sample.values]


def describe_outside_figure(runs: Runs, *metrics: str | None) -> str:
    """Return how many trainings lie outside the axes of a figure of these metrics. Empty if none does."""
    return describe_outside([row for metric in metrics if metric for row in find_outliers(runs, metric)])


def clip_lines(values: ArrayLike, span: Span) -> np.ndarray:
    """Return values at most one height outside a span: lines still leave the axes, and no picture holds a number of 300 digits."""
    low, high = span
    clipped: np.ndarray = np.clip(np.asarray(values, dtype=float), low - (high - low), high + (high - low))
    return clipped


def mark_outside(axes: Axes, xs: Iterable[float], ys: Iterable[float], spans: tuple[Span, Span], colour: str, marker: str) -> None:
    """Mark each point outside the spans of x and y with its value and a hollow marker at the edge of the axes."""
    for point in zip(xs, ys, strict=True):
        edge = [float(np.clip(value, *span)) for value, span in zip(point, spans, strict=True)]
        beyond = [value - at for value, at in zip(point, edge, strict=True)]
        if any(gap < 0 or gap > 0 for gap in beyond):  # not NaN
            value = point[1] if beyond[1] else point[0]
            inwards = [-7 * float(np.sign(gap)) for gap in beyond]
            inwards[1] = inwards[1] or 7.0  # not on the point's own interval
            axes.plot(*[[at] for at in edge], color=colour, marker=marker, markerfacecolor="white", linestyle="none", clip_on=False)
            axes.annotate(
                f"{value:.3g}",
                (edge[0], edge[1]),
                xytext=(inwards[0], inwards[1]),
                textcoords="offset points",
                ha={-1.0: "right", 0.0: "center", 1.0: "left"}[float(np.sign(inwards[0]))],
                va="center",
                fontsize=6,
                color=colour,
            )


def _add_margin(ends: Sequence[float]) -> Span:
    low, high = min(ends), max(ends)
    magnitude = max(abs(low), abs(high))
    margin = 0.04 * (high - low if high - low > ROUNDING * magnitude else magnitude) or 1.0
    return low - margin, high + margin
