"""Style and rendering of figures: fonts, colours and markers of arms, headings of panels, and the bytes of each format."""

import contextlib
import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from platform.report.figure_axes import describe_outside_figure
from platform.report.runs_table import Condition, Runs, format_condition

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


def get_arm_colour(arm: int) -> str:
    return COLOURS[arm % len(COLOURS)]


def get_arm_marker(arm: int) -> str:
    return MARKERS[arm % len(MARKERS)]


def format_heading(panels: Sequence[Condition], where: Condition) -> str:
    """Return what distinguishes this panel from the others, in lines as wide as a panel; its whole condition if nothing does."""
    distinguishing = {axis: value for axis, value in where.items() if len({panel.get(axis) for panel in panels}) > 1}
    return "\n".join(
        line for axis, value in (distinguishing or where).items() for line in textwrap.wrap(format_condition({axis: value}), WIDE)
    )


def note_outside(figure: Figure, runs: Runs, *metrics: str | None) -> None:
    """Write above a figure of these metrics how many trainings lie outside its axes, if any does."""
    if note := describe_outside_figure(runs, *metrics):
        figure.suptitle(note, fontsize=7)


@contextlib.contextmanager
def _apply_style() -> Iterator[None]:
    with matplotlib.rc_context(STYLE), warnings.catch_warnings(action="ignore", category=UserWarning):
        yield  # suppressed: the warning that our font lacks a letter, which an SVG reader's font may have


def draw_small_figure(draw: Callable[[Axes], None], size: tuple[float, float], box: tuple[float, float, float, float]) -> str:
    """Draw axes that fill `box` of a figure, as an <svg> element.

    They are not fitted to their labels, so that figures in a row have one size.
    """
    with _apply_style():
        figure = Figure(figsize=size)
        draw(figure.add_axes(box))
        return strip_xml_head(_render_bytes(figure, "svg"))


def draw_whole_figure(draw: Callable[[Figure], None], size: tuple[float, float]) -> dict[str, bytes]:
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
