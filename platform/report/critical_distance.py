"""Draws the critical-distance diagram of Demsar (2006): mean ranks on a line, and a bar under each group of arms that do not differ."""

from html import escape
from math import ceil

from markupsafe import Markup

from platform.report.inline_svg import INK, RULE, SOFT
from platform.report.rank_overview import RankOverview

WIDTH, AXIS, ROW, LANE = 440, 44, 17, 7
"""px: length of the axis and its height in the picture; distance of two names, and of two bars"""
LETTER, FONT = 7.5, 12
"""px: the most that a letter takes on average, and the size of letters"""
MOST_TICKS = 12


def render_critical_distance(overview: RankOverview) -> Markup:
    """Return the diagram. The best ranks are on the right; the better half of the arms is named there, the others on the left."""
    rows, k = overview.rows, len(overview.rows)
    margin = 75 + LETTER * max(len(row.arm) for row in rows)

    def x(rank: float) -> float:
        return margin + WIDTH * (k - rank) / (k - 1)

    step = ceil((k - 1) / MOST_TICKS)
    ticks = "".join(
        f'<path d="M{x(rank):.1f} {AXIS - 5}v5" stroke="{SOFT}"/>'
        f'<text x="{x(rank):.1f}" y="{AXIS - 9}" text-anchor="middle" fill="{SOFT}">{rank}</text>'
        for rank in range(1, k + 1, step)
    )
    end = margin + WIDTH * overview.critical_distance / (k - 1)
    scale = (
        f'<path d="M{margin:.1f} 14v6m0-3H{end:.1f}m0-3v6" stroke="{RULE}" fill="none" stroke-width="1.5"/>'
        f'<text x="{margin:.1f}" y="10" fill="{SOFT}">critical distance {overview.critical_distance:.2f}</text>'
    )
    ranks = {row.arm: row.mean_rank for row in rows}
    spans = [(x(ranks[group[-1]]) - 4, x(ranks[group[0]]) + 4) for group in overview.groups]  # a bar extends beyond its outermost arms
    lanes = _stack_bars(spans)
    groups = "".join(
        f'<path d="M{begin:.1f} {AXIS + 10 + LANE * lane}H{end:.1f}" stroke="{INK}" stroke-width="3.5"/>'
        for (begin, end), lane in zip(spans, lanes, strict=True)
    )
    first, better = AXIS + 10 + LANE * (max(lanes, default=-1) + 1) + ROW, ceil(k / 2)
    names = []
    for place, row in enumerate(rows):  # from each end inwards, one line lower each: no line crosses a name
        right = place < better
        height = first + ROW * (place if right else k - 1 - place)
        edge = margin + WIDTH + 14 if right else margin - 14
        names.append(
            f'<path d="M{x(row.mean_rank):.1f} {AXIS}V{height}H{edge:.1f}" stroke="{RULE}" fill="none"/>'
            f'<text x="{edge + (5 if right else -5):.1f}" y="{height + 4}" text-anchor="{"start" if right else "end"}">{escape(row.arm)}'
            f' <tspan fill="{SOFT}">{row.mean_rank:.2f}</tspan></text>'
        )
    axis = f'<path d="M{x(k):.1f} {AXIS}H{x(1):.1f}" stroke="{SOFT}" stroke-width="1.5"/>'
    wide, high = 2 * margin + WIDTH, first + ROW * better
    return Markup(
        f'<svg width="{wide:.0f}" height="{high}" viewBox="0 0 {wide:.0f} {high}" font-size="{FONT}" role="img"'
        f' aria-label="mean ranks and critical distance">{scale}{axis}{ticks}{"".join(names)}{groups}</svg>'
    )


def _stack_bars(spans: list[tuple[float, float]]) -> list[int]:
    """Return the line of each bar (begin, end), 0 the topmost: the first on which it meets no other. Bars come from right to left."""
    begins: list[float] = []
    lines = []
    for begin, end in spans:
        line = next((number for number, last in enumerate(begins) if end < last), len(begins))
        begins[line : line + 1] = [begin]
        lines.append(line)
    return lines
