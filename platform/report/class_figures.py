"""Figures of classes: confusion matrices, and the numbers of images that trainings have of each class."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from platform.report import inline_svg
from platform.report.class_counts import ClassCounts
from platform.report.classes import ClassRecalls
from platform.report.figure_canvas import WIDE, draw_whole_figure
from platform.report.runs_table import format_condition

SHADES = LinearSegmentedColormap.from_list("shares", ["white", inline_svg.DEEP])
PART_COLOURS = {"train": inline_svg.DEEP, "val": "#8fb3d1", "test": "#d0d7de"}


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
    return draw_whole_figure(draw, (max(0.2 * wide * columns + longest + 0.3, 3.2), 0.2 * high * lines + longest + 0.5))


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


def draw_class_counts(rows: list[ClassCounts]) -> dict[str, bytes]:
    """Draw how many images of each class are trained on, validated on and tested on: one panel for each training set."""
    if not rows:
        return {}

    def draw(figure: Figure) -> None:
        grid = figure.subplots(1, len(rows), sharey=True, squeeze=False)[0]
        for axes, row in zip(grid, rows, strict=True):
            left = np.zeros(len(row.classes))
            for part, counts in row.counts.items():
                axes.barh(row.classes, counts, left=left, height=0.7, color=PART_COLOURS[part], label=part)
                left += counts
            axes.grid(visible=False, axis="y")
            axes.set_title(textwrap.fill(", ".join(row.arms), WIDE), fontsize=7)
        grid[0].invert_yaxis()  # of all panels
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
        figure.supxlabel("images", fontsize=8.5)

    return draw_whole_figure(draw, (1.9 * len(rows) + 1.0, 0.22 * len(rows[0].classes) + 0.9))
