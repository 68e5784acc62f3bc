"""Draws the figures, each onto axes once and written twice: as small SVGs that a page can stack on a telephone, and whole for a paper."""

import contextlib
import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from platform.report import inline_svg
from platform.report.classes import ClassRecalls
from platform.report.comparisons import Comparison
from platform.report.contrasts import TrainingCost
from platform.report.descriptive_statistics import ConditionSummary
from platform.report.figure_axes import (
    EVERYWHERE,
    Span,
    clip_lines,
    describe_outside_figure,
    find_difference_span,
    find_mean_span,
    find_score_span,
    find_typical_scores,
    mark_outside,
)
from platform.report.runs_table import Condition, Runs, format_condition
from platform.report.wording import spell_metric

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
"""palette of Okabe & Ito, which colour-blind readers can tell apart, without its yellow, which is hard to see on white paper"""
MARKERS = "osD^vPX*<>"
STYLE: Any = {
    "svg.fonttype": "none",  # text is kept as text: searchable, and in the reader's font
    "pdf.fonttype": 42,  # TrueType fonts: journals refuse Type 3
    "text.parse_math": False,  # a $ in a name is printed as a $
    "svg.hashsalt": "ferray",  # the same figure gives the same bytes
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
FORMATS = ("svg", "pdf")
WIDE = 26
"""letters per line of a panel's heading"""
SHADES = LinearSegmentedColormap.from_list("shares", ["white", inline_svg.DEEP])


def draw_legend_key(arm: int) -> str:
    """Return an arm's line and marker for a legend."""

    def draw(axes: Axes) -> None:
        axes.axis("off")
        axes.plot([0, 1, 2], [0, 0, 0], color=get_arm_colour(arm), marker=_get_arm_marker(arm), markevery=[1])
        axes.set(xlim=(0, 2), ylim=(-1, 1))

    return _draw_small_figure(draw, (0.36, 0.16), (0, 0, 1, 1))


def draw_page_panel(runs: Runs, cells: list[ConditionSummary], where: Condition, part: str, without: list[str]) -> str:
    """Return one panel of `draw_means` for the page."""
    extra = 0.14 * (max(_format_heading(runs.panels, panel).count("\n") for panel in runs.panels))
    size = (2.4 if len(runs.panels) < 3 else 1.9, 2.1 + extra)  # the page shrinks panels where it must; letters stay readable
    box = (0.15, 0.357 / size[1], 0.83, 1.512 / size[1])
    return _draw_small_figure(lambda axes: _plot_means(axes, runs, cells, where, part, without), size, box)


def draw_means(runs: Runs, cells: list[ConditionSummary], without: Sequence[str] = ()) -> dict[str, bytes]:
    """Draw the paper's figure: rows are validation and test, columns are panels. Arms in `without` are left out.

    The figure has mean lines with 95 % t-bands and bars of the standard deviation.
    """
    parts = [part for part in ("selector", "metric") if any(getattr(row, part) for row in cells)]

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(parts), len(runs.panels), sharey="row", squeeze=False)
        for row, part in zip(grid, parts, strict=True):
            for axes, where in zip(row, runs.panels, strict=True):
                _plot_means(axes, runs, cells, where, part, without)
            row[0].set_ylabel(
                spell_metric(runs.design.metric if part == "metric" else runs.design.selector or "")
                + (", %" if runs.design.percent else "")
            )
        figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=min(4, len(runs.arms)), frameon=False)
        _note_outside(figure, runs, runs.design.metric, runs.design.selector)

    return _draw_whole_figure(draw, (2.1 * len(runs.panels) + 0.6, 2.1 * len(parts) + 0.5)) if parts else {}


