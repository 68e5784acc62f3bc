"""Figures of what scores cost: against the number of updated parameters, and that number by arm."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from platform.report.contrasts import TrainingCost
from platform.report.figure_axes import EVERYWHERE, clip_lines, find_score_span, find_typical_scores, mark_outside
from platform.report.figure_canvas import draw_whole_figure, format_heading, get_arm_colour, get_arm_marker, note_outside
from platform.report.runs_table import Runs, format_condition
from platform.report.wording import spell_metric


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
                colour, marker = get_arm_colour(runs.arms.index(row.arm)), get_arm_marker(runs.arms.index(row.arm))
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
            axes.set_title(format_heading(conditions, condition), fontsize=7)
        for axes in grid[len(conditions) :]:
            axes.axis("off")
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=min(6, len(runs.arms)), frameon=False)
        figure.supxlabel("updated parameters", fontsize=8.5)
        figure.supylabel(f"mean {spell_metric(runs.design.metric)}{', %' if runs.design.percent else ''}", fontsize=8.5)
        note_outside(figure, runs, runs.design.metric)

    return draw_whole_figure(draw, (1.9 * columns + 0.5, 1.8 * lines + 0.4)) if rows else {}


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

    return draw_whole_figure(draw, (2.4 * len(points) + 0.8, 0.24 * len(runs.arms) + 0.6)) if points else {}


def _lies_at(runs: Runs, row: TrainingCost, point: object) -> bool:
    return not runs.along or row.condition[runs.along] == point


def _format_short(number: float) -> str:
    """Format a number as in 10 k or 1 M. It is plain text, because the letters of a figure are not parsed as mathematics."""
    power = next((power for power in (9, 6, 3) if number >= 10**power), 0)
    return f"{number / 10**power:g} {' kMG'[power // 3]}".strip()
