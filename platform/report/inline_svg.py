"""Writes small pictures directly as SVG, where a plotting library is slow: intervals, replicates as dots, confusion matrices."""

from collections.abc import Iterable
from html import escape
from math import isfinite

from markupsafe import Markup

from platform.report.classes import ClassRecalls
from platform.stats.float_ties import ROUNDING

MOST_DOTS = 200
INK, RULE, SOFT = "#0a5a9c", "#b5bcc4", "#68727d"
DEEP = "#08306b"
"""fill colour of a share of 1; a share of 0 is white, and others lie between"""


def render_interval_bar(mean: float, low: float, high: float, reach: float, margin: float = 0.0) -> Markup:
    """Return a difference and its interval on a line from -reach to +reach: zero in the middle, the equivalence margin shaded."""

    def x(value: float) -> float:
        return 50 + 48 * max(-1.0, min(1.0, value / reach))

    shade = f'<rect x="{x(-margin):.1f}" width="{x(margin) - x(-margin):.1f}" y="0" height="12" fill="#e8ecef"/>' if margin else ""
    line = f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="6" y2="6" stroke="{INK}" stroke-width="2"/>' if isfinite(low) else ""
    dot = f'<circle cx="{x(mean):.1f}" cy="6" r="3" fill="{INK}"/>' if isfinite(mean) else ""
    zero = f'<line x1="50" x2="50" y1="0" y2="12" stroke="{RULE}"/>'
    return Markup(f'<svg class="bar" viewBox="0 0 100 12" aria-hidden="true">{shade}{zero}{line}{dot}</svg>')


def render_dot_strip(replicates: Iterable[tuple[object, float]], low: float, high: float, colour: str) -> Markup:
    """Return every replicate as a dot between low and high, its name as the dot's title, and a tick at the mean.

    A replicate outside low and high is an arrow at that edge. More than MOST_DOTS replicates are shown as their range and quartiles.
    """
    pairs = list(replicates)
    span = max(high - low, ROUNDING * max(abs(low), abs(high))) or 1.0  # equal numbers share one position

    def x(value: float) -> float:
        return 3 + 194 * min(1.0, max(0.0, (value - low) / span))

    def mark(value: float) -> str:
        if low <= value <= high:
            return f'<circle cx="{x(value):.1f}" cy="7" r="3">{{}}</circle>'
        return f'<path d="{"M194 2l6 5-6 5z" if value > high else "M6 2l-6 5 6 5z"}">{{}}</path>'

    values = sorted(value for _, value in pairs)
    mean = sum(values) / len(values) if values else low
    if len(values) > MOST_DOTS:
        lowest, q1, q3, highest = (x(values[round(share * (len(values) - 1))]) for share in (0, 0.25, 0.75, 1))
        dots = f'<path d="M{lowest:.1f} 7H{highest:.1f}" stroke="{colour}"/><rect x="{q1:.1f}" width="{q3 - q1:.1f}" y="3" height="8"/>'
    else:
        dots = "".join(mark(value).format(f"<title>{escape(str(name))}: {value:.4g}</title>") for name, value in pairs)
    tick = f'<path d="M{x(mean):.1f} 0v14" stroke="#1c2126" stroke-width="1.5"/>' if pairs else ""
    return Markup(f'<svg class="strip" viewBox="0 0 200 14" fill="{colour}" fill-opacity=".55" role="img">{dots}{tick}</svg>')


def format_shaded_percent(share: float) -> tuple[str, str]:
    """Return a share as whole percent and the colour that reads best on its fill, with a contrast of 4.5 or more everywhere."""
    return f"{100 * share:.0f}", "white" if share > 0.655 else "black" if share >= 0.005 else SOFT


def render_confusion_matrix(row: ClassRecalls, replicates: str) -> Markup:
    """Return a confusion matrix in percent of each true class (row). An entry's title gives its number of images in all replicates."""
    side, size = 20, len(row.classes)
    margin = 6 + 4.9 * max(map(len, row.classes))
    end, cells = side * size, []
    for line, true in enumerate(map(escape, row.classes)):
        cells.append(f'<text class="name" x="-4" y="{side * line + 13}">{true}</text>')
        cells.append(f'<text class="name" transform="translate({side * line + 13} {end + 4}) rotate(-90)">{true}</text>')
        if row.recall[line] is None:
            cells.append(f'<text x="{end / 2}" y="{side * line + 13}" fill="{SOFT}">no images</text>')
            continue
        for column, (answer, share, count) in enumerate(zip(row.classes, row.shares[line], row.counts[line], strict=True)):
            text, colour = format_shaded_percent(share)
            cells.append(
                f"<g><title>{true} read as {escape(answer)}: {100 * share:.1f} %, {count} images in {row.n} {replicates}</title>"
                f'<rect x="{side * column}" y="{side * line}" width="19" height="19" fill="{DEEP}" fill-opacity="{share:.2f}"/>'
                f'<text x="{side * column + 9.5}" y="{side * line + 13}" fill="{colour}">{text}</text></g>'
            )
    box = f"{-margin:.0f} 0 {margin + end:.0f} {end + margin:.0f}"
    return Markup(f'<svg class="matrix" viewBox="{box}" role="img" aria-label="confusions of {escape(row.arm)}">{"".join(cells)}</svg>')