def draw_forest(runs: Runs, rows: list[Comparison], reference: str) -> dict[str, bytes]:
    """Draw every arm's difference from the reference at the table's conditions, at most six in a row.

    The figure has 95 % intervals, the zero line and the margin of equivalence.
    """
    factor, conditions = 100 if runs.design.percent else 1, runs.table_conditions
    shown = [row for row in rows if row.condition in conditions]
    arms, columns = [arm for arm in runs.arms if arm != reference], min(6, len(conditions))
    lines = -(-len(conditions) // columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        span = find_difference_span(runs, shown, factor)
        for axes, condition in zip(grid, conditions, strict=False):
            if runs.design.rope:
                axes.axvspan(-factor * runs.design.rope, factor * runs.design.rope, color="#e8ecef", zorder=0)
            axes.axvline(0, color="#888888", linewidth=0.8)
            for row in (row for row in shown if row.condition == condition):
                y, number = arms.index(row.a), runs.arms.index(row.a)
                colour, marker = get_arm_colour(number), _get_arm_marker(number)
                axes.plot(clip_lines([factor * row.diff_low, factor * row.diff_high], span), [y, y], color=colour)
                axes.plot(clip_lines([factor * row.diff], span), [y], color=colour, marker=marker, linestyle="none")
                mark_outside(axes, [factor * row.diff], [y], (span, EVERYWHERE), colour, marker)
            axes.set_title(_format_heading(conditions, condition), fontsize=7.5)
            axes.set_yticks(range(len(arms)), arms)
            axes.set(xlim=span, ylim=(len(arms) - 0.5, -0.5))
        for axes in grid[max(0, len(conditions) - columns) : len(conditions)]:
            axes.tick_params(labelbottom=True)  # nothing is below
        for axes in grid[len(conditions) :]:
            axes.axis("off")
        figure.supxlabel(f"difference from {reference}{', points' if runs.design.percent else ''}", fontsize=8.5)
        _note_outside(figure, runs, runs.design.metric)

    return _draw_whole_figure(draw, (1.3 * columns + 1.2, (0.24 * len(runs.arms) + 0.9) * lines)) if rows else {}


def draw_agreement(runs: Runs, cells: list[ConditionSummary]) -> dict[str, bytes]:
    """Draw the mean test score against the mean validation score of every arm at every condition."""
    pairs = [(row, row.selector, row.metric) for row in cells if row.selector and row.metric]
    factor = 100 if runs.design.percent else 1

    def draw(figure: Figure) -> None:
        axes, places = figure.subplots(), [(row.arm, row.condition) for row, _, _ in pairs]
        span = find_mean_span([score for part in ("selector", "metric") for score in find_typical_scores(runs, places, part)], factor)
        for number, arm in enumerate(runs.arms):
            points = [(factor * val.mean, factor * test.mean) for row, val, test in pairs if row.arm == arm]
            xs, ys, colour, marker = [x for x, _ in points], [y for _, y in points], get_arm_colour(number), _get_arm_marker(number)
            if points:
                axes.plot(clip_lines(xs, span), clip_lines(ys, span), color=colour, marker=marker, linestyle="none", label=arm)
                mark_outside(axes, xs, ys, (span, span), colour, marker)
        axes.plot(span, span, color="#888888", linewidth=0.8, zorder=0)
        axes.set(xlim=span, ylim=span)
        axes.set_xlabel(f"mean {spell_metric(runs.design.selector or '')}{', %' if runs.design.percent else ''}")
        axes.set_ylabel(f"mean {spell_metric(runs.design.metric)}{', %' if runs.design.percent else ''}")
        figure.legend(frameon=False, loc="outside right center")
        _note_outside(figure, runs, runs.design.metric, runs.design.selector)

    return _draw_whole_figure(draw, (3.9, 2.8)) if pairs else {}


def draw_costs(runs: Runs, rows: list[TrainingCost]) -> dict[str, bytes]:
    """Draw the mean score with its 95 % interval against the number of parameters that a training updates.

    There is one panel per condition, four in a row.
    """
    factor = 100 if runs.design.percent else 1
    conditions = [condition for condition in runs.conditions if any(row.condition == condition for row in rows)]
    columns = min(4, len(conditions)) or 1
    lines = -(-len(conditions) // columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, condition in zip(grid, conditions, strict=False):
            panel = [row for row in rows if row.condition == condition]
            typical = find_typical_scores(runs, [(row.arm, row.condition) for row in panel], "metric")
            span = find_score_span(typical, factor, runs.design.percent)
            for row in panel:
                colour, marker = get_arm_colour(runs.arms.index(row.arm)), _get_arm_marker(runs.arms.index(row.arm))
                x, mean = [row.updated], [factor * row.score.mean]
                axes.plot(x * 2, clip_lines([factor * row.score.low, factor * row.score.high], span), color=colour)
                axes.plot(x, clip_lines(mean, span), color=colour, marker=marker, linestyle="none", label=row.arm)
                mark_outside(axes, x, mean, (EVERYWHERE, span), colour, marker)
            axes.set_ylim(*span)
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda number, _: _format_short(number))
            decades = np.ptp(np.log10([row.updated for row in panel]))
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if decades < 1.5 else (1.0,)))  # else labels overlap
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_title(_format_heading(conditions, condition), fontsize=7)
        for axes in grid[len(conditions) :]:
            axes.axis("off")
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=min(6, len(runs.arms)), frameon=False)
        figure.supxlabel("updated parameters", fontsize=8.5)
        figure.supylabel(f"mean {spell_metric(runs.design.metric)}{', %' if runs.design.percent else ''}", fontsize=8.5)
        _note_outside(figure, runs, runs.design.metric)

    return _draw_whole_figure(draw, (1.9 * columns + 0.5, 1.8 * lines + 0.4)) if rows else {}


