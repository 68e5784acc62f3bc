"""Figures as SVG text, small enough to stand side by side on a page and above one another on a telephone."""

import io
from itertools import pairwise
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from platform.reporting.tables import Condition, Confusion, Grid, Mean

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
"""Okabe & Ito's, which colour-blind readers tell apart, without the yellow that white paper swallows"""
MARKERS = "osD^vPX*<>"
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the reader's font
    "text.parse_math": False,  # a $ in a name is a $
    "svg.hashsalt": "ferray",  # the same figure has the same bytes
    "font.family": ["sans-serif"],
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "lines.markersize": 4,
    "lines.linewidth": 1.4,
}


def label(condition: Condition) -> str:
    return ", ".join(f"{axis} = {value}" for axis, value in condition.items())


def key(arm: int) -> str:
    """An arm's line and marker, for a legend."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(0.36, 0.16))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        axes.plot([0, 1, 2], [0, 0, 0], color=_colour(arm), marker=_marker(arm), markevery=[1])
        axes.set(xlim=(0, 2), ylim=(-1, 1))
        return _svg(figure)


def accuracy(grid: Grid, rows: list[Mean], panel: Condition, metric: str, without: list[str]) -> str:
    """A panel: the metric's mean along the points, a line an arm; band: 95 % t-interval; bar: standard deviation.

    Points that are no numbers, or only one, are not joined: the interval is then a thick bar. The vertical axis spans what all panels
    of this row of the figure show.
    """
    rows = [row for row in rows if row.arm not in without and row.scores]
    positions = {point: float(point) if grid.numeric else float(i) for i, point in enumerate(grid.points)}  # type: ignore[arg-type]
    places = sorted(positions.values())
    step = min((b - a for a, b in pairwise(places)), default=1.0)
    joined = grid.numeric and len(places) > 1
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.4 if len(grid.panels) < 3 else 1.9, 2.1))  # the page shrinks what it must: letters stay readable
        axes = figure.add_axes((0.12, 0.17, 0.86, 0.72))  # not fitted to its labels, so that panels in a row are of one size
        shown = [arm for arm in grid.arms if arm not in without]
        for place, arm in enumerate(shown):
            aside = step * (0.24 if joined else 0.7) * ((place + 0.5) / len(shown) - 0.5)
            mine = [row for row in rows if row.arm == arm and row.panel == panel and metric in row.scores]
            _line(axes, grid.arms.index(arm), [(positions[row.point] + aside, row.scores[metric]) for row in mine], joined)
        axes.set_xticks(list(positions.values()), [str(point) for point in positions])
        axes.set_xlim(places[0] - step / 2, places[-1] + step / 2)
        axes.set_ylim(*_span(rows))
        axes.set_xlabel(grid.along or "", labelpad=1)
        axes.set_title(label(panel), fontsize=8.5, pad=4)
        return _svg(figure)


def confusion(matrix: Confusion) -> str:
    """An arm's mean confusion matrix in percent of each true class."""
    with matplotlib.rc_context(STYLE | {"axes.grid": False, "font.size": 7}):
        figure = Figure(figsize=(2.2, 2.2))
        axes = figure.add_axes((0.28, 0.27, 0.66, 0.66))
        axes.pcolormesh(matrix.shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.8)
        axes.invert_yaxis()
        axes.set_aspect("equal")
        middles = [i + 0.5 for i in range(len(matrix.classes))]
        axes.set_xticks(middles, matrix.classes, rotation=90)
        axes.set_yticks(middles, matrix.classes)
        axes.tick_params(length=0)
        axes.set_xlabel("answered")
        axes.set_ylabel("true")
        for row, shares in enumerate(matrix.shares):
            for column, share in enumerate(shares):
                shade = "white" if share > 0.5 else "#222222"
                axes.text(column + 0.5, row + 0.5, f"{100 * share:.0f}", ha="center", va="center", color=shade, fontsize=6)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_title(matrix.arm, fontsize=8)
        return _svg(figure)


def _line(axes: Axes, arm: int, points: list[tuple[float, Any]], joined: bool) -> None:
    xs, means = [x for x, _ in points], [100 * score.mean for _, score in points]
    lows, highs = ([100 * getattr(score, end) for _, score in points] for end in ("low", "high"))
    sds = [100 * score.sd for _, score in points]
    colour = _colour(arm)
    if joined:
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.13, linewidth=0)
    else:
        axes.vlines(xs, lows, highs, color=colour, linewidth=3, alpha=0.35)
    axes.errorbar(xs, means, sds, fmt="none", ecolor=colour, elinewidth=0.8)
    axes.plot(xs, means, color=colour, marker=_marker(arm), linestyle="-" if joined else "none")


def _span(rows: list[Mean]) -> tuple[float, float]:
    """From below the lowest bar or band to above the highest, in percent, within 0 and 100."""
    ends = [100 * end for row in rows for s in row.scores.values() for end in (s.mean, s.low, s.high, s.mean - s.sd, s.mean + s.sd)]
    ends = [end for end in ends if end == end]
    low, high = min(ends, default=0.0), max(ends, default=100.0)
    room = 0.04 * (high - low) or 1.0
    return max(0.0, low - room), min(100.0, high + room)


def _colour(arm: int) -> str:
    return COLOURS[arm % len(COLOURS)]


def _marker(arm: int) -> str:
    return MARKERS[arm % len(MARKERS)]


def _svg(figure: Figure) -> str:
    """The figure as an <svg> element without the XML head and the metadata, which link to the outside."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    return text[text.index("<svg") :]
