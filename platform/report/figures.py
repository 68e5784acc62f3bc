"""Draws the figures of scores, each onto axes once and written twice: as small SVGs that a page can stack on a telephone, and whole for a
paper.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from platform.report.comparisons import Comparison
from platform.report.descriptive_statistics import ConditionSummary
from platform.report.figure_axes import (
    EVERYWHERE,
    Span,
    clip_lines,
    find_difference_span,
    find_mean_span,
    find_score_span,
    find_typical_scores,
    mark_outside,
)
from platform.report.figure_canvas import (
    draw_small_figure,
    draw_whole_figure,
    format_heading,
    get_arm_colour,
    get_arm_marker,
    note_outside,
)
from platform.report.runs_table import Condition, Runs
from platform.report.wording import spell_metric


def draw_legend_key(arm: int) -> str:
    """Return an arm's line and marker for a legend."""

    def draw(axes: Axes) -> None:
        axes.axis("off")
        axes.plot([0, 1, 2], [0, 0, 0], color=get_arm_colour(arm), marker=get_arm_marker(arm), markevery=[1])
        axes.set(xlim=(0, 2), ylim=(-1, 1))

    return draw_small_figure(draw, (0.36, 0.16), (0, 0, 1, 1))


def draw_page_panel(runs: Runs, cells: list[ConditionSummary], where: Condition, part: str, without: list[str]) -> str:
    """Return one panel of `draw_means` for the page."""
    extra = 0.14 * (max(format_heading(runs.panels, panel).count("\n") for panel in runs.panels))
    size = (2.4 if len(runs.panels) < 3 else 1.9, 2.1 + extra)  # the page shrinks panels where it must; letters stay readable
    box = (0.15, 0.357 / size[1], 0.83, 1.512 / size[1])
    return draw_small_figure(lambda axes: _plot_means(axes, runs, cells, where, part, without), size, box)


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
        note_outside(figure, runs, runs.design.metric, runs.design.selector)

    return draw_whole_figure(draw, (2.1 * len(runs.panels) + 0.6, 2.1 * len(parts) + 0.5)) if parts else {}


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
                colour, marker = get_arm_colour(number), get_arm_marker(number)
                axes.plot(clip_lines([factor * row.diff_low, factor * row.diff_high], span), [y, y], color=colour)
                axes.plot(clip_lines([factor * row.diff], span), [y], color=colour, marker=marker, linestyle="none")
                mark_outside(axes, [factor * row.diff], [y], (span, EVERYWHERE), colour, marker)
            axes.set_title(format_heading(conditions, condition), fontsize=7.5)
            axes.set_yticks(range(len(arms)), arms)
            axes.set(xlim=span, ylim=(len(arms) - 0.5, -0.5))
        for axes in grid[max(0, len(conditions) - columns) : len(conditions)]:
            axes.tick_params(labelbottom=True)  # nothing is below
        for axes in grid[len(conditions) :]:
            axes.axis("off")
        figure.supxlabel(f"difference from {reference}{', points' if runs.design.percent else ''}", fontsize=8.5)
        note_outside(figure, runs, runs.design.metric)

    return draw_whole_figure(draw, (1.3 * columns + 1.2, (0.24 * len(runs.arms) + 0.9) * lines)) if rows else {}


def draw_agreement(runs: Runs, cells: list[ConditionSummary]) -> dict[str, bytes]:
    """Draw the mean test score against the mean validation score of every arm at every condition."""
    pairs = [(row, row.selector, row.metric) for row in cells if row.selector and row.metric]
    factor = 100 if runs.design.percent else 1

    def draw(figure: Figure) -> None:
        axes, places = figure.subplots(), [(row.arm, row.condition) for row, _, _ in pairs]
        span = find_mean_span([score for part in ("selector", "metric") for score in find_typical_scores(runs, places, part)], factor)
        for number, arm in enumerate(runs.arms):
            points = [(factor * val.mean, factor * test.mean) for row, val, test in pairs if row.arm == arm]
            xs, ys, colour, marker = [x for x, _ in points], [y for _, y in points], get_arm_colour(number), get_arm_marker(number)
            if points:
                axes.plot(clip_lines(xs, span), clip_lines(ys, span), color=colour, marker=marker, linestyle="none", label=arm)
                mark_outside(axes, xs, ys, (span, span), colour, marker)
        axes.plot(span, span, color="#888888", linewidth=0.8, zorder=0)
        axes.set(xlim=span, ylim=span)
        axes.set_xlabel(f"mean {spell_metric(runs.design.selector or '')}{', %' if runs.design.percent else ''}")
        axes.set_ylabel(f"mean {spell_metric(runs.design.metric)}{', %' if runs.design.percent else ''}")
        figure.legend(frameon=False, loc="outside right center")
        note_outside(figure, runs, runs.design.metric, runs.design.selector)

    return draw_whole_figure(draw, (3.9, 2.8)) if pairs else {}


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
    axes.set_title(format_heading(runs.panels, where), fontsize=8, pad=4)


def _plot_line(axes: Axes, arm: int, line: list[tuple[float, Any]], joined: bool, factor: int, name: str, span: Span) -> None:
    colour, marker = get_arm_colour(arm), get_arm_marker(arm)
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