def draw_parameters(runs: Runs, rows: list[TrainingCost]) -> dict[str, bytes]:
    """Draw the mean number of updated parameters of each arm, over conditions, in millions (Barros & Sciutti 2022, figure 4).

    There is one panel for each value of `along`, such as each encoder.
    """
    points = [point for point in runs.points if any(_lies_at(runs, row, point) for row in rows)]

    def draw(figure: Figure) -> None:
        grid = figure.subplots(1, len(points), sharey=True, squeeze=False)[0]
        for axes, point in zip(grid, points, strict=True):
            for number, arm in enumerate(runs.arms):
                counts = [row.updated / 1e6 for row in rows if row.arm == arm and _lies_at(runs, row, point)]
                if counts:
                    mean = float(np.mean(counts))
                    axes.barh(number, mean, color=get_arm_colour(number), height=0.7)
                    axes.text(mean, number, f" {mean:.3g}", va="center", fontsize=7)
            axes.set_yticks(range(len(runs.arms)), runs.arms)
            axes.set_ylim(len(runs.arms) - 0.5, -0.5)
            axes.margins(x=0.18)
            axes.grid(visible=False, axis="y")
            axes.set_title(format_condition({runs.along: point}) if runs.along else "", fontsize=8)
        figure.supxlabel("updated parameters, millions", fontsize=8.5)

    return _draw_whole_figure(draw, (2.4 * len(points) + 0.8, 0.24 * len(runs.arms) + 0.6)) if points else {}


def _lies_at(runs: Runs, row: TrainingCost, point: object) -> bool:
    return not runs.along or row.condition[runs.along] == point


def draw_confusions(rows: list[ClassRecalls], replicated: str) -> dict[str, bytes]:
    """Draw the confusion matrices of a condition in percent of each true class, at most four in a row.

    All share one pair of axes, which is faster.
    """
    if not rows:
        return {}
    names, columns = rows[0].classes, min(4, len(rows))
    lines, side = -(-len(rows) // columns), len(names)
    wide, high = side + 0.6, side + 1.5
    middles = [index + 0.5 for index in range(side)]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=7, pad=2)
        for number, row in enumerate(rows):
            x, y = wide * (number % columns), high * (number // columns)
            _plot_matrix(axes, row, x, y)
            if number + columns >= len(rows) and number // columns < lines - 1:  # nothing below, and the axis labels the last row only
                for middle, name in zip(middles, names, strict=True):
                    axes.text(x + middle, y + side + 0.25, name, rotation=90, ha="center", va="top", color="#444444", fontsize=7)
        last = range(len(rows) - columns * (lines - 1))
        axes.set_xticks([wide * column + middle for column in last for middle in middles], names * len(last), rotation=90)
        axes.set_yticks([high * line + middle for line in range(lines) for middle in middles], names * lines)
        axes.set(xlim=(0, wide * columns - 0.6), ylim=(high * lines - 1.5, -1.1), aspect="equal", xlabel="answered", ylabel="true")
        where = f"{format_condition(rows[0].condition)}: " if rows[0].condition else ""
        axes.set_title(f"{where}percent of each true class, mean over {replicated}s", fontsize=8, loc="left")

    longest = 0.06 * max(map(len, names))
    return _draw_whole_figure(draw, (max(0.2 * wide * columns + longest + 0.3, 3.2), 0.2 * high * lines + longest + 0.5))


def _format_heading(panels: Sequence[Condition], where: Condition) -> str:
    """Return what distinguishes this panel from the others, in lines as wide as a panel; its whole condition if nothing does."""
    distinguishing = {axis: value for axis, value in where.items() if len({panel.get(axis) for panel in panels}) > 1}
    return "\n".join(
        line for axis, value in (distinguishing or where).items() for line in textwrap.wrap(format_condition({axis: value}), WIDE)
    )


def get_arm_colour(arm: int) -> str:
    return COLOURS[arm % len(COLOURS)]


def _plot_means(axes: Axes, runs: Runs, cells: list[ConditionSummary], where: Condition, part: str, without: Sequence[str]) -> None:
    """Plot means along the points, one line per arm. The band is the 95 % t-interval, the bar the standard deviation.

    Points are not joined if they are not numbers or if there is only one; the interval is then a thick bar. The vertical axis spans
    what all panels of this part show, without trainings whose score lies far from all others.
    """
    shown = [arm for arm in runs.arms if arm not in without]
    positions = {point: float(point) if runs.numeric else float(i) for i, point in enumerate(runs.points)}  # type: ignore[arg-type]
    xs = sorted(positions.values())
    step = min((b - a for a, b in pairwise(xs)), default=1.0)
    joined = runs.numeric and len(xs) > 1
    factor = 100 if runs.design.percent else 1
    places = [(row.arm, row.condition) for row in cells if row.arm in shown]
    span = find_score_span(find_typical_scores(runs, places, part), factor, runs.design.percent)
    for index, arm in enumerate(shown):
        offset = step * (0.24 if joined else 0.7) * ((index + 0.5) / len(shown) - 0.5)
        scores = [(row.condition, getattr(row, part)) for row in cells if row.arm == arm and where.items() <= row.condition.items()]
        line = [(positions[condition[runs.along] if runs.along else None] + offset, score) for condition, score in scores if score]
        _plot_line(axes, runs.arms.index(arm), line, joined, factor, arm, span)
    axes.set_xticks(list(positions.values()), [str(point) for point in positions])
    axes.set_xlim(xs[0] - step / 2, xs[-1] + step / 2)
    axes.set_ylim(*span)
    axes.set_xlabel(runs.along or "", labelpad=1)
    axes.set_title(_format_heading(runs.panels, where), fontsize=8, pad=4)


def _plot_matrix(axes: Axes, row: ClassRecalls, x: float, y: float) -> None:
    """Plot a confusion matrix of unit cells with its upper left corner at x, y. A class without images has an empty row that says so."""
    edges = np.arange(len(row.classes) + 1)
    axes.pcolormesh(x + edges, y + edges, np.nan_to_num(row.shares), cmap=SHADES, vmin=0, vmax=1, edgecolors="white", linewidth=0.8)
    labels = [(x + edges[-1] / 2, y - 0.45, row.arm, "black", 8.0)]
    for line, (shares, recall) in enumerate(zip(row.shares, row.recall, strict=True)):
        if recall is None:
            labels.append((x + edges[-1] / 2, y + line + 0.5, "no images", inline_svg.SOFT, 6.0))
        else:
            labels += [
                (x + column + 0.5, y + line + 0.5, *inline_svg.format_shaded_percent(share), 6.0) for column, share in enumerate(shares)
            ]
    for text_x, text_y, text, colour, size in labels:  # not in the layout: measuring them takes as long as drawing
        axes.text(text_x, text_y, text, ha="center", va="center", color=colour, fontsize=size).set_in_layout(False)


def _plot_line(axes: Axes, arm: int, line: list[tuple[float, Any]], joined: bool, factor: int, name: str, span: Span) -> None:
    colour, marker = get_arm_colour(arm), _get_arm_marker(arm)
    xs, means = [x for x, _ in line], [factor * score.mean for _, score in line]
    lows, highs = (clip_lines([factor * getattr(score, end) for _, score in line], span) for end in ("low", "high"))
    if joined:
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.13, linewidth=0)
    else:
        axes.vlines(xs, lows, highs, color=colour, linewidth=3, alpha=0.35)
    down, up = (clip_lines([factor * (score.mean + side * score.sd) for _, score in line], span) for side in (-1, 1))
    axes.vlines(xs, down, up, color=colour, linewidth=0.8)
    axes.plot(xs, clip_lines(means, span), color=colour, marker=marker, linestyle="-" if joined else "none", label=name)
    mark_outside(axes, xs, means, (EVERYWHERE, span), colour, marker)


def _note_outside(figure: Figure, runs: Runs, *metrics: str | None) -> None:
    """Write above a figure of these metrics how many trainings lie outside its axes, if any does."""
    if note := describe_outside_figure(runs, *metrics):
        figure.suptitle(note, fontsize=7)


def _format_short(number: float) -> str:
    """Format a number as in 10 k or 1 M. It is plain text, because the letters of a figure are not parsed as mathematics."""
    power = next((power for power in (9, 6, 3) if number >= 10**power), 0)
    return f"{number / 10**power:g} {' kMG'[power // 3]}".strip()


def _get_arm_marker(arm: int) -> str:
    return MARKERS[arm % len(MARKERS)]


@contextlib.contextmanager
def _apply_style() -> Iterator[None]:
    with matplotlib.rc_context(STYLE), warnings.catch_warnings(action="ignore", category=UserWarning):
        yield  # suppressed: the warning that our font lacks a letter, which an SVG reader's font may have


def _draw_small_figure(draw: Callable[[Axes], None], size: tuple[float, float], box: tuple[float, float, float, float]) -> str:
    """Draw axes that fill `box` of a figure, as an <svg> element.

    They are not fitted to their labels, so that figures in a row have one size.
    """
    with _apply_style():
        figure = Figure(figsize=size)
        draw(figure.add_axes(box))
        return strip_xml_head(_render_bytes(figure, "svg"))


def _draw_whole_figure(draw: Callable[[Figure], None], size: tuple[float, float]) -> dict[str, bytes]:
    """Return a figure in every format."""
    with _apply_style():
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.get_layout_engine().execute(figure)  # type: ignore[union-attr]
        figure.set_layout_engine("none")  # one layout for all formats, as it takes as long as drawing
        return {kind: _render_bytes(figure, kind) for kind in FORMATS}


def _render_bytes(figure: Figure, kind: str) -> bytes:
    """Render a figure without dates and names, so that the same figure has the same bytes and links to nothing."""
    omitted = ("Creator", "Date", "Format", "Type") if kind == "svg" else ("Creator", "Producer", "CreationDate")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, transparent=True, metadata=dict.fromkeys(omitted))
    data = buffer.getvalue()
    return re.sub(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", b"?", data) if kind == "svg" else data  # XML does not allow these characters


def strip_xml_head(svg: bytes) -> str:
    """Return an SVG file as an element of a page, without the XML head."""
    text = svg.decode()
    return text[text.index("<svg") :]
